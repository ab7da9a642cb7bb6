//! What the host calls: each function finds its context and hands over.
//!
//! They stand in for the SDK's, under whose names scripts/build exports them. The SDK boxes every
//! exchange and looks it up in hash tables on each callback; here an exchange that is decided at
//! once leaves nothing behind, so that its later callbacks find nothing to do. What a callback
//! costs is mostly memory that the host's own work has driven out of the processor's caches, so the
//! way of such a request is kept short and in one piece.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use proxy_wasm::types::Action;

use super::abi;
use super::chain::Chain;
use super::http::{self, Http};
use super::root::Root;

/// All contexts of this virtual machine.
struct Contexts {
    roots: RefCell<BTreeMap<u32, Root>>,
    /// The first root context that there was, and what it has in force while there has been no
    /// other.
    first: Cell<Option<u32>>,
    sole: RefCell<Option<Rc<Chain>>>,
    /// Whether there has been another. From then on each exchange's root is written down; an
    /// exchange of which nothing is written came before, and is the first one's.
    several: Cell<bool>,
    parents: RefCell<BTreeMap<u32, u32>>,
    /// Exchanges that need more than their request's headers.
    exchanges: RefCell<BTreeMap<u32, Box<Http>>>,
    /// Whose answer a callout brings.
    callouts: RefCell<BTreeMap<u32, u32>>,
}

thread_local! {
    static CONTEXTS: Contexts = const {
        Contexts {
            roots: RefCell::new(BTreeMap::new()),
            first: Cell::new(None),
            sole: RefCell::new(None),
            several: Cell::new(false),
            parents: RefCell::new(BTreeMap::new()),
            exchanges: RefCell::new(BTreeMap::new()),
            callouts: RefCell::new(BTreeMap::new()),
        }
    };
}

/// Notes that the answer to the callout `token` is for `context`.
pub fn note_callout(token: u32, context: u32) {
    CONTEXTS.with(|contexts| contexts.callouts.borrow_mut().insert(token, context));
}

impl Contexts {
    /// The configuration of an exchange's root; nothing if the root is gone.
    #[inline(always)]
    fn chain_of(&self, exchange: u32) -> Option<Rc<Chain>> {
        if self.several.get() {
            return self.chain_written_down(exchange);
        }
        self.sole.borrow().clone()
    }

    #[inline(never)]
    fn chain_written_down(&self, exchange: u32) -> Option<Rc<Chain>> {
        let root = self.parents.borrow().get(&exchange).copied().or(self.first.get())?;
        self.roots.borrow().get(&root).map(|root| root.chain().clone())
    }

    /// To be called when a root context, or its configuration, has come or gone.
    fn note_sole(&self) {
        let first = self.first.get().filter(|_| !self.several.get());
        let chain = first
            .and_then(|first| self.roots.borrow().get(&first).map(|root| root.chain().clone()));
        *self.sole.borrow_mut() = chain;
    }

    fn with_root<T>(&self, root: u32, work: impl FnOnce(&mut Root) -> T) -> Option<T> {
        self.roots.borrow_mut().get_mut(&root).map(work)
    }

    /// Hands over to an exchange that was kept; one that wasn't goes on.
    #[inline(always)]
    fn with_exchange(&self, exchange: u32, work: impl FnOnce(&mut Http) -> Action) -> u32 {
        if self.exchanges.borrow().is_empty() {
            return Action::Continue as u32;
        }
        self.with_kept(exchange, work)
    }

    #[inline(never)]
    fn with_kept(&self, exchange: u32, work: impl FnOnce(&mut Http) -> Action) -> u32 {
        self.exchanges
            .borrow_mut()
            .get_mut(&exchange)
            .map_or(Action::Continue, |exchange| work(exchange)) as u32
    }

    #[inline(never)]
    fn keep(&self, id: u32, exchange: Box<Http>) {
        self.exchanges.borrow_mut().insert(id, exchange);
    }

    #[inline(never)]
    fn write_down(&self, exchange: u32, root: u32) {
        self.parents.borrow_mut().insert(exchange, root);
    }

    #[inline(never)]
    fn create_root(&self, root: u32) {
        match self.first.get() {
            None => self.first.set(Some(root)),
            Some(_) => self.several.set(true),
        }
        self.roots.borrow_mut().insert(root, Root::new(root));
        self.note_sole();
    }

    fn configure(&self, root: u32, size: usize, sees_answers: bool) -> bool {
        let is_good = self.with_root(root, |root| root.on_configure(size, sees_answers));
        self.note_sole();
        is_good == Some(true)
    }

    #[inline(never)]
    fn delete(&self, context: u32) {
        // Outside of the borrow: what goes may call the host.
        let exchange = self.exchanges.borrow_mut().remove(&context);
        if exchange.is_some() {
            // Nobody will bring it the answer to a call of its own.
            self.callouts.borrow_mut().retain(|_, whose| *whose != context);
        }
        drop(exchange);
        self.parents.borrow_mut().remove(&context);
        let root = self.roots.borrow_mut().remove(&context);
        drop(root);
        self.note_sole();
    }

