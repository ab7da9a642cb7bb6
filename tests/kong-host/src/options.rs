//! What a test chooses about the host; the defaults are Kong's.

use std::path::PathBuf;

/// How a zone makes room (`nginx_wasm_shm_kv`, `eviction=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eviction {
    /// Least recently used of the same size class first, then of larger, then of smaller ones; the
    /// default.
    Slru,
    /// Least recently used, whatever its size.
    Lru,
    /// Nothing gives way: a full zone traps.
    None,
}

/// One zone of the shared key-value store.
#[derive(Clone, Debug)]
pub struct Zone {
    /// `*` is the zone of keys without a zone's name before a `/`.
    pub name: String,
    /// Size in bytes, as in the directive.
    pub bytes: usize,
    /// What gives way when it is full.
    pub eviction: Eviction,
}

impl Zone {
    /// The zone of every key that names none.
    pub fn default_zone(bytes: usize, eviction: Eviction) -> Zone {
        Zone { name: "*".into(), bytes, eviction }
    }

    /// Reads `NAME=SIZE[,EVICTION]`, SIZE with `k` or `m`.
    ///
    /// # Errors
    /// A sentence that says what was expected.
    pub fn parse(text: &str) -> Result<Zone, String> {
        let wrong = || format!("expected NAME=SIZE[k|m][,slru|lru|none], got {text:?}");
        let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
        let (size, eviction) = rest.split_once(',').unwrap_or((rest, "slru"));
        let eviction = match eviction {
            "slru" => Eviction::Slru,
            "lru" => Eviction::Lru,
            "none" => Eviction::None,
            _ => return Err(wrong()),
        };
        let (digits, unit) = match size.strip_suffix(['m', 'M']) {
            Some(digits) => (digits, 1 << 20),
            None => match size.strip_suffix(['k', 'K']) {
                Some(digits) => (digits, 1 << 10),
                None => (size, 1),
            },
        };
        let bytes = digits.parse::<usize>().map_err(|_| wrong())? * unit;
        Ok(Zone { name: name.into(), bytes, eviction })
    }
}

/// Everything about a host but its routes.
#[derive(Clone, Debug)]
pub struct Options {
    /// nginx workers; each has one instance per module.
    pub workers: usize,
    /// Filters by name, as Kong names them after the files in `wasm_filters_path`.
    pub modules: Vec<(String, PathBuf)>,
    /// Kong's `wasm`: off means that no chain runs.
    pub wasm: bool,
    /// Zones of the key-value store. Without one, every get and set traps.
    pub zones: Vec<Zone>,
    /// Names of the shared queues. Any other name traps.
    pub queues: Vec<String>,
    /// Environment of the worker processes, as filters see it.
    pub env: Vec<(String, String)>,
    /// `client_body_buffer_size`, bytes: a larger body reads as None.
    pub body_buffer: usize,
    /// `wasm_response_body_buffers`: how many.
    pub response_buffers: usize,
    /// `wasm_response_body_buffers`: bytes of each.
    pub response_buffer: usize,
    /// The largest piece of a response that one body callback gets, bytes.
    pub response_piece: usize,
    /// A post-function refuses buffered requests with 503, on every route.
    pub refuse_buffered: bool,
    /// nginx declares the variables in which a filter says why: `herdgate_verdict` and the like.
    pub log_variables: bool,
    /// A post-function sets the upstream's scheme aside before any filter runs, on every route: the
    /// name in `kong.ctx.shared` under which it keeps the right one.
    pub bolt: Option<String>,
    /// Ticks come by themselves; false means that only [`crate::Host::tick`] makes them come.
    pub ticks: bool,
    /// How long a request may stay paused with nothing on its way before the host calls it stuck,
    /// ms.
    pub stuck_ms: u64,
    /// How long the host waits for an API, ms.
    pub upstream_timeout_ms: u64,
}

/// The filter under test: the file that `HERDGATE_WASM` names, else the repository's
/// `dist/herdgate.wasm`.
pub fn herdgate_wasm() -> PathBuf {
    let built = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../dist/herdgate.wasm"));
    std::env::var_os("HERDGATE_WASM").map_or_else(built, PathBuf::from)
}

impl Default for Options {
    fn default() -> Options {
        Options {
            workers: 1,
            modules: Vec::new(),
            wasm: true,
            zones: vec![Zone::default_zone(12 << 20, Eviction::Slru)],
            queues: Vec::new(),
            env: Vec::new(),
            body_buffer: 8192,
            response_buffers: 4,
            response_buffer: 4096,
            response_piece: 4096,
            refuse_buffered: false,
            log_variables: false,
            bolt: None,
            ticks: true,
            stuck_ms: 2000,
            upstream_timeout_ms: 10_000,
        }
    }
}
