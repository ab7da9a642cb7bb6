//! One HTTP context: the host's callbacks for one exchange.

mod body;

use std::cell::RefCell;
use std::rc::Rc;

use proxy_wasm::types::Action;

use crate::digest::Digest;
use crate::exchange::{Effect, Exchange, Finish, Input};
use crate::facts::call::CallAnswer;
use crate::facts::{Fact, Facts, Queue};
use crate::metrics::{Metric, Took};
use crate::reply::Reason;
use crate::request::HeaderBlock;
use crate::time::Time;

use super::abi;
use super::around::Around;
use super::call::dispatch;
use super::chain::Chain;
use super::finish::{apply, carry_out_finish, refuse};
use super::hosts::{Dialect, Latch, Meeting, Residue, latch};
use super::own_calls::UnderWay;
use super::response::Watching;
use super::wait::poll::{self, Seat};
use super::wait::waiters::Waiter;

use body::Reading;

/// One exchange as the host sees it.
pub struct Http {
    pub(super) id: u32,
    pub(super) chain: Rc<Chain>,
    pub(super) paused: Option<Paused>,
    /// An exchange that waits for its request's body.
    reading: Option<Reading>,
    /// An exchange that sees the answer to its request.
    pub(super) watching: Option<Watching>,
    /// Headers to set in the answer.
    pub(super) response: Vec<(String, String)>,
    pub(super) arrival: Arrival,
    /// What its calls have left, where no other instance meets its request.
    pub(super) residue: Residue,
}

/// What Kong knows of a request when it comes and can't be asked at any time.
#[derive(Default)]
pub(super) struct Arrival {
    /// The route.
    route: Option<String>,
    /// This request under this configuration, where it may meet the filter twice.
    pub(super) meeting: Option<Meeting>,
    /// Its scheme before it was held back.
    scheme: Option<Vec<u8>>,
}

impl Arrival {
    /// Lets the request go that was decided as it came.
    #[inline(always)]
    fn let_go_at_once(&self) {
        if let Some(scheme) = &self.scheme {
            latch::let_go_at_once(scheme);
        }
    }
}

/// An exchange that isn't decided yet.
pub(super) struct Paused {
    pub(super) exchange: Rc<RefCell<Exchange>>,
    /// Its own call.
    pub(super) call: UnderWay,
    /// When it made its first call.
    since: Option<Time>,
}

/// The headers of a request have come. Gives what its later callbacks will need, if they will need
/// anything.
#[inline(always)]
pub fn request_headers(
    id: u32,
    chain: Option<Rc<Chain>>,
    end_of_stream: bool,
) -> (Action, Option<Box<Http>>) {
    // A context without a root is a mistake of the host's.
    let chain = chain.unwrap_or_else(|| Rc::new(Chain::closed(Dialect::UNASKED)));
    if chain.dialect.caps().lets_requests_go || chain.is_closed() {
        return hold_and_begin(id, chain, end_of_stream);
    }
    begin(id, chain, abi::request_headers(), None, Arrival::default(), end_of_stream)
}

/// The same where the host is asked for more; and where nothing is admitted.
#[inline(never)]
fn hold_and_begin(id: u32, chain: Rc<Chain>, end_of_stream: bool) -> (Action, Option<Box<Http>>) {
    let headers = abi::request_headers();
    let meeting = chain.name_to_note().and_then(Meeting::of);
    if meeting.as_ref().is_some_and(Meeting::was_admitted) {
        return (Action::Continue, None);
    }
    // Before anything that can trap, as shared memory can.
    let held = match chain.dialect.caps().lets_requests_go {
        // Nothing that becomes of the filter may keep the request from its API.
        true if chain.is_in_shadow() => latch::stand_aside(),
        true => latch::hold().map(Some),
        false => Latch::Held(None),
    };
    let scheme = match held {
        Latch::Held(scheme) if !chain.is_closed() => scheme,
        Latch::Answered => return (Action::Continue, None),
        Latch::Held(_) | Latch::Impossible => {
            let reason =
                if chain.is_closed() { Reason::Misconfigured } else { Reason::KeysUnavailable };
            let finish = refuse(&chain, &headers, reason);
            return (carry_out_finish(&finish, chain.dialect), None);
        }
    };
    let arrival = Arrival { route: chain.route(meeting.as_ref()), meeting, scheme };
    let target = chain.dialect.target();
    if chain.dialect.may_lack(&headers) {
        let mut http = Box::new(Http::new(id, chain, arrival));
        let action = http.turn_away(headers, target);
        return (action, http.is_needed().then_some(http));
    }
    chain.note_request();
    begin(id, chain, headers, target, arrival, end_of_stream)
}

