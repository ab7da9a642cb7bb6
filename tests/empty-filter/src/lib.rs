//! A filter that lets everything through: one VM entry for the request headers, nothing else.
//!
//! Its configuration, if there is one, is counted in bytes and logged once, so that a test can see
//! that it arrived. If it is the text `401`, the filter refuses everything with this status: what a
//! refusal costs by itself. If it begins with `verify:`, it makes the host calls of a new token that
//! the host verifies, and nothing else; what follows are arguments of the host's function in
//! hexadecimal digits, separated by commas, which take turns.
mod calls;

use std::cell::Cell;
use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MetricType};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root { does: Does::Nothing }));
}}

struct Root {
    does: Does,
}

enum Does {
    Nothing,
    Refuse,
    Verify(Rc<Asked>),
}

/// What the host is asked about each request, and what is counted.
struct Asked {
    arguments: Vec<Vec<u8>>,
    turn: Cell<usize>,
    counters: Vec<u32>,
}

impl Asked {
    fn new(digits: &[u8]) -> Asked {
        let text = std::str::from_utf8(digits).unwrap_or_default();
        let bytes = |text: &str| {
            let byte = |at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
            (0..text.len()).step_by(2).filter_map(byte).collect()
        };
        let define = |name| hostcalls::define_metric(MetricType::Counter, name).unwrap_or_default();
        Asked {
            arguments: text.split(',').map(bytes).collect(),
            turn: Cell::default(),
            counters: ["empty.one", "empty.two", "empty.three"].map(define).to_vec(),
        }
    }
}

impl Asked {
    fn next(&self) -> Option<&[u8]> {
        let turn = self.turn.replace(self.turn.get() + 1);
        self.arguments.get(turn % self.arguments.len().max(1)).map(Vec::as_slice)
    }
}

struct Exchange;
struct Refusal;
struct Verification(Rc<Asked>);

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, configuration_bytes: usize) -> bool {
        let _ = proxy_wasm::hostcalls::log(
            LogLevel::Info,
            &format!("empty-filter: {configuration_bytes} bytes of configuration"),
        );
        let text = self.get_plugin_configuration().unwrap_or_default();
        self.does = match text.strip_prefix(b"verify:") {
            Some(digits) => Does::Verify(Rc::new(Asked::new(digits))),
            None if text == b"401" => Does::Refuse,
            None => Does::Nothing,
        };
        true
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(match &self.does {
            Does::Nothing => Box::new(Exchange),
            Does::Refuse => Box::new(Refusal),
            Does::Verify(asked) => Box::new(Verification(asked.clone())),
        })
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Context for Exchange {}

impl HttpContext for Exchange {
    fn on_http_request_headers(&mut self, _headers: usize, _end_of_stream: bool) -> Action {
        Action::Continue
    }
}

impl Context for Refusal {}

impl HttpContext for Refusal {
    fn on_http_request_headers(&mut self, _headers: usize, _end_of_stream: bool) -> Action {
        let headers =
            [("www-authenticate", "Bearer realm=\"api\""), ("content-type", "text/plain")];
        self.send_http_response(401, headers.to_vec(), Some(b"no token"));
        Action::Pause
    }
}

impl Context for Verification {}

impl HttpContext for Verification {
    fn on_http_request_headers(&mut self, _headers: usize, _end_of_stream: bool) -> Action {
        let headers = self.get_http_request_headers_bytes();
        let now = hostcalls::get_current_time();
        let answer = hostcalls::call_foreign_function("verify_signature", self.0.next());
        for counter in &self.0.counters {
            let _ = hostcalls::increment_metric(*counter, 1);
        }
        match answer {
            // "result: true", as a protocol buffer.
            Ok(Some(good)) if good == [8, 1] && now.is_ok() && !headers.is_empty() => {
                Action::Continue
            }
            _ => {
                self.send_http_response(500, Vec::new(), None);
                Action::Pause
            }
        }
    }
}
