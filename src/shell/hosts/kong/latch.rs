//! What keeps a request from the API until it is decided (Kong).
//!
//! Kong lets a request go when a filter traps, when a neighbour of it does, and after each callout.
//! So before a request can trap, its scheme (`ngx.upstream_scheme`) becomes one that nginx doesn't
//! know: what goes on then ends in Kong's own 500. The state is in the scheme itself, so it is the
//! request's: all instances of the filter that the request meets share it, and it outlives an
//! instance that trapped.
//!
//! | scheme | who stands there |
//! |---|---|
//! | `http` | nobody |
//! | `herdgate` | the bolt that kong/ ships; it keeps the right scheme elsewhere |
//! | `herdgate.2.http` | two instances that haven't decided; `http` is right |
//! | `herdgate.answered` | an instance whose answer the host has, and hasn't sent yet |

use crate::shell::abi;

const SCHEME: &[&str] = &["ngx", "upstream_scheme"];
const BOLT: &[u8] = b"herdgate";
const ANSWERED: &[u8] = b"herdgate.answered";
const HELD: &[u8] = b"herdgate.";
/// Where the bolt keeps the right scheme. Read in the headers callback alone, as all of `kong.*`.
const BOLTED: &[&str] = &["kong", "ctx", "shared", "herdgate_scheme"];

/// What became of an attempt to hold a request back.
pub enum Latch<T = Vec<u8>> {
    /// It is held; before that its scheme was this, or is to be this.
    Held(T),
    /// Another instance of the filter has answered it: whoever answers once more traps, and kills
    /// the worker.
    Answered,
    /// The host wouldn't have it. Then the request must not go on.
    Impossible,
}

impl<T> Latch<T> {
    /// The same with something else of what was held.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Latch<U> {
        match self {
            Latch::Held(scheme) => Latch::Held(change(scheme)),
            Latch::Answered => Latch::Answered,
            Latch::Impossible => Latch::Impossible,
        }
    }
}

/// How a request stands.
enum State<'a> {
    Open(&'a [u8]),
    Bolted,
    /// By how many instances, and the right scheme.
    Held(u8, &'a [u8]),
    Answered,
    Unknown,
}

impl State<'_> {
    fn of(scheme: &[u8]) -> State<'_> {
        match scheme {
            BOLT => State::Bolted,
            ANSWERED => State::Answered,
            _ => match scheme.strip_prefix(HELD) {
                Some([count @ b'1'..=b'9', b'.', right @ ..]) => State::Held(count - b'0', right),
                Some(_) => State::Unknown,
                None => State::Open(scheme),
            },
        }
    }
}

/// Holds the present request back, for one instance more.
pub fn hold() -> Latch {
    let Some(scheme) = abi::property(SCHEME) else { return Latch::Impossible };
    let (count, right) = match State::of(&scheme) {
        State::Open(right) => (1, right.to_vec()),
        State::Held(count, right) if count < 9 => (count + 1, right.to_vec()),
        State::Bolted => match abi::property(BOLTED) {
            Some(right) if matches!(State::of(&right), State::Open(_)) => {
                return if set(1, &right) { Latch::Held(right) } else { Latch::Impossible };
            }
            _ => return Latch::Impossible,
        },
        State::Answered => return Latch::Answered,
        State::Held(..) | State::Unknown => return Latch::Impossible,
    };
    if set(count, &right) { Latch::Held(scheme) } else { Latch::Impossible }
}

/// Holds nothing back, in shadow mode: the bolt is opened, and what other instances hold stays so.
pub fn stand_aside() -> Latch<Option<Vec<u8>>> {
    let scheme = abi::property(SCHEME).unwrap_or_default();
    match State::of(&scheme) {
        State::Answered => return Latch::Answered,
        State::Bolted => {
            if let Some(right) =
                abi::property(BOLTED).filter(|right| matches!(State::of(right), State::Open(_)))
            {
                abi::set_property(SCHEME, &right);
            }
        }
        State::Open(_) | State::Held(..) | State::Unknown => {}
    }
    Latch::Held(None)
}

/// Lets a request go that was decided in the callback in which it was held; `before` is what
/// [`hold`] gave.
pub fn let_go_at_once(before: &[u8]) {
    abi::set_property(SCHEME, before);
}

/// Lets a request go that was held in an earlier callback, as far as this instance is concerned.
pub fn let_go() {
    let scheme = abi::property(SCHEME).unwrap_or_default();
    match State::of(&scheme) {
        State::Held(1, right) => {
            abi::set_property(SCHEME, right);
        }
        State::Held(count, right) => {
            set(count - 1, right);
        }
        State::Open(_) | State::Bolted | State::Answered | State::Unknown => {}
    }
}

/// Tells the other instances that this one has answered.
pub fn note_answered() {
    abi::set_property(SCHEME, ANSWERED);
}

/// Whether another instance has answered.
pub fn is_answered() -> bool {
    abi::property(SCHEME).is_some_and(|scheme| scheme == ANSWERED)
}

fn set(count: u8, right: &[u8]) -> bool {
    abi::set_property(SCHEME, &[HELD, &[b'0' + count, b'.'], right].concat())
}
