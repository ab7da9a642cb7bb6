//! One configuration in one worker, shared by its root context and all its exchanges.

mod gateways;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use crate::callout::Secret;
use crate::config::{Config, Mode};
use crate::digest::Digest;
use crate::exchange::{Abilities, Exchange};
use crate::facts::call::Call;
use crate::facts::{Fact, Facts, Host, Queue, Runtime};
use crate::gateways::Push;
use crate::metrics::{Gauge, Meter, Metric, Took};
use crate::reply::ErrorStyle;
use crate::shared::host_key::HostRandom;
use crate::signature::Algorithm;
use crate::time::Time;

use super::abi;
use super::bodies::Bodies;
use super::call::{Ordered, together};
use super::hosts::{Dialect, Meeting, Trusted};
use super::meter::HostMeter;
use super::store::{HostStore, random};
use super::wait::waiters::Waiters;

/// One configuration in one worker.
pub struct Chain {
    /// The host that runs this worker.
    pub dialect: Dialect,
    /// Exchanges that wait (Envoy).
    pub waiters: RefCell<Waiters>,
    config: Option<Rc<Config>>,
    runtime: RefCell<Option<Rc<Runtime>>>,
    host_random: Cell<Option<HostRandom>>,
    store: HostStore,
    verify: Trusted,
    meter: HostMeter,
    queue: Option<u32>,
    watched: RefCell<HashMap<u32, Watched>>,
    bodies: Bodies,
    orders: RefCell<Vec<Ordered>>,
    calls: RefCell<HashMap<u32, Ordered>>,
    pushes: RefCell<HashMap<u32, Push>>,
    note_name: String,
    asks_for_routes: bool,
    in_use_at: Cell<Time>,
    /// Whether this worker has told yet how things stand.
    tells: Cell<bool>,
    /// When this worker began under the configuration.
    began: Time,
}

/// An exchange that the root let go on and whose answer is watched.
pub struct Watched {
    /// The exchange.
    pub exchange: Rc<RefCell<Exchange>>,
    /// Headers to set in its answer.
    pub response: Vec<(String, String)>,
    /// When it went on.
    pub since: Time,
}

impl Chain {
    /// Without a configuration nothing is admitted.
    pub fn closed(dialect: Dialect) -> Self {
        Chain::new(dialect, None, None)
    }

    /// A worker under `config`; `queue` calls its root (Envoy).
    pub fn open(dialect: Dialect, config: Config, queue: Option<u32>) -> Self {
        let chain = Chain::new(dialect, Some(Rc::new(config)), queue);
        OPENED.set(OPENED.get().saturating_add(1));
        ROUTES_ASKED.set(ROUTES_ASKED.get() || chain.asks_for_routes);
        VERIFYING.set(VERIFYING.get().saturating_add(u32::from(chain.verifies())));
        // A new configuration warms up before its first request, where the host lets it.
        chain.note_request();
        if chain.may_share() {
            chain.agree_on_host_key();
        }
        chain.trust_the_host();
        chain
    }

    fn new(dialect: Dialect, config: Option<Rc<Config>>, queue: Option<u32>) -> Self {
        let digest = config.as_ref().map(|config| config.digest).unwrap_or_default();
        let note_name = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let asks_for_routes = config.as_ref().is_some_and(|config| config.asks_for_routes());
        let meter = config.as_ref().map_or_else(HostMeter::default, |config| {
            let limits = config.rate_limits.iter().map(|limit| limit.name.clone());
            let issuers = config.issuers.iter().map(|issuer| issuer.name.clone());
            HostMeter::new(limits.collect(), issuers.collect())
        });
        let meter = meter.on(dialect);
        Chain {
            dialect,
            waiters: RefCell::default(),
            config,
            runtime: RefCell::default(),
            host_random: Cell::default(),
            store: HostStore::new(dialect),
            verify: Trusted::default(),
            meter,
            queue,
            watched: RefCell::default(),
            bodies: Bodies::default(),
            orders: RefCell::default(),
            calls: RefCell::default(),
            pushes: RefCell::default(),
            note_name,
            asks_for_routes,
            in_use_at: Cell::default(),
            tells: Cell::default(),
            began: abi::now(),
        }
    }

