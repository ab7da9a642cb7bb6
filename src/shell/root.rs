//! The root context: configuration, ticks, and the calls that serve all exchanges of a worker
//! (Envoy).

use std::rc::Rc;

use ::log::{error, info, warn};
use proxy_wasm::hostcalls;
use proxy_wasm::types::Action;

use crate::config::{Config, Profile};
use crate::exchange::{Effect, Finish, Input};
use crate::facts::call::CallAnswer;
use crate::facts::{Fact, Facts, Turn};
use crate::metrics::Took;
use crate::request::HeaderBlock;
use crate::time::Time;

use super::abi::{self, Buffer};
use super::around::Around;
use super::call::{Ordered, answer_of, dispatch, status};
use super::chain::Chain;
use super::finish::carry_out_finish;
use super::hosts::Dialect;
use super::log;
use super::store::random;
use super::wait::waiters::Waiter;

/// Until the first tick, which fetches what requests will ask for, in milliseconds.
const TICK_FIRST_MS: u32 = 100;
/// Between ticks when nobody waits, in milliseconds. Each costs tens of microseconds, in a virtual
/// machine for each worker and one more.
const TICK_MS: u32 = 500;
/// Between ticks where the root wakes nobody, so that no time is better than another (Kong): root
/// contexts that are gone may tick on there.
const TICK_FIXED_MS: u32 = 1_000;
/// The same where limits of several gateways ask for a shorter time: not below this.
const TICK_FIXED_MS_MIN: u32 = 100;
/// Between ticks while someone waits for what another worker fetches, or looks again soon, in
/// milliseconds.
const TICK_ELSEWHERE_MS: u32 = 10;
/// Between ticks while someone waits: for the deadlines, since what this worker fetches calls by
/// itself.
const TICK_WAITING_MS: u32 = 100;
/// Between looks at what is due ahead of its end, in milliseconds.
const DUE_MS: u64 = 1_000;

/// One root context.
pub struct Root {
    id: u32,
    chain: Rc<Chain>,
    queue: Option<u32>,
    looked_at: Time,
    tick_ms: u32,
}

impl Root {
    /// A root context that isn't configured yet: everything is refused.
    pub fn new(id: u32) -> Self {
        Root {
            id,
            chain: Rc::new(Chain::closed(Dialect::UNASKED)),
            queue: None,
            looked_at: Time::default(),
            tick_ms: TICK_FIRST_MS,
        }
    }

    /// The configuration in force.
    pub fn chain(&self) -> &Rc<Chain> {
        &self.chain
    }

    /// Tells the operator what is wrong. Where the host doesn't keep what it had, the filter stays
    /// and refuses everything.
    fn misconfigured(&mut self, dialect: Dialect, mistakes: &str) -> bool {
        for line in mistakes.lines() {
            error!("configuration: {line}");
        }
        self.chain = Rc::new(Chain::closed(dialect));
        !dialect.caps().keeps_configuration
    }

    /// Makes calls that exchanges have ordered.
    fn serve_orders(&self) {
        for Ordered { fact, retries, .. } in self.chain.take_orders() {
            let token = self
                .chain
                .call(&fact)
                .ok_or_else(String::new)
                .and_then(|call| dispatch(&call, self.chain.dialect, self.id));
            match token {
                Ok(token) => {
                    self.chain.note_call(token, Ordered { fact, retries, since: abi::now() })
                }
                Err(why) => {
                    self.learn(&fact, &CallAnswer::failed_since(&why, &HeaderBlock::default()))
                }
            }
        }
    }

    fn learn(&self, fact: &Fact, answer: &CallAnswer<'_>) {
        let names = self.chain.with_facts(|facts| {
            facts.learn(fact, answer);
            fact.names(&facts.runtime.host_key, &facts.runtime.config)
        });
        for name in names.into_iter().flatten() {
            self.chain.waiters.borrow_mut().call(&name);
        }
        self.fetch_those(|facts| facts.take_wanted());
        self.wake();
    }