    fn called_back(&self, token: u32, headers: usize, body_size: usize) {
        let Some(context) = self.callouts.borrow_mut().remove(&token) else { return };
        abi::set_effective_context(context);
        if let Some(exchange) = self.exchanges.borrow_mut().get_mut(&context) {
            return exchange.on_http_call_response(headers, body_size);
        }
        self.with_root(context, |root| root.on_http_call_response(token, headers, body_size));
    }
}

#[unsafe(no_mangle)]
extern "C" fn herdgate_on_context_create(context: u32, root: u32) {
    CONTEXTS.with(|contexts| {
        if root == 0 {
            contexts.create_root(context);
        } else if contexts.several.get() {
            contexts.write_down(context, root);
        }
    });
}

#[unsafe(no_mangle)]
extern "C" fn herdgate_on_vm_start(_: u32, _: usize) -> u32 {
    1
}

#[unsafe(no_mangle)]
extern "C" fn herdgate_on_configure(root: u32, size: usize) -> u32 {
    CONTEXTS.with(|contexts| u32::from(contexts.configure(root, size, true)))
}

/// The same under the host's name in herdgate-bearer.wasm, which has no callbacks for answers.
#[unsafe(no_mangle)]
extern "C" fn herdgate_bearer_on_configure(root: u32, size: usize) -> u32 {
    CONTEXTS.with(|contexts| u32::from(contexts.configure(root, size, false)))
}

#[unsafe(no_mangle)]
extern "C" fn herdgate_on_tick(root: u32) {
    CONTEXTS.with(|contexts| contexts.with_root(root, Root::on_tick));
}

#[unsafe(no_mangle)]
extern "C" fn herdgate_on_queue_ready(root: u32, queue: u32) {
    CONTEXTS.with(|contexts| contexts.with_root(root, |root| root.on_queue_ready(queue)));
}

#[unsafe(no_mangle)]
extern "C" fn herdgate_on_http_call_response(
    _: u32,
    token: u32,
    headers: usize,
    body_size: usize,
    _: usize,
) {
    CONTEXTS.with(|contexts| contexts.called_back(token, headers, body_size));
}

#[unsafe(no_mangle)]
extern "C" fn herdgate_on_request_headers(context: u32, _: usize, end_of_stream: u32) -> u32 {
    let chain = CONTEXTS.with(|contexts| contexts.chain_of(context));
    let (action, kept) = http::request_headers(context, chain, end_of_stream != 0);
    if let Some(exchange) = kept {
        CONTEXTS.with(|contexts| contexts.keep(context, exchange));
    }
    action as u32
}

#[unsafe(no_mangle)]
extern "C" fn herdgate_on_request_body(context: u32, size: usize, end_of_stream: u32) -> u32 {
    CONTEXTS.with(|contexts| {
        contexts
            .with_exchange(context, |exchange| exchange.on_request_body(size, end_of_stream != 0))
    })
}

#[unsafe(no_mangle)]
extern "C" fn herdgate_on_request_trailers(context: u32, _: usize) -> u32 {
    CONTEXTS.with(|contexts| contexts.with_exchange(context, Http::on_request_trailers))
}

#[unsafe(no_mangle)]
extern "C" fn herdgate_on_response_headers(context: u32, _: usize, end_of_stream: u32) -> u32 {
    CONTEXTS.with(|contexts| {
        contexts.with_exchange(context, |exchange| exchange.on_response_headers(end_of_stream != 0))
    })
}

#[unsafe(no_mangle)]
extern "C" fn herdgate_on_response_body(context: u32, size: usize, end_of_stream: u32) -> u32 {
    CONTEXTS.with(|contexts| {
        contexts
            .with_exchange(context, |exchange| exchange.on_response_body(size, end_of_stream != 0))
    })
}

#[unsafe(no_mangle)]
extern "C" fn herdgate_on_response_trailers(context: u32, _: usize) -> u32 {
    CONTEXTS.with(|contexts| contexts.with_exchange(context, Http::on_response_trailers))
}

/// Yes, the context may go.
#[unsafe(no_mangle)]
extern "C" fn herdgate_on_done(_: u32) -> u32 {
    1
}

/// Nothing is logged. Kong's host calls this one and the one above after each request without a
/// look whether a module has them, and a worker dies where it hasn't.
#[unsafe(no_mangle)]
extern "C" fn herdgate_on_log(_: u32) {}

#[unsafe(no_mangle)]
extern "C" fn herdgate_on_delete(context: u32) {
    CONTEXTS.with(|contexts| {
        let is_hot = contexts.exchanges.borrow().is_empty()
            && !contexts.several.get()
            && contexts.first.get() != Some(context);
        if !is_hot {
            contexts.delete(context);
        }
    });
}
