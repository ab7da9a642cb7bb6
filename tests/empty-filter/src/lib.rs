//! A filter that lets everything through: one VM entry for the request headers, nothing else.
//!
//! Its configuration, if there is one, is counted in bytes and logged once, so that a test can see
//! that it arrived. If it is the text `401`, the filter refuses everything with this status: what a
//! refusal costs by itself.
mod calls;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root { refuses: false }));
}}

struct Root {
    refuses: bool,
}
struct Exchange;
struct Refusal;

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, configuration_bytes: usize) -> bool {
        let _ = proxy_wasm::hostcalls::log(
            LogLevel::Info,
            &format!("empty-filter: {configuration_bytes} bytes of configuration"),
        );
        self.refuses = self.get_plugin_configuration().is_some_and(|text| text == b"401");
        true
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        if self.refuses {
            return Some(Box::new(Refusal));
        }
        Some(Box::new(Exchange))
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
