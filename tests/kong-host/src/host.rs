//! The host as tests see it: workers over one shared memory, configuration pushes, faults, records
//! of what happened.

use crate::callout::{Call, Target};
use crate::config::Gateway;
use crate::exchange::{self, Outcome};
use crate::http::Request;
use crate::metrics::{Kind, Metrics};
use crate::options::Options;
use crate::store::Store;
use crate::vm::{Code, Filter};
use crate::worker::{Plan, Worker};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One line of the host's log.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// Who wrote it.
    pub worker: usize,
    /// 0 trace to 5 critical; the host's own lines have 5.
    pub level: u32,
    /// As written.
    pub message: String,
}

/// What all workers share.
pub struct Shared {
    pub options: Options,
    store: Mutex<Store>,
    metrics: Mutex<Metrics>,
    queues: Mutex<Vec<VecDeque<Vec<u8>>>>,
    log: Mutex<Vec<LogLine>>,
    tracing: AtomicBool,
    trace: Mutex<Vec<(usize, &'static str)>>,
    callouts: Mutex<Vec<String>>,
    access: Mutex<Vec<BTreeMap<String, String>>>,
    pub upstream_requests: AtomicU64,
    clock_ms: AtomicI64,
    dice: Mutex<HashMap<usize, u32>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.store)
    }

    pub fn metrics(&self) -> MutexGuard<'_, Metrics> {
        lock(&self.metrics)
    }

    pub fn queues(&self) -> MutexGuard<'_, Vec<VecDeque<Vec<u8>>>> {
        lock(&self.queues)
    }

    pub fn log(&self, worker: usize, level: u32, message: &str) {
        lock(&self.log).push(LogLine { worker, level, message: message.into() });
    }

    /// A line of the access log: what variables of `herdgate_` hold at a request's end.
    pub fn note_access(&self, vars: &HashMap<String, Vec<u8>>) {
        let said = vars.iter().filter_map(|(name, value)| {
            let name = name.strip_prefix("herdgate_").filter(|_| !value.is_empty())?;
            Some((name.to_owned(), String::from_utf8_lossy(value).into_owned()))
        });
        lock(&self.access).push(said.collect());
    }

    pub fn trace(&self, worker: usize, name: &'static str) {
        if self.tracing.load(Ordering::Relaxed) {
            lock(&self.trace).push((worker, name));
        }
    }

    pub fn note_callout(&self, call: &Call) {
        let target = match &call.target {
            Target::Tcp { host, port } => format!("{host}:{port}"),
            Target::Unix(path) => format!("unix:{path}"),
        };
        lock(&self.callouts).push(format!("{} {target}{}", call.method, call.path));
    }

    /// Milliseconds since 1970, moved by the test.
    pub fn now_ms(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        (now as i64).saturating_add(self.clock_ms.load(Ordering::Relaxed)).max(0) as u64
    }

    /// Not random at all: the same numbers in every worker of every run.
    pub fn random(&self, worker: usize) -> u8 {
        let mut dice = lock(&self.dice);
        let state = dice.entry(worker).or_insert(1);
        *state = state.wrapping_mul(1_103_515_245).wrapping_add(12345);
        (*state >> 16) as u8
    }
}

/// A Kong with its workers, without a listener; [`crate::serve`] gives it one.
pub struct Host {
    shared: Arc<Shared>,
    workers: Vec<Arc<Worker>>,
    codes: HashMap<String, Arc<Code>>,
    generation: AtomicU64,
    next_filter: AtomicU32,
    turn: AtomicUsize,
}

impl Host {
    /// Compiles the modules, reads the configuration (YAML or JSON) and starts the workers.
    ///
    /// # Errors What keeps the real host from starting: a bad document, an unknown filter, a module
    /// that can't be instantiated. A filter that refuses its configuration does not: its routes are
    /// unprotected.
    pub fn start(options: Options, config: &str) -> Result<Host, String> {
        let mut codes = HashMap::new();
        for (name, path) in &options.modules {
            let bytes =
                std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            codes.insert(name.clone(), Arc::new(Code::new(&bytes)?));
        }
        Host::with_codes(options, config, codes)
    }

    /// The same with modules in memory, binary or text.
    ///
    /// # Errors
    /// As for [`Host::start`].
    pub fn start_with(
        options: Options,
        config: &str,
        modules: &[(&str, &[u8])],
    ) -> Result<Host, String> {
        let mut codes = HashMap::new();
        for (name, bytes) in modules {
            codes.insert((*name).to_string(), Arc::new(Code::new(bytes)?));
        }
        Host::with_codes(options, config, codes)
    }

    fn with_codes(
        options: Options,
        config: &str,
        codes: HashMap<String, Arc<Code>>,
    ) -> Result<Host, String> {
        let shared = Arc::new(Shared {
            store: Mutex::new(Store::new(&options.zones)),
            metrics: Mutex::default(),
            queues: Mutex::new(vec![VecDeque::new(); options.queues.len()]),
            log: Mutex::default(),
            tracing: AtomicBool::new(false),
            trace: Mutex::default(),
            callouts: Mutex::default(),
            access: Mutex::default(),
            upstream_requests: AtomicU64::new(0),
            clock_ms: AtomicI64::new(0),
            dice: Mutex::default(),
            options,
        });
        let mut host = Host {
            shared: shared.clone(),
            workers: Vec::new(),
            codes,
            generation: AtomicU64::new(0),
            next_filter: AtomicU32::new(1),
            turn: AtomicUsize::new(0),
        };
        let plan = host.plan(config)?;
        for index in 0..shared.options.workers.max(1) {
            host.workers.push(Worker::start(index, shared.clone(), plan.clone())?);
        }
        if shared.options.ticks {
            host.workers.iter().for_each(start_ticker);
        }
        Ok(host)
    }

