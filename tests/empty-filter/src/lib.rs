//! A filter that lets everything through: one VM entry for the request headers, nothing else.
//!
//! Its configuration, if there is one, is counted in bytes and logged once, so that a test can see
//! that it arrived.
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root));
}}

struct Root;
struct Exchange;

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, configuration_bytes: usize) -> bool {
        let _ = proxy_wasm::hostcalls::log(
            LogLevel::Info,
            &format!("empty-filter: {configuration_bytes} bytes of configuration"),
        );
        true
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
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
