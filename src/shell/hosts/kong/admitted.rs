//! Which requests the filter has admitted already: one on a service and on its route meets it twice
//! (Kong).
//!
//! Kong's own place for such a mark, `kong.ctx.shared`, is of no use here. The host reads and
//! writes `kong.*` through Lua, after a callout on whichever coroutine ran last; that may be a
//! timer's, which then fires on a request that is gone, and the worker dies. All chains of a worker
//! share one instance, so what it remembers itself is enough.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use super::residue::Residue;
use crate::shell::abi;

/// Drawn by Kong for each request, whatever the client sends.
const REQUEST_ID: &[&str] = &["ngx", "kong_request_id"];

thread_local! {
    static ADMITTED: RefCell<HashSet<Vec<u8>>> = RefCell::default();
    static NOTES: RefCell<HashMap<Vec<u8>, Note>> = RefCell::default();
}

/// What an instance leaves to those that meet its request later.
#[derive(Default)]
struct Note {
    /// The route's name, if there is one.
    route: Option<String>,
    /// Whether it has read the body of a call to an authorization server.
    has_taken: bool,
    /// What the calls of all have left.
    residue: Residue,
}

/// The request of the present callback under one configuration.
pub struct Meeting {
    id: Vec<u8>,
    key: Vec<u8>,
    is_noted: bool,
    has_note: bool,
}

impl Meeting {
    /// Under the configuration called `name`; nothing if the request can't be told from others.
    /// Then it is decided, and charged, each time.
    pub fn of(name: &str) -> Option<Self> {
        let id = abi::property(REQUEST_ID).filter(|id| id.len() >= REQUEST_ID_BYTES_MIN)?;
        let key = [id.as_slice(), name.as_bytes()].concat();
        Some(Meeting { id, key, is_noted: false, has_note: false })
    }

    /// The route's name, if an instance before this one has noted whether there is one.
    pub fn noted_route(&self) -> Option<Option<String>> {
        NOTES.with_borrow(|notes| notes.get(&self.id).map(|note| note.route.clone()))
    }

    /// Notes the route's name for the next instance, until this is dropped.
    pub fn note_route(&mut self, route: Option<String>) {
        NOTES.with_borrow_mut(|notes| {
            self.has_note |= !notes.contains_key(&self.id);
            notes.entry(self.id.clone()).or_insert(Note { route, ..Note::default() });
        });
    }

    /// Takes a call to an authorization server; false if an instance before this one has. A second
    /// one would wait for what the first one is about to ask, and so for ever.
    pub fn take_call(&mut self) -> bool {
        NOTES.with_borrow_mut(|notes| {
            let note = notes.entry(self.id.clone()).or_default();
            !std::mem::replace(&mut note.has_taken, true)
        })
    }

    /// What the calls of the instances before this one, and its own, have left.
    pub fn residue(&self) -> Residue {
        NOTES.with_borrow(|notes| notes.get(&self.id).map_or(Residue::Nothing, |note| note.residue))
    }

    /// Notes that, once the route is noted.
    pub fn note_residue(&self, residue: Residue) {
        NOTES.with_borrow_mut(|notes| {
            if let Some(note) = notes.get_mut(&self.id) {
                note.residue = residue;
            }
        });
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
        if self.has_note {
            NOTES.with_borrow_mut(|notes| notes.remove(&self.id));
        }
    }
}

/// Kong's ids have 32; a short one would not tell requests apart.
const REQUEST_ID_BYTES_MIN: usize = 16;