    /// The dialect and realm of refusals.
    pub fn style(&self) -> (ErrorStyle, &str) {
        self.config.as_ref().map_or((ErrorStyle::Oauth, "herdgate"), |config| {
            (config.errors, config.realm.as_str())
        })
    }

    /// Whether nothing of any request or answer may be changed.
    pub fn is_in_shadow(&self) -> bool {
        self.config.as_ref().is_some_and(|config| config.mode == Mode::Shadow)
    }

    /// Whether there is no configuration in force.
    pub fn is_closed(&self) -> bool {
        self.config.is_none()
    }

    /// Runs `work` with everything that is known now; nothing without a configuration, or while the
    /// workers of this host have no key in common.
    pub fn with_facts<T>(&self, work: impl FnOnce(&Facts<'_>) -> T) -> Option<T> {
        let runtime = self.runtime()?;
        runtime.verifies_elsewhere.set(VERIFYING.get() > u32::from(self.verifies()));
        Some(work(&Facts { runtime: &runtime, host: &self.host(), now: abi::now() }))
    }

    /// Whether tokens are verified under this configuration.
    fn verifies(&self) -> bool {
        self.config.as_ref().is_some_and(|config| !config.issuers.is_empty())
    }

    /// What the host lends.
    #[inline(always)]
    pub fn host(&self) -> Host<'_> {
        Host { store: &self.store, verify: &self.verify, meter: &self.meter }
    }

    /// This worker's memory; nothing without a configuration, or while the workers of this host
    /// have no key in common.
    #[inline(always)]
    pub fn runtime(&self) -> Option<Rc<Runtime>> {
        let known = self.runtime.borrow().clone();
        known.or_else(|| self.agreed_runtime())
    }

    #[cold]
    fn agreed_runtime(&self) -> Option<Rc<Runtime>> {
        self.agree_on_host_key();
        self.runtime.borrow().clone()
    }

    /// Takes the host's random bytes, stores them where they were lost, and begins anew under
    /// others where another worker was faster.
    pub fn agree_on_host_key(&self) {
        let Some(config) = &self.config else { return };
        let known = self.host_random.get();
        match HostRandom::agree(&self.store, known, fresh_random()) {
            Ok(agreed) if known != Some(agreed) => {
                self.host_random.set(Some(agreed));
                let (secret, previous) = (&config.shared.secret, &config.shared.secret_previous);
                let key = agreed.key(secret.expose(), previous.as_ref().map(Secret::expose));
                // One that has met this memory before knows that it began no earlier than now.
                let began = known.is_none().then_some(self.began);
                let runtime = Rc::new(Runtime::new(config.clone(), key).begun(began));
                *self.runtime.borrow_mut() = Some(runtime.clone());
                if config.has_once() {
                    let facts = Facts { runtime: &runtime, host: &self.host(), now: abi::now() };
                    let _ = facts.ids_since();
                }
            }
            Ok(_) => {}
            Err(_) => self.meter.count(Metric::SharedFull),
        }
    }

    /// Whether shared memory may be used outside of a request: where it may be missing, only once a
    /// request has found it.
    pub fn may_share(&self) -> bool {
        self.dialect.caps().has_memory || self.runtime.borrow().is_some()
    }

    /// Tries the host's signature function for what the issuers use.
    fn trust_the_host(&self) {
        let Some(config) = &self.config else { return };
        let is_used = |algorithm: Algorithm| {
            config.issuers.iter().any(|issuer| issuer.algorithms.contains(algorithm))
                || config.dpop.iter().flatten().any(|dpop| dpop.algorithms.contains(algorithm))
        };
        let used = self.dialect.caps().verifies.iter().copied().filter(|one| is_used(*one));
        used.filter(|one| !self.verify.try_out(*one))
            .for_each(|_| self.meter.count(Metric::HostVerifyRefused));
    }

    /// The digest of a fact.
    pub fn digest(&self, fact: &Fact) -> Option<Digest> {
        let runtime = self.runtime()?;
        Some(fact.digest(&runtime.host_key, &runtime.config))
    }

