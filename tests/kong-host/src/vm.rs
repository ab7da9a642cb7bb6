//! One instance of a module, and the state that its host calls work on.

use crate::abi;
use crate::callout::{Answer, Call};
use crate::host::Shared;
use crate::http::{Headers, Response};
use crate::router::Match;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use wasmi::{CompilationMode, Config, Engine, Func, Instance, Memory, Module, Store, Val};

/// A compiled module.
pub struct Code {
    pub engine: Engine,
    pub module: Module,
}

impl Code {
    /// Reads a module, binary or text; its functions are compiled when they are first called.
    pub fn new(bytes: &[u8]) -> Result<Code, String> {
        let mut config = Config::default();
        config.compilation_mode(CompilationMode::LazyTranslation);
        let engine = Engine::new(&config);
        let module = Module::new(&engine, bytes).map_err(|error| error.to_string())?;
        Ok(Code { engine, module })
    }
}

/// One chain entry of one configuration: it has a root context in each worker.
pub struct Filter {
    /// Root context id, unique in the host.
    pub id: u32,
    /// Counts configuration pushes.
    pub generation: u64,
    pub name: String,
    pub config: String,
    pub code: Arc<Code>,
}

/// Where in its life the filter is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Step {
    #[default]
    Start,
    RequestHeaders,
    RequestBody,
    ResponseHeaders,
    ResponseBody,
    Log,
    Tick,
    Callout,
}

/// How a callback ended when it didn't return.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The instance is lost.
    Trap(String),
    /// The real worker would have crashed.
    Death(String),
}

/// One request and its response, as filters and the proxy see them.
#[derive(Default)]
pub struct Traffic {
    pub method: String,
    /// As the client sent it.
    pub target: String,
    /// As nginx decoded it and Kong stripped it.
    pub path: String,
    pub headers: Headers,
    pub body: Option<Vec<u8>>,
    pub body_read: bool,
    pub address: String,
    /// nginx variables that can be set.
    pub vars: HashMap<String, Vec<u8>>,
    /// `kong.ctx.shared`.
    pub shared: HashMap<String, Vec<u8>>,
    pub matched: Option<Arc<Match>>,
    /// A reply of the filter that has not gone out yet.
    pub local: Option<Response>,
    pub status: u16,
    pub response_headers: Headers,
    /// Response headers are being sent, or were.
    pub in_response: bool,
    pub in_response_body: bool,
    pub piece: Vec<u8>,
    /// The filter answered from the response headers callback.
    pub replaced: bool,
    /// Callouts on their way.
    pub pending: Vec<u32>,
    /// A callout of it was answered.
    pub called_back: bool,
    /// Its callouts have left a buffer at the host.
    pub has_buffer: bool,
}

/// What host calls work on.
pub struct Cx {
    pub host: Arc<Shared>,
    pub worker: usize,
    pub memory: Option<Memory>,
    pub alloc: Option<Func>,
    pub filter: Arc<Filter>,
    pub step: Step,
    /// The active context is a root context.
    pub root: bool,
    pub traffic: Option<Box<Traffic>>,
    /// The answer that a callout's callback is about.
    pub answer: Option<Answer>,
    /// Callouts dispatched in this callback.
    pub calls: Vec<Call>,
    /// Tick periods set in this callback: root context, ms (0 ends it).
    pub ticks: Vec<(u32, u32)>,
    /// Roots of this instance that have a tick.
    pub ticking: HashSet<u32>,
    pub next_call: Arc<AtomicU32>,
}

/// An instance with its contexts.
pub struct Vm {
    store: Store<Cx>,
    instance: Instance,
    pub trapped: bool,
    pub roots: HashSet<u32>,
    pub contexts: HashSet<u32>,
}

impl Vm {
    /// Instantiates a module; an import that the host doesn't have, or not so, is an error.
    pub fn new(
        filter: &Arc<Filter>,
        host: &Arc<Shared>,
        worker: usize,
        next_call: &Arc<AtomicU32>,
    ) -> Result<Vm, String> {
        let code = filter.code.clone();
        let cx = Cx {
            host: host.clone(),
            worker,
            memory: None,
            alloc: None,
            filter: filter.clone(),
            step: Step::Start,
            root: true,
            traffic: None,
            answer: None,
            calls: Vec::new(),
            ticks: Vec::new(),
            ticking: HashSet::new(),
            next_call: next_call.clone(),
        };
        let mut store = Store::new(&code.engine, cx);
        let linker = abi::linker(&code.engine).map_err(|error| error.to_string())?;
        let instance = linker
            .instantiate_and_start(&mut store, &code.module)
            .map_err(|error| error.to_string())?;
        let memory = instance.get_memory(&store, "memory");
        let alloc = instance
            .get_func(&store, "proxy_on_memory_allocate")
            .or_else(|| instance.get_func(&store, "malloc"));
        store.data_mut().memory = memory;
        store.data_mut().alloc = alloc;
        let mut vm =
            Vm { store, instance, trapped: false, roots: HashSet::new(), contexts: HashSet::new() };
        for start in ["_initialize", "_start"] {
            if vm.has(start) {
                vm.call(start, &[]).map_err(|fault| format!("{fault:?}"))?;
                break;
            }
        }
        Ok(vm)
    }

    /// What host calls work on.
    pub fn cx(&mut self) -> &mut Cx {
        self.store.data_mut()
    }

    /// Whether the module exports the function.
    pub fn has(&self, name: &str) -> bool {
        self.instance.get_func(&self.store, name).is_some()
    }

    /// Calls an exported function; a missing one does nothing and returns None.
    pub fn call(&mut self, name: &str, params: &[u32]) -> Result<Option<u32>, Fault> {
        let Some(func) = self.instance.get_func(&self.store, name) else { return Ok(None) };
        let params: Vec<Val> = params.iter().map(|param| Val::I32(*param as i32)).collect();
        let wants = func.ty(&self.store);
        let mut results = vec![Val::I32(0); wants.results().len()];
        let params = params.get(..wants.params().len()).unwrap_or(&params);
        match func.call(&mut self.store, params, &mut results) {
            Ok(()) => Ok(results.first().and_then(|result| match result {
                Val::I32(value) => Some(*value as u32),
                _ => None,
            })),
            Err(error) => {
                self.trapped = true;
                Err(abi::fault(&error))
            }
        }
    }
}
