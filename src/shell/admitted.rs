//! Which requests the filter has admitted already: one on a service and on its route meets it twice (Kong).
//!
//! Kong's own place for such a mark, `kong.ctx.shared`, is of no use here. The host reads and writes
//! `kong.*` through Lua, after a callout on whichever coroutine ran last; that may be a timer's, which
//! then fires on a request that is gone, and the worker dies. All chains of a worker share one instance, so
//! what it remembers itself is enough.

use std::cell::RefCell;
use std::collections::HashSet;

use super::abi;

/// Drawn by Kong for each request, whatever the client sends.
const REQUEST_ID: &[&str] = &["ngx", "kong_request_id"];

thread_local! {
    static ADMITTED: RefCell<HashSet<Vec<u8>>> = RefCell::default();
}

/// The request of the present callback under one configuration.
pub struct Meeting {
    key: Vec<u8>,
    is_noted: bool,
}

impl Meeting {
    /// Under the configuration called `name`; nothing if the request can't be told from others. Then it is
    /// decided, and charged, each time.
    pub fn of(name: &str) -> Option<Self> {
        let mut key = abi::property(REQUEST_ID).filter(|id| id.len() >= REQUEST_ID_BYTES_MIN)?;
        key.extend_from_slice(name.as_bytes());
        Some(Meeting { key, is_noted: false })
    }

    /// Whether it was admitted already.
    pub fn was_admitted(&self) -> bool {
        ADMITTED.with_borrow(|admitted| admitted.contains(&self.key))
    }

    /// Whether this one has noted that it was.
    pub fn is_noted(&self) -> bool {
        self.is_noted
    }

    /// Notes that it was, until this is dropped.
    pub fn note_admitted(&mut self) {
        self.is_noted = ADMITTED.with_borrow_mut(|admitted| admitted.insert(self.key.clone()));
    }
}

impl Drop for Meeting {
    fn drop(&mut self) {
        if self.is_noted {
            ADMITTED.with_borrow_mut(|admitted| admitted.remove(&self.key));
        }
    }
}

/// Kong's ids have 32; a short one would not tell requests apart.
const REQUEST_ID_BYTES_MIN: usize = 16;
