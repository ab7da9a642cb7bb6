//! One nginx worker: its instances, the requests in flight, its timers, and how it dies.

use crate::callout::{self, Answer, Call};
use crate::config::{Gateway, Owner};
use crate::host::Shared;
use crate::router::Match;
use crate::vm::{Fault, Filter, Step, Traffic, Vm};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// One configuration, compiled.
pub struct Plan {
    pub generation: u64,
    pub gateway: Gateway,
    pub filters: Vec<(Owner, Arc<Filter>)>,
}

impl Plan {
    /// The filters of a request: the service's, then the route's.
    fn chain(&self, found: &Match) -> Vec<Arc<Filter>> {
        let of = |wanted: Owner| self.filters.iter().filter(move |(owner, _)| *owner == wanted);
        let service = of(Owner::Service(found.service.name.clone()));
        let route = of(Owner::Route(found.route.name.clone()));
        service.chain(route).map(|(_, filter)| filter.clone()).collect()
    }
}

/// What a paused request is woken by.
pub enum Wake {
    /// A callout has ended.
    Answer(Answer),
    /// A neighbour's trap lets the request go upstream.
    Release,
    /// The worker is dead.
    Died,
}

/// Why a callback didn't end well for its request.
#[derive(Debug)]
pub enum Halt {
    /// Kong answers 500.
    Error,
    /// The request goes upstream, and no filter sees it any more.
    Released,
    /// The client gets the answer that the request had already.
    Answered,
    /// The connection is gone with the worker.
    Died,
    /// The host has emptied the buffer that the answer was in, and closes the connection.
    Emptied,
    /// Paused for ever.
    Stuck,
}

/// A request's place in its worker.
pub struct Flight {
    pub id: u64,
    pub process: u64,
    pub plan: Arc<Plan>,
    pub wakes: Receiver<Wake>,
}

/// A filter's HTTP context.
pub struct HttpContext {
    pub id: u32,
    pub filter: Arc<Filter>,
}

struct Timer {
    filter: Arc<Filter>,
    period: Duration,
    due: Instant,
}

struct Inner {
    process: u64,
    deaths: u64,
    plan: Arc<Plan>,
    /// Filters that would not be configured when this process started.
    failed: HashSet<u32>,
    vms: HashMap<(u64, String), Vm>,
    users: HashMap<u64, usize>,
    paused: Vec<u64>,
    flights: HashMap<u64, Sender<Wake>>,
    timers: Vec<Timer>,
    next_id: u64,
    next_context: u32,
    next_call: Arc<AtomicU32>,
}

/// One nginx worker.
pub struct Worker {
    index: usize,
    host: Arc<Shared>,
    inner: Mutex<Inner>,
}