    /// Fetches those of these facts that nobody fetches yet.
    fn fetch_those(&self, which: impl FnOnce(&Facts<'_>) -> Vec<Fact>) {
        let led = self.chain.with_facts(|facts| {
            let all = which(facts).into_iter();
            all.filter(|fact| facts.join(fact) == Turn::Lead).collect::<Vec<_>>()
        });
        for fact in led.unwrap_or_default() {
            self.chain.order(fact);
        }
    }

    /// Lets exchanges that were called look again, a bounded number in one callback.
    fn wake(&self) {
        let now = abi::now();
        let (taken, more) = self.chain.waiters.borrow_mut().take_called(now);
        for (context, waiter) in taken {
            self.wake_one(context, waiter);
        }
        abi::set_effective_context(self.id);
        if more {
            self.call_myself();
        }
    }

    fn wake_one(&self, context: u32, waiter: Waiter) {
        if !abi::set_effective_context(context) {
            return;
        }
        let around = Around { dialect: self.chain.dialect, route: None };
        let effect = self
            .chain
            .with_facts(|facts| waiter.exchange.borrow_mut().step(Input::Woken, facts, &around));
        match effect {
            Some(Effect::Finish(finish)) => {
                // What served one serves all.
                let mut waiters = self.chain.waiters.borrow_mut();
                waiters.call(&waiter.name);
                let call = waiter.exchange.borrow().name();
                if let (Finish::Answer(_), Some(name)) = (&finish, call) {
                    waiters.call(&name);
                }
                drop(waiters);
                self.chain.took(Took::Wait, waiter.since);
                self.finish_waiter(context, &waiter, &finish);
            }
            Some(Effect::SleepUntil(deadline, name, queue)) => {
                let is_led_here = self.chain.is_led_here(&name);
                self.wait_on(context, Waiter { name, deadline, queue, is_led_here, ..waiter });
            }
            Some(Effect::Fetch(fact, deadline)) => {
                let name = self.chain.digest(&fact).unwrap_or(waiter.name);
                self.wait_on(
                    context,
                    Waiter { name, deadline, queue: fact.queue(), is_led_here: true, ..waiter },
                );
                self.chain.order(fact);
            }
            // A body is read before an exchange waits, never after.
            Some(Effect::ReadBody(_)) | None => {}
        }
    }

    /// Ends exchanges whose body hasn't come: of a client that sends none, or of all where the host
    /// hands none over while headers are held (Envoy without `allow_on_headers_stop_iteration`).
    fn end_waits_for_bodies(&self, now: Time) {
        for (context, exchange) in self.chain.bodies().take_late(now) {
            if !abi::set_effective_context(context) {
                continue;
            }
            let around = Around { dialect: self.chain.dialect, route: None };
            let finish =
                self.chain.with_facts(|facts| exchange.borrow().body_never_came(facts, &around));
            if finish.is_some_and(|finish| {
                carry_out_finish(&finish, self.chain.dialect) == Action::Continue
            }) {
                abi::continue_request();
            }
            abi::set_effective_context(self.id);
        }
    }

    fn finish_waiter(&self, context: u32, waiter: &Waiter, finish: &Finish) {
        if let Finish::Admit(changes) = finish
            && (changes.edits().watch || !changes.edits().response.is_empty())
        {
            self.chain.watch(context, waiter.exchange.clone(), changes.edits().response.clone());
        }
        if carry_out_finish(finish, self.chain.dialect) == Action::Continue {
            abi::continue_request();
        }
    }

    fn wait_on(&self, context: u32, waiter: Waiter) {
        self.chain.waiters.borrow_mut().add(context, waiter);
    }

    /// Asks for another callback soon: a message to the queue that this virtual machine alone has.
    fn call_myself(&self) {
        self.chain.call_root();
    }

    fn look_at_what_is_due(&mut self, now: Time) {
        if now.ms_since(self.looked_at) < DUE_MS && now >= self.looked_at {
            return;
        }
        self.looked_at = now;
        if !self.chain.is_in_use(now) {
            return;
        }
        self.chain.agree_on_host_key();
        self.fetch_those(|facts| facts.due());
    }

    fn push_charges(&self, now: Time) {
        if self.chain.is_in_use(now) {
            self.chain.push_charges(now, |call| dispatch(call, self.chain.dialect, self.id).ok());
        }
    }

    fn pace(&mut self) {
        let idle_ms = self.chain.sync_tick_ms().map_or(TICK_MS, |ms| ms.min(TICK_MS));
        let waiters = self.chain.waiters.borrow();
        // No third period: to set one begins it anew, and a tick that is put off again and again
        // never comes.
        let is_near = |deadline: Time| deadline.ms_since(abi::now()) < u64::from(TICK_WAITING_MS);
        let tick_ms = match (waiters.look_elsewhere(), waiters.next_deadline()) {
            (true, _) => TICK_ELSEWHERE_MS,
            (false, None) => idle_ms,
            (false, Some(deadline)) if is_near(deadline) => TICK_ELSEWHERE_MS,
            (false, Some(_)) => TICK_WAITING_MS.min(idle_ms),
        };
        drop(waiters);
        if self.chain.dialect.caps().wakes_others && tick_ms != self.tick_ms {
            self.tick_ms = tick_ms;
            abi::set_tick_period(tick_ms);
        }
    }

    /// Reads the configuration; false: the host is to refuse it.
    pub fn on_configure(&mut self, size: usize, sees_answers: bool) -> bool {
        log::open();
        let dialect = Dialect::probe();
        // The first line of all: which version this is.
        abi::log(abi::Level::Info, concat!("herdgate ", env!("CARGO_PKG_VERSION"), " starts"));
        let document = abi::buffer(Buffer::PluginConfiguration, size).unwrap_or_default();
        let kind = dialect.caps().kind;
        let loaded = Config::load(&document, &|name| std::env::var(name).ok(), kind)
            .and_then(|config| if sees_answers { Ok(config) } else { config.without_answers() });
        let config = match loaded {
            Ok(config) => config,
            Err(errors) => return self.misconfigured(dialect, &errors.to_string()),
        };
        for warning in &config.warnings {
            warn!("configuration: {warning}");
        }
        let dialect = match config.profile {
            Profile::Full => dialect,
            Profile::Stateless => Dialect::Stateless,
        };
        // One name has one owner, so each root context of each virtual machine has its own.
        let name = || format!("herdgate.{:016x}.{}", random(), self.id);
        let wakes_others = dialect.caps().wakes_others;
        self.queue = wakes_others.then(|| hostcalls::register_shared_queue(&name()).ok()).flatten();
        self.chain = Rc::new(Chain::open(dialect, config, self.queue));
        info!("configuration in force");
        self.tick_ms = TICK_FIRST_MS;
        let fixed_ms = self
            .chain
            .sync_tick_ms()
            .map_or(TICK_FIXED_MS, |ms| ms.clamp(TICK_FIXED_MS_MIN, TICK_FIXED_MS));
        if dialect.caps().keeps_state {
            abi::set_tick_period(if wakes_others { TICK_FIRST_MS } else { fixed_ms });
        }
        true
    }

    /// Looks after what is due and after those that wait.
    pub fn on_tick(&mut self) {
        if !self.chain.may_share() {
            return;
        }
        let now = abi::now();
        self.look_at_what_is_due(now);
        self.push_charges(now);
        self.chain.tell_levels();
        if self.chain.is_in_use(now) {
            self.chain.order_readings();
        }
        self.serve_orders();
        if self.chain.dialect.caps().wakes_others {
            self.chain.look_elsewhere();
            self.wake();
            self.end_waits_for_bodies(now);
        }
        self.pace();
    }

    /// An exchange, or this root itself, has asked for a callback.
    pub fn on_queue_ready(&mut self, queue: u32) {
        // One message a callback; the host calls again for the next.
        let _ = hostcalls::dequeue_shared_queue(queue);
        self.push_charges(abi::now());
        self.serve_orders();
        self.wake();
        self.pace();
    }

    /// A call that this root has made is answered.
    pub fn on_http_call_response(&mut self, token: u32, headers: usize, body_size: usize) {
        let push = self.chain.take_push(token);
        let ordered = if push.is_none() { self.chain.take_call(token) } else { None };
        if push.is_none() && ordered.is_none() {
            return;
        }
        let (answer_headers, body) = answer_of(headers, body_size);
        let status = status(&answer_headers);
        let answer = CallAnswer { status, headers: &answer_headers, body: &body };
        if let Some(push) = push {
            self.chain.learn_push(&push, &answer);
            // What is left goes at once: more than one call takes, or Redis has begun anew.
            return self.chain.tell_soon();
        }
        let Some(Ordered { fact, retries, since }) = ordered else { return };
        self.chain.took(Took::Call, since);
        if retries > 0 && (status == 0 || status >= 500) {
            self.chain.order_again(Ordered { fact, retries: retries - 1, since });
            self.serve_orders();
            return;
        }
        self.learn(&fact, &answer);
        // What came may be only a step on the way: metadata before keys.
        self.serve_orders();
        self.pace();
    }
}