    /// The call that fetches a fact.
    pub fn call(&self, fact: &Fact) -> Option<Call> {
        self.with_facts(|facts| facts.call(fact)).flatten().map(|call| self.as_it_arrives(call))
    }

    fn as_it_arrives(&self, call: Call) -> Call {
        let in_path = call.is_command && self.dialect.caps().closes_connections;
        if in_path { call.in_its_path() } else { call }
    }

    /// Calls all that wait for `name`, soon.
    pub fn call_waiters(&self, name: &Digest) {
        let mut waiters = self.waiters.borrow_mut();
        if waiters.len() > 0 {
            waiters.call(name);
            drop(waiters);
            self.call_root();
        }
    }

    /// Whether this worker brings what has this name.
    pub fn is_led_here(&self, name: &Digest) -> bool {
        self.with_facts(|facts| facts.is_led_here(name)).unwrap_or_default()
    }

    /// Wakes the first who waits for what another worker has brought, or has ceased to bring.
    pub fn look_elsewhere(&self) {
        let names = self.waiters.borrow_mut().next_elsewhere(LOOKS_MAX);
        let given_up = |facts: &Facts<'_>| {
            names.into_iter().filter(|name| !facts.is_led_elsewhere(name)).collect::<Vec<_>>()
        };
        for name in self.with_facts(given_up).unwrap_or_default() {
            self.waiters.borrow_mut().call_one(&name);
        }
    }

    /// How many exchanges may wait for token calls.
    pub fn waiters_max(&self) -> usize {
        self.config.as_ref().map_or(WAITERS_MAX, |config| {
            config
                .token_endpoints
                .iter()
                .map(|endpoint| endpoint.waiters_max as usize)
                .max()
                .unwrap_or(WAITERS_MAX)
        })
    }

    /// Whether one more exchange may wait in this queue (Envoy).
    pub fn has_room(&self, queue: Queue) -> bool {
        let max = match queue {
            Queue::Token => self.waiters_max(),
            Queue::Keys => WAITERS_MAX,
            Queue::Asked => ASKED_WAITERS_MAX,
        };
        let room = self.waiters.borrow().len_of(queue) < max;
        if !room {
            self.meter.count(Metric::WaitersFull);
        }
        room
    }

    /// Exchanges that wait for a body.
    pub fn bodies(&self) -> &Bodies {
        &self.bodies
    }

    /// Has the context of an exchange that the root let go on see its answer.
    pub fn watch(
        &self,
        context: u32,
        exchange: Rc<RefCell<Exchange>>,
        response: Vec<(String, String)>,
    ) {
        let since = abi::now();
        self.watched.borrow_mut().insert(context, Watched { exchange, response, since });
    }

    /// What `watch` left for a context.
    pub fn take_watched(&self, context: u32) -> Option<Watched> {
        // The hot path: nobody has waited.
        if self.watched.borrow().is_empty() {
            return None;
        }
        self.watched.borrow_mut().remove(&context)
    }

    /// What this host can do to a request.
    #[inline(always)]
    pub fn abilities(&self) -> Abilities {
        let waits = self.dialect.caps().wakes_others
            || self.config.as_ref().is_some_and(|config| config.kong.wait_uri.is_some());
        Abilities { removes_headers: self.dialect.caps().removes_headers, waits }
    }

    /// The call that is answered after `ms` milliseconds (Kong): the only way to wait there.
    pub fn waiting_call(&self, ms: u64) -> Option<Call> {
        let config = self.config.as_ref()?;
        Some(Call::wait(config.kong.wait_uri.as_ref()?, ms))
    }

    /// The name of the request's route, where any configuration asks for it: no later one can, once
    /// the first has made a callout, and so takes it from the first (Kong).
    pub fn route(&self, meeting: Option<&Meeting>) -> Option<String> {
        if !ROUTES_ASKED.get() || self.dialect.caps().tells_route_late {
            return None;
        }
        meeting.and_then(Meeting::noted_route).unwrap_or_else(|| self.dialect.route())
    }

    /// Counts an event of the shell's own.
    pub fn count(&self, metric: Metric) {
        self.meter.count(metric);
    }

    /// Tells how long something took that began at `since`.
    pub fn took(&self, what: Took, since: Time) {
        self.meter.took(what, abi::now().ms_since(since));
    }

    /// Tells what stands how.
    pub fn tell_levels(&self) {
        if !self.tells.replace(true) {
            self.meter.define_alerted();
        }
        for (gauge, value) in self.with_facts(|facts| facts.levels()).unwrap_or_default() {
            self.meter.tell(gauge, value);
        }
        self.tell_shares(self.waiters.borrow().len(), self.calls.borrow().len());
    }

    /// The last value of a worker would be taken for that of all where the host doesn't add up.
    fn tell_shares(&self, waiting: usize, calling: usize) {
        if self.dialect.caps().adds_to_gauges {
            self.meter.tell_share(Gauge::Waiting, waiting);
            self.meter.tell_share(Gauge::Calling, calling);
        }
    }

    /// The name under which an admitted request is noted (Kong). Nothing while this worker has one
    /// configuration alone, so that no request can meet the filter twice.
    pub fn name_to_note(&self) -> Option<&str> {
        let several = self.dialect.caps().meets_twice && OPENED.get() > 1;
        several.then_some(self.note_name.as_str())
    }

    /// Notes that requests still come here.
    pub fn note_request(&self) {
        if self.dialect.caps().keeps_roots {
            self.in_use_at.set(abi::now());
        }
    }

    /// Whether requests have come lately. Kong lets the root context of a configuration that is
    /// gone tick on for ever, and such a one is to do nothing.
    pub fn is_in_use(&self, now: Time) -> bool {
        !self.dialect.caps().keeps_roots || now.ms_since(self.in_use_at.get()) < IN_USE_MS
    }

    /// Asks the root to fetch a fact.
    pub fn order(&self, fact: Fact) {
        let callout = self.config.as_ref().and_then(|config| fact.callout(config));
        let retries = callout.map_or(0, |callout| callout.retries);
        self.order_again(Ordered { fact, retries, since: abi::now() });
        self.call_root();
    }

    /// Puts a call on the list that the root works off next.
    pub fn order_again(&self, ordered: Ordered) {
        self.orders.borrow_mut().push(ordered);
    }

    /// Has the root called back soon; on the next tick if there is no queue.
    pub fn call_root(&self) {
        if let Some(queue) = self.queue {
            let _ = proxy_wasm::hostcalls::enqueue_shared_queue(queue, Some(b"."));
        }
    }

    /// The calls to make: one for as many orders as it can carry.
    pub fn take_orders(&self) -> Vec<Ordered> {
        together(std::mem::take(&mut *self.orders.borrow_mut()))
    }

    /// Notes a call under way.
    pub fn note_call(&self, token: u32, ordered: Ordered) {
        self.calls.borrow_mut().insert(token, ordered);
    }

    /// The fact that a call was for.
    pub fn take_call(&self, token: u32) -> Option<Ordered> {
        self.calls.borrow_mut().remove(&token)
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        // Without a configuration nobody waited, and nobody has asked which host this is.
        if !self.is_closed() {
            self.tell_shares(0, 0);
        }
        VERIFYING.set(VERIFYING.get().saturating_sub(u32::from(self.verifies())));
    }
}

/// For how long after its last request a configuration's keys are renewed ahead of their end
/// (Kong).
const IN_USE_MS: u64 = 600_000;

/// Names of what other workers bring that are looked at on one tick: about 1 % of a core.
const LOOKS_MAX: usize = 32;
/// Exchanges that wait in one worker, where no token endpoint says.
const WAITERS_MAX: usize = 5_000;
/// Exchanges that wait in one worker for what strangers can name.
const ASKED_WAITERS_MAX: usize = 1_000;

thread_local! {
    /// Configurations that this instance has taken on. Kong makes one instance for all chains.
    static OPENED: Cell<u32> = const { Cell::new(0) };
    /// Whether one of them asks for routes.
    static ROUTES_ASKED: Cell<bool> = const { Cell::new(false) };
    /// Configurations in force here that verify tokens.
    static VERIFYING: Cell<u32> = const { Cell::new(0) };
}

/// 256 bits for a host that has none yet.
fn fresh_random() -> [u8; 32] {
    let mut bytes = [0u8; 32];
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&random().to_le_bytes());
    }
    bytes
}