#[inline(always)]
fn begin(
    id: u32,
    chain: Rc<Chain>,
    headers: HeaderBlock,
    target: Option<Vec<u8>>,
    arrival: Arrival,
    end_of_stream: bool,
) -> (Action, Option<Box<Http>>) {
    let mut exchange = Exchange::new(headers, target, chain.abilities());
    let around = Around { dialect: chain.dialect, route: arrival.route.as_deref() };
    let effect = match chain.runtime() {
        Some(runtime) => {
            let facts = Facts { runtime: &runtime, host: &chain.host(), now: abi::now() };
            Some(exchange.step(Input::Begin, &facts, &around))
        }
        None => None,
    };
    // The hot path: nothing is kept.
    if let Some(Effect::Finish(Finish::Admit(changes))) = &effect
        && !changes.has_edits()
        && arrival.meeting.is_none()
    {
        apply(changes, chain.dialect);
        arrival.let_go_at_once();
        abi::give_back(exchange.into_headers());
        return (Action::Continue, None);
    }
    // Nor is anything of a request that is answered at once.
    if let Some(Effect::Finish(finish @ Finish::Answer(_))) = &effect
        && arrival.meeting.is_none()
    {
        let action = carry_out_finish(finish, chain.dialect);
        abi::give_back(exchange.into_headers());
        return (action, None);
    }
    let mut http = Box::new(Http::new(id, chain, arrival));
    let action = http.go_on(exchange, effect, end_of_stream);
    (action, http.is_needed().then_some(http))
}

impl Http {
    fn new(id: u32, chain: Rc<Chain>, arrival: Arrival) -> Self {
        Http {
            id,
            chain,
            paused: None,
            reading: None,
            watching: None,
            response: Vec::new(),
            arrival,
            residue: Residue::Nothing,
        }
    }

    /// Whether a later callback has something to do.
    fn is_needed(&self) -> bool {
        let is_noted = self.arrival.meeting.as_ref().is_some_and(Meeting::is_noted);
        is_noted
            || self.paused.is_some()
            || self.reading.is_some()
            || self.watching.is_some()
            || !self.response.is_empty()
    }