impl Worker {
    /// Starts a worker process; an instance that can't be made is an error, as nginx then won't
    /// start.
    pub fn start(index: usize, host: Arc<Shared>, plan: Arc<Plan>) -> Result<Arc<Worker>, String> {
        let inner = Inner {
            process: 1,
            deaths: 0,
            plan,
            failed: HashSet::new(),
            vms: HashMap::new(),
            users: HashMap::new(),
            paused: Vec::new(),
            flights: HashMap::new(),
            timers: Vec::new(),
            next_id: 1,
            next_context: 1 << 16,
            next_call: Arc::default(),
        };
        let worker = Arc::new(Worker { index, host, inner: Mutex::new(inner) });
        let mut inner = worker.lock();
        for (_, filter) in inner.plan.clone().filters.iter() {
            worker.make_vm(&mut inner, filter)?;
        }
        worker.boot(&mut inner);
        drop(inner);
        Ok(worker)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// How often the worker has died.
    pub fn deaths(&self) -> u64 {
        self.lock().deaths
    }

    /// Requests that are paused now.
    pub fn paused(&self) -> usize {
        self.lock().paused.len()
    }

    /// Starts every root context; a filter that refuses leaves its routes unprotected.
    fn boot(self: &Arc<Worker>, inner: &mut Inner) {
        inner.failed.clear();
        for (_, filter) in inner.plan.clone().filters.iter() {
            match self.start_root(inner, filter, true) {
                Ok(()) => {}
                Err(fault) => {
                    self.note(&format!(
                        "failed starting filter {}: {}; its routes are unprotected",
                        filter.name,
                        reason(&fault)
                    ));
                    inner.failed.insert(filter.id);
                    inner.deaths += u64::from(matches!(fault, Fault::Death(_)));
                }
            }
        }
    }

    fn note(&self, message: &str) {
        self.host.log(self.index, 5, message);
    }

    fn make_vm(&self, inner: &mut Inner, filter: &Arc<Filter>) -> Result<(), String> {
        let key = (filter.generation, filter.name.clone());
        if inner.vms.get(&key).is_none_or(|vm| vm.trapped) {
            let vm = Vm::new(filter, &self.host, self.index, &inner.next_call)?;
            inner.vms.insert(key, vm);
        }
        Ok(())
    }

    fn vm<'a>(&self, inner: &'a mut Inner, filter: &Arc<Filter>) -> Result<&'a mut Vm, Fault> {
        self.make_vm(inner, filter).map_err(Fault::Trap)?;
        let vm = inner.vms.get_mut(&(filter.generation, filter.name.clone()));
        vm.ok_or_else(|| Fault::Trap("no instance".into()))
    }

    /// Starts a root context in the present instance unless it lives there. Only a new process
    /// calls on_vm_start: an instance made after a trap does not get it.
    fn start_root(
        self: &Arc<Worker>,
        inner: &mut Inner,
        filter: &Arc<Filter>,
        vm_start: bool,
    ) -> Result<(), Fault> {
        let vm = self.vm(inner, filter)?;
        if vm.roots.contains(&filter.id) {
            return Ok(());
        }
        root_call(vm, filter, Step::Start);
        vm.call("proxy_on_context_create", &[filter.id, 0])?;
        if vm_start && vm.call("proxy_on_vm_start", &[filter.id, 0])? == Some(0) {
            return Err(Fault::Trap("on_vm_start returned false".into()));
        }
        if vm.call("proxy_on_configure", &[filter.id, filter.config.len() as u32])? == Some(0) {
            return Err(Fault::Trap("on_configure returned false".into()));
        }
        vm.roots.insert(filter.id);
        self.after_root(inner, filter);
        Ok(())
    }

    /// Takes over the timers and callouts that a root context's callback asked for.
    fn after_root(self: &Arc<Worker>, inner: &mut Inner, filter: &Arc<Filter>) {
        let Some(vm) = inner.vms.get_mut(&(filter.generation, filter.name.clone())) else { return };
        let calls = std::mem::take(&mut vm.cx().calls);
        for (id, period) in std::mem::take(&mut vm.cx().ticks) {
            let period = Duration::from_millis(period.into());
            if period.is_zero() {
                inner.timers.retain(|timer| timer.filter.id != id);
            } else {
                inner.timers.push(Timer {
                    filter: filter.clone(),
                    period,
                    due: Instant::now() + period,
                });
            }
        }
        let process = inner.process;
        for call in calls {
            self.host.note_callout(&call);
            let (worker, filter) = (self.clone(), filter.clone());
            std::thread::spawn(move || {
                let answer = callout::perform(&call);
                worker.root_answer(&filter, process, answer);
            });
        }
    }

    fn root_answer(self: &Arc<Worker>, filter: &Arc<Filter>, process: u64, answer: Answer) {
        let mut inner = self.lock();
        let key = (filter.generation, filter.name.clone());
        let there =
            inner.vms.get(&key).is_some_and(|vm| !vm.trapped && vm.roots.contains(&filter.id));
        if inner.process != process || !there {
            return;
        }
        let Ok(vm) = self.vm(&mut inner, filter) else { return };
        root_call(vm, filter, Step::Callout);
        let params =
            [filter.id, answer.id, answer.headers.len() as u32, answer.body.len() as u32, 0];
        vm.cx().answer = Some(answer);
        let done = vm.call("proxy_on_http_call_response", &params);
        vm.cx().answer = None;
        match done {
            Ok(_) => self.after_root(&mut inner, filter),
            Err(fault) => {
                self.fail(&mut inner, None, Step::Callout, &fault);
            }
        }
    }

    /// Fires every timer, or those that are due.
    pub fn tick(self: &Arc<Worker>, all: bool) {
        let mut inner = self.lock();
        let now = Instant::now();
        let mut due = Vec::new();
        for timer in &mut inner.timers {
            if all || timer.due <= now {
                timer.due = now + timer.period;
                due.push(timer.filter.clone());
            }
        }
        let process = inner.process;
        for filter in due {
            if inner.process != process {
                return;
            }
            // A root context of a configuration that is gone ticks on, in a new instance of its
            // own.
            let done = self.start_root(&mut inner, &filter, false).and_then(|()| {
                let vm = self.vm(&mut inner, &filter)?;
                root_call(vm, &filter, Step::Tick);
                vm.call("proxy_on_tick", &[filter.id])
            });
            match done {
                Ok(_) => self.after_root(&mut inner, &filter),
                Err(fault) => {
                    self.fail(&mut inner, None, Step::Tick, &fault);
                }
            }
        }
    }

    /// Takes a request in.
    pub fn begin(&self) -> Flight {
        let mut inner = self.lock();
        let id = inner.next_id;
        inner.next_id += 1;
        let (sender, wakes) = channel();
        inner.flights.insert(id, sender);
        let plan = inner.plan.clone();
        *inner.users.entry(plan.generation).or_default() += 1;
        Flight { id, process: inner.process, plan, wakes }
    }

    /// Lets a request go; the instances of an old configuration go with its last one.
    pub fn end(&self, flight: &Flight) {
        let mut inner = self.lock();
        inner.flights.remove(&flight.id);
        inner.paused.retain(|id| *id != flight.id);
        if inner.process != flight.process {
            return;
        }
        let generation = flight.plan.generation;
        let left = inner.users.entry(generation).or_default();
        *left = left.saturating_sub(1);
        if *left == 0 && generation != inner.plan.generation {
            inner.users.remove(&generation);
            inner.vms.retain(|(of, _), _| *of != generation);
        }
    }

    /// The contexts that a request's chain needs; none if it has no chain, or one that failed to
    /// start.
    pub fn contexts(&self, flight: &Flight, found: &Match) -> Vec<HttpContext> {
        let mut inner = self.lock();
        let chain = flight.plan.chain(found);
        if !self.host.options.wasm || chain.iter().any(|filter| inner.failed.contains(&filter.id)) {
            return Vec::new();
        }
        let mut context = |filter| {
            inner.next_context += 1;
            HttpContext { id: inner.next_context, filter }
        };
        chain.into_iter().map(&mut context).collect()
    }

    /// Runs one callback of a request; `params` follow the context id, or stand alone for a
    /// callout.
    pub fn enter(
        self: &Arc<Worker>,
        flight: &Flight,
        context: &HttpContext,
        step: Step,
        (name, params): (&str, &[u32]),
        answer: Option<Answer>,
        traffic: &mut Option<Box<Traffic>>,
    ) -> Result<u32, Halt> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        if inner.process != flight.process {
            let released = flight.wakes.try_iter().any(|wake| matches!(wake, Wake::Release));
            return Err(if released { Halt::Released } else { Halt::Died });
        }
        inner.paused.retain(|id| *id != flight.id);
        let filter = &context.filter;
        let done = self.start_root(inner, filter, false).and_then(|()| {
            let vm = self.vm(inner, filter)?;
            let cx = vm.cx();
            (cx.root, cx.step, cx.filter) = (false, step, filter.clone());
            (cx.answer, cx.traffic) = (answer, traffic.take());
            // The host calls these two without a look whether the module has them.
            let missing = matches!(name, "proxy_on_done" | "proxy_on_log") && !vm.has(name);
            let done = match missing {
                true => Err(Fault::Death(format!("the module doesn't export {name}"))),
                false => create(vm, context).and_then(|()| vm.call(name, params)),
            };
            let cx = vm.cx();
            *traffic = cx.traffic.take();
            cx.answer = None;
            let calls = std::mem::take(&mut cx.calls);
            done.map(|result| (result, calls))
        });
        match done {
            Ok((result, calls)) => {
                if traffic.as_ref().is_some_and(|traffic| !traffic.pending.is_empty()) {
                    inner.paused.push(flight.id);
                }
                let sender = inner.flights.get(&flight.id).cloned();
                drop(guard);
                calls.into_iter().for_each(|call| self.send(call, sender.clone()));
                Ok(result.unwrap_or(0))
            }
            Err(Fault::Trap(message))
                if traffic.as_ref().is_some_and(|traffic| traffic.local.is_some()) =>
            {
                self.note(&format!("trap: {message}"));
                if inner.paused.iter().any(|id| *id != flight.id) {
                    self.die(
                        inner,
                        "segmentation fault after a trap of a request with a stashed answer",
                    );
                }
                Err(Halt::Answered)
            }
            Err(fault) => Err(self.fail(inner, Some(flight.id), step, &fault)),
        }
    }

    fn send(&self, call: Call, sender: Option<Sender<Wake>>) {
        self.host.note_callout(&call);
        std::thread::spawn(move || {
            let answer = callout::perform(&call);
            if let Some(sender) = sender {
                let _ = sender.send(Wake::Answer(answer));
            }
        });
    }

    /// What a fault does to the worker and to the request in whose callback it came.
    fn fail(
        self: &Arc<Worker>,
        inner: &mut Inner,
        by: Option<u64>,
        step: Step,
        fault: &Fault,
    ) -> Halt {
        self.note(&format!(
            "{}: {}",
            if matches!(fault, Fault::Trap(_)) { "trap" } else { "crash" },
            reason(fault)
        ));
        if matches!(fault, Fault::Death(_)) {
            self.die(inner, "segmentation fault");
            return Halt::Died;
        }
        let neighbour = inner.paused.iter().copied().find(|id| Some(*id) != by);
        if neighbour.is_none() && step != Step::Callout {
            return Halt::Error;
        }
        if let Some(sender) = neighbour.and_then(|id| inner.flights.remove(&id)) {
            let _ = sender.send(Wake::Release);
        }
        if let Some(by) = by {
            inner.flights.remove(&by);
        }
        self.die(inner, "segmentation fault after a trap with requests paused");
        Halt::Released
    }

    /// Ends the process and starts the next; shared memory stays.
    fn die(self: &Arc<Worker>, inner: &mut Inner, why: &str) {
        self.note(&format!("worker {} died: {why}", self.index));
        inner.deaths += 1;
        self.respawn(inner);
    }

    fn respawn(self: &Arc<Worker>, inner: &mut Inner) {
        inner.process += 1;
        for (_, sender) in inner.flights.drain() {
            let _ = sender.send(Wake::Died);
        }
        inner.paused.clear();
        inner.vms.clear();
        inner.timers.clear();
        inner.users.clear();
        inner.next_call = Arc::default();
        self.boot(inner);
    }

    /// Kills the worker from outside: a test's fault, or an answer for a request that had gone on.
    pub fn kill(self: &Arc<Worker>, why: &str) {
        self.die(&mut self.lock(), why);
    }

    /// A new process with the present configuration, nobody's fault (HUP).
    pub fn restart(self: &Arc<Worker>) {
        self.respawn(&mut self.lock());
    }

    /// Takes a new configuration. If any filter refuses it, the old one stays in force whole.
    pub fn push(self: &Arc<Worker>, plan: Arc<Plan>) -> Result<(), String> {
        let mut inner = self.lock();
        let process = inner.process;
        for (_, filter) in &plan.filters {
            if let Err(fault) = self.start_root(&mut inner, filter, true) {
                let message = format!(
                    "failed starting filter {}: {}; keeping the old chains",
                    filter.name,
                    reason(&fault)
                );
                self.note(&message);
                if matches!(fault, Fault::Death(_)) {
                    self.die(&mut inner, "segmentation fault");
                }
                if inner.process == process {
                    inner.vms.retain(|(generation, _), _| *generation != plan.generation);
                    inner.timers.retain(|timer| timer.filter.generation != plan.generation);
                }
                return Err(message);
            }
        }
        let old = std::mem::replace(&mut inner.plan, plan).generation;
        inner.failed.clear();
        if inner.users.get(&old).copied().unwrap_or(0) == 0 {
            inner.vms.retain(|(generation, _), _| *generation != old);
        }
        Ok(())
    }

    /// Callout ids that this process has given out.
    pub fn calls_made(&self) -> u32 {
        self.lock().next_call.load(Ordering::Relaxed)
    }
}

fn root_call(vm: &mut Vm, filter: &Arc<Filter>, step: Step) {
    let cx = vm.cx();
    (cx.root, cx.step, cx.filter) = (true, step, filter.clone());
    (cx.answer, cx.traffic) = (None, None);
}

fn create(vm: &mut Vm, context: &HttpContext) -> Result<(), Fault> {
    if vm.contexts.insert(context.id) {
        vm.call("proxy_on_context_create", &[context.id, context.filter.id])?;
    }
    Ok(())
}

fn reason(fault: &Fault) -> &str {
    let (Fault::Trap(message) | Fault::Death(message)) = fault;
    message
}