    fn plan(&self, config: &str) -> Result<Arc<Plan>, String> {
        let gateway = Gateway::parse(config)?;
        let generation = self.generation.fetch_add(1, Ordering::Relaxed);
        let mut filters = Vec::new();
        for chain in &gateway.chains {
            for entry in &chain.entries {
                let code = self
                    .codes
                    .get(&entry.filter)
                    .ok_or_else(|| format!("no filter named {:?}", entry.filter))?;
                let id = self.next_filter.fetch_add(1, Ordering::Relaxed);
                let (name, config, code) =
                    (entry.filter.clone(), entry.config.clone(), code.clone());
                filters.push((
                    chain.owner.clone(),
                    Arc::new(Filter { id, generation, name, config, code }),
                ));
            }
        }
        Ok(Arc::new(Plan { generation, gateway, filters }))
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    fn worker(&self, index: usize) -> &Arc<Worker> {
        &self.workers[index % self.workers.len()]
    }

    /// Sends a request to one worker and waits for what the client gets.
    pub fn request(&self, worker: usize, request: Request) -> Outcome {
        exchange::run(self.worker(worker), &self.shared, request)
    }

    /// Sends a request to the next worker in turn.
    pub fn send(&self, request: Request) -> Outcome {
        self.request(self.turn.fetch_add(1, Ordering::Relaxed), request)
    }

    /// Pushes a configuration to all workers, as `POST /config` does.
    ///
    /// # Errors
    /// What Kong would log; the old chains stay in force.
    pub fn push(&self, config: &str) -> Result<(), String> {
        let plan = self.plan(config)?;
        self.workers.iter().try_for_each(|worker| worker.push(plan.clone()))
    }

    /// Fires every timer of a worker now.
    pub fn tick(&self, worker: usize) {
        self.worker(worker).tick(true);
    }

    /// Kills a worker; the next process starts at once.
    pub fn kill(&self, worker: usize) {
        self.worker(worker).kill("killed by the test");
    }

    /// HUP: new processes, wiped zones.
    pub fn reload(&self) {
        self.shared.store().clear();
        self.workers.iter().for_each(|worker| worker.restart());
    }

    /// How often workers died; anything but 0 is a failed test unless the test is about that.
    pub fn deaths(&self) -> u64 {
        self.workers.iter().map(|worker| worker.deaths()).sum()
    }

    /// Requests that are paused now, in all workers.
    pub fn paused(&self) -> usize {
        self.workers.iter().map(|worker| worker.paused()).sum()
    }

    /// Requests that the host has sent to an API, admitted or not.
    pub fn upstream_requests(&self) -> u64 {
        self.shared.upstream_requests.load(Ordering::Relaxed)
    }

    /// The shared key-value store. Don't hold it while requests run.
    pub fn store(&self) -> MutexGuard<'_, Store> {
        self.shared.store()
    }

    /// Everything logged so far.
    pub fn log(&self) -> Vec<LogLine> {
        lock(&self.shared.log).clone()
    }

    /// Whether any line contains the text.
    pub fn logged(&self, text: &str) -> bool {
        lock(&self.shared.log).iter().any(|line| line.message.contains(text))
    }

    /// Lines of the access log.
    pub fn access(&self) -> Vec<BTreeMap<String, String>> {
        lock(&self.shared.access).clone()
    }

    /// Callouts so far: `METHOD target/path`.
    pub fn callouts(&self) -> Vec<String> {
        lock(&self.shared.callouts).clone()
    }

    /// Names of the host calls that `run` caused, with their workers, in order. Not for parallel
    /// use.
    pub fn traced(&self, run: impl FnOnce(&Host)) -> Vec<(usize, &'static str)> {
        self.shared.tracing.store(true, Ordering::Relaxed);
        run(self);
        self.shared.tracing.store(false, Ordering::Relaxed);
        std::mem::take(&mut lock(&self.shared.trace))
    }

    /// Messages that wait in a queue, by the queue's name.
    pub fn queued(&self, name: &str) -> usize {
        let at = self.shared.options.queues.iter().position(|known| known == name);
        at.map_or(0, |at| self.shared.queues()[at].len())
    }

    /// A metric by its full name `pw_FILTER_NAME`; the sum of what was recorded for a histogram.
    pub fn metric(&self, name: &str) -> Option<i64> {
        self.metrics().into_iter().find(|(found, _, _)| found == name).map(|(_, _, value)| value)
    }

    /// All metrics.
    pub fn metrics(&self) -> Vec<(String, Kind, i64)> {
        self.shared.metrics().all()
    }

    /// Moves the clock of all filters, ms; negative goes back.
    pub fn move_clock(&self, by_ms: i64) {
        self.shared.clock_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// The options that the host was started with.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// Callouts that the present process of a worker has made.
    pub fn calls_made(&self, worker: usize) -> u32 {
        self.worker(worker).calls_made()
    }
}

/// Fires due timers until the worker is gone.
fn start_ticker(worker: &Arc<Worker>) {
    let worker = Arc::downgrade(worker);
    std::thread::spawn(move || {
        while let Some(worker) = worker.upgrade() {
            worker.tick(false);
            drop(worker);
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}