    fn around(&self) -> Around<'_> {
        Around { dialect: self.chain.dialect, route: self.arrival.route.as_deref() }
    }

    /// Nobody knows what is in the rest of a request's headers.
    fn turn_away(&mut self, headers: HeaderBlock, target: Option<Vec<u8>>) -> Action {
        let exchange = Exchange::new(headers, target, self.chain.abilities());
        let finish = self
            .chain
            .with_facts(|facts| exchange.turn_away(Reason::TooManyHeaders, facts, &self.around()));
        let finish =
            finish.unwrap_or_else(|| self.refuse(&HeaderBlock::default(), Reason::TooManyHeaders));
        self.finish(None, finish)
    }

    /// What becomes of a request that isn't simply let through.
    #[inline(never)]
    fn go_on(
        &mut self,
        mut exchange: Exchange,
        effect: Option<Effect>,
        end_of_stream: bool,
    ) -> Action {
        // Many may wait, and the block is large.
        abi::give_back(exchange.copy_headers());
        match effect {
            Some(Effect::Finish(finish)) => self.finish(None, finish),
            Some(Effect::ReadBody(bytes_max)) => {
                let action = self.read_body(Rc::new(RefCell::new(exchange)), bytes_max);
                if end_of_stream || self.chain.dialect.has_no_body() {
                    self.body_has_come(Some(&[]))
                } else {
                    action
                }
            }
            Some(effect) => self.carry_out(Rc::new(RefCell::new(exchange)), effect),
            None => {
                let finish = self.refuse(&HeaderBlock::default(), Reason::KeysUnavailable);
                self.finish(None, finish)
            }
        }
    }

    pub(super) fn step(&mut self, exchange: &Rc<RefCell<Exchange>>, input: Input<'_>) -> Effect {
        let around = self.around();
        let effect =
            self.chain.with_facts(|facts| exchange.borrow_mut().step(input, facts, &around));
        effect.unwrap_or_else(|| {
            Effect::Finish(self.refuse(&HeaderBlock::default(), Reason::KeysUnavailable))
        })
    }

    /// Carries effects out until one finishes the exchange or leaves it waiting.
    pub(super) fn carry_out(
        &mut self,
        exchange: Rc<RefCell<Exchange>>,
        mut effect: Effect,
    ) -> Action {
        loop {
            if self.is_spoilt(&effect) {
                return self.clear_away(exchange, effect);
            }
            let (fact, sleep_until) = match effect {
                Effect::Finish(finish) => return self.finish(Some(&exchange), finish),
                Effect::ReadBody(bytes_max) => return self.read_body(exchange, bytes_max),
                // Others fill all places: it calls the server without asking other gateways.
                Effect::Fetch(Fact::Elsewhere(_), _)
                    if self.chain.dialect.caps().wakes_others
                        && !self.chain.has_room(Queue::Token) =>
                {
                    exchange.borrow_mut().cannot_wait();
                    effect = self.step(&exchange, Input::Woken);
                    continue;
                }
                Effect::Fetch(fact, deadline) if self.chain.dialect.caps().wakes_others => {
                    // The root makes the call, so that it outlives this exchange; this one waits
                    // like the others.
                    let (name, queue) = (self.chain.digest(&fact), fact.queue());
                    self.chain.order(fact);
                    return self.wait(exchange, name, deadline, queue);
                }
                Effect::SleepUntil(deadline, name, queue)
                    if self.chain.dialect.caps().wakes_others =>
                {
                    return self.wait(exchange, Some(name), deadline, queue);
                }
                Effect::Fetch(fact, _) => (Some(fact), None),
                Effect::SleepUntil(deadline, _, queue) => (None, Some((deadline, queue))),
            };
            self.pause(&exchange);
            let call = match sleep_until {
                None => {
                    let call = fact.and_then(|fact| self.chain.call(&fact));
                    let has_body = call.as_ref().is_some_and(|call| !call.body.is_empty());
                    self.set_under_way(UnderWay::Fetch { has_body, since: abi::now() });
                    call
                }
                Some((deadline, queue)) => {
                    let Some(seat) = Seat::take(queue, self.chain.waiters_max()) else {
                        self.chain.count(Metric::WaitersFull);
                        return self.give_up(&exchange);
                    };
                    let call = self.chain.waiting_call(poll::interval_ms(abi::now(), deadline));
                    self.set_under_way(UnderWay::Wait(seat));
                    call
                }
            };
            if call.is_some_and(|call| dispatch(&call, self.chain.dialect, self.id).is_ok()) {
                return Action::Pause;
            }
            effect = self.not_called(&exchange, sleep_until.is_some());
        }
    }

    /// Goes on after a call that couldn't be made, or a wait that didn't wait.
    pub(super) fn not_called(
        &mut self,
        exchange: &Rc<RefCell<Exchange>>,
        was_wait: bool,
    ) -> Effect {
        self.set_under_way(UnderWay::Nothing);
        if was_wait {
            exchange.borrow_mut().cannot_wait();
            return self.step(exchange, Input::Woken);
        }
        self.step(exchange, Input::Fetched(CallAnswer::failed(&HeaderBlock::default())))
    }

    /// Ends an exchange that can't wait here any more.
    pub(super) fn give_up(&mut self, exchange: &Rc<RefCell<Exchange>>) -> Action {
        self.abandon(exchange);
        let around = self.around();
        let finish = self.chain.with_facts(|facts| exchange.borrow().give_up(facts, &around));
        self.close(exchange);
        let finish =
            finish.unwrap_or_else(|| self.refuse(&HeaderBlock::default(), Reason::KeysUnavailable));
        self.finish(Some(exchange), finish)
    }

    /// The exchange is over: others may go on with what it led.
    fn close(&self, exchange: &Rc<RefCell<Exchange>>) {
        let name = self.chain.with_facts(|facts| exchange.borrow_mut().close(facts)).flatten();
        if let Some(name) = name {
            self.chain.call_waiters(&name);
        }
        self.chain.tell_soon();
    }

    /// Gives up a call that this exchange itself was to make (Kong); the root's calls outlive it.
    fn abandon(&self, exchange: &Rc<RefCell<Exchange>>) {
        if !self.chain.dialect.caps().wakes_others {
            self.chain.with_facts(|facts| exchange.borrow_mut().abandon(facts));
        }
    }

    /// Waits until the root calls (Envoy).
    fn wait(
        &mut self,
        exchange: Rc<RefCell<Exchange>>,
        name: Option<Digest>,
        deadline: Time,
        queue: Queue,
    ) -> Action {
        let Some(name) = name.filter(|_| self.chain.has_room(queue)) else {
            return self.give_up(&exchange);
        };
        self.pause(&exchange);
        let is_led_here = self.chain.is_led_here(&name);
        let mut waiters = self.chain.waiters.borrow_mut();
        let before = (waiters.len() > 0, waiters.look_elsewhere());
        let since = abi::now();
        waiters.add(self.id, Waiter { exchange, name, since, deadline, queue, is_led_here });
        if before != (true, waiters.look_elsewhere()) {
            // From now on the root looks more often.
            self.chain.call_root();
        }
        Action::Pause
    }

    /// Whether what comes after the headers stays behind them: while the exchange waits for its
    /// verdict.
    fn hold(&self) -> Action {
        match self.paused.is_some() && self.chain.waiters.borrow().contains(self.id) {
            true => Action::Pause,
            false => Action::Continue,
        }
    }

    /// Notes that the exchange isn't decided when this callback ends.
    pub(super) fn pause(&mut self, exchange: &Rc<RefCell<Exchange>>) {
        if self.paused.is_none() {
            if let Some(meeting) = &mut self.arrival.meeting {
                meeting.note_route(self.arrival.route.clone());
            }
            let call = UnderWay::Nothing;
            self.paused = Some(Paused { exchange: exchange.clone(), call, since: None });
        }
    }

    pub(super) fn set_under_way(&mut self, call: UnderWay) {
        if let Some(paused) = &mut self.paused {
            paused.call = call;
            paused.since = paused.since.or_else(|| Some(abi::now()));
        }
    }

    pub(super) fn finish(
        &mut self,
        exchange: Option<&Rc<RefCell<Exchange>>>,
        finish: Finish,
    ) -> Action {
        let paused = self.paused.take();
        if let Some(since) = paused.as_ref().and_then(|paused| paused.since) {
            self.chain.took(Took::Wait, since);
        }
        if let (Finish::Admit(_), Some(meeting)) = (&finish, &mut self.arrival.meeting) {
            meeting.note_admitted();
        }
        self.note_changes(exchange, &finish);
        let action = carry_out_finish(&finish, self.chain.dialect);
        // Last of all: what traps before this doesn't reach the API.
        match (paused, &finish) {
            (None, Finish::Admit(_)) => self.arrival.let_go_at_once(),
            (Some(_), Finish::Admit(_)) if self.arrival.scheme.is_some() => latch::let_go(),
            // After a callout the host goes on to the next instance although it has an answer.
            (Some(_), Finish::Answer(_)) if self.chain.dialect.caps().lets_requests_go => {
                latch::note_answered()
            }
            (_, Finish::Admit(_) | Finish::Answer(_)) => {}
        }
        action
    }

    /// Keeps what the answer will need.
    fn note_changes(&mut self, exchange: Option<&Rc<RefCell<Exchange>>>, finish: &Finish) {
        let Finish::Admit(changes) = finish else { return };
        self.response.clone_from(&changes.edits().response);
        if changes.edits().watch {
            self.watching = exchange.cloned().map(|exchange| Watching::new(exchange, abi::now()));
        }
    }

    fn refuse(&self, headers: &HeaderBlock, reason: Reason) -> Finish {
        refuse(&self.chain, headers, reason)
    }
}

impl Http {}

impl Drop for Http {
    fn drop(&mut self) {
        self.chain.bodies().forget(self.id);
        let paused = self.paused.take().map(|paused| paused.exchange);
        if let Some(exchange) = &paused {
            self.chain.waiters.borrow_mut().remove(self.id);
            self.abandon(exchange);
        }
        let watched = self
            .watching
            .take()
            .map(|watching| watching.exchange)
            .or_else(|| self.chain.take_watched(self.id).map(|watched| watched.exchange));
        if let Some(exchange) = watched.or(paused) {
            self.close(&exchange);
        }
    }
}
