//! One request's walk: router, Lua, filters, the API, filters again.

use crate::callout::{Answer, Buffers};
use crate::host::Shared;
use crate::http::{Request, Response};
use crate::vm::{Step, Traffic};
use crate::worker::{Flight, Halt, HttpContext, Wake, Worker};
use crate::{plugins, proxy, router};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Requests so far, each of which has a number.
static REQUESTS: AtomicU64 = AtomicU64::new(0);

/// What the client gets.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A response.
    Answer(Response),
    /// The connection breaks: the worker has died.
    Reset,
    /// The connection breaks in the midst of a response: a trap in a body callback.
    Cut,
    /// Nothing, ever: the filter paused with nothing on its way.
    Stuck,
}

impl Outcome {
    /// The response, or a panic that says what came instead.
    ///
    /// # Panics
    /// If there is no response.
    pub fn response(self) -> Response {
        match self {
            Outcome::Answer(response) => response,
            other => panic!("expected a response, got {other:?}"),
        }
    }

    /// The response's status; 0 if there is none.
    pub fn status(&self) -> u16 {
        match self {
            Outcome::Answer(response) => response.status,
            _ => 0,
        }
    }
}

/// What the filters' request callbacks have come to.
enum Verdict {
    Go,
    Reply(Response),
}

pub struct Walk<'a> {
    pub worker: &'a Arc<Worker>,
    pub host: &'a Shared,
    pub flight: Flight,
    pub contexts: Vec<HttpContext>,
    pub traffic: Option<Box<Traffic>>,
    /// A callout was dispatched and Continue returned.
    stray: bool,
}

/// Serves one request from beginning to end.
pub fn run(worker: &Arc<Worker>, host: &Shared, request: Request) -> Outcome {
    let flight = worker.begin();
    let mut walk = Walk { worker, host, flight, contexts: Vec::new(), traffic: None, stray: false };
    let outcome = walk.serve(request);
    walk.worker.end(&walk.flight);
    outcome
}

impl Walk<'_> {
    /// The request's state; it is away only while a callback runs.
    pub fn traffic(&mut self) -> &mut Traffic {
        self.traffic.get_or_insert_default()
    }

    fn serve(&mut self, request: Request) -> Outcome {
        let Some(found) = router::find(&self.flight.plan.gateway, &request) else {
            let raw = request.target.split('?').next().unwrap_or("");
            return Outcome::Answer(match router::nginx_path(raw) {
                Some(_) => proxy::kong_error(404, "no Route matched with those values"),
                None => proxy::kong_error(400, "Bad request"),
            });
        };
        let mut traffic = Traffic {
            method: request.method,
            target: request.target,
            path: found.path.clone(),
            headers: request.headers,
            body: request.body,
            address: request.address,
            ..Traffic::default()
        };
        traffic.vars.insert("upstream_scheme".into(), found.service.scheme.clone().into_bytes());
        let id = REQUESTS.fetch_add(1, Ordering::Relaxed);
        traffic.vars.insert("kong_request_id".into(), format!("{id:032x}").into_bytes());
        if self.host.options.log_variables {
            let names = ["verdict", "reason", "rule", "issuer", "subject"];
            traffic.vars.extend(names.map(|name| (format!("herdgate_{name}"), Vec::new())));
        }
        traffic.vars.insert("upstream_uri".into(), found.upstream_target.clone().into_bytes());
        let before =
            plugins::run(&self.flight.plan.gateway, &self.host.options, &found, &mut traffic);
        let contexts = self.worker.contexts(&self.flight, &found);
        traffic.matched = Some(Arc::new(found));
        if let Some(answer) = before.answer {
            return Outcome::Answer(answer);
        }
        if before.buffered {
            // Kong's access phase asks the API and sends its answer; filters come too late.
            return Outcome::Answer(proxy::ask(self.host, &traffic));
        }
        self.contexts = contexts;
        self.traffic = Some(Box::new(traffic));
        let asked = match self.request_phases() {
            Ok(Verdict::Reply(response)) => response,
            Ok(Verdict::Go) => {
                let response = self.ask();
                if self.stray {
                    self.worker.kill("a callout's answer came for a request that had gone on");
                }
                response
            }
            Err(halt) => return self.halted(&halt),
        };
        match self.deliver(asked) {
            Ok(outcome) => outcome,
            Err(halt) => self.halted(&halt),
        }
    }

    fn ask(&mut self) -> Response {
        let host = self.host;
        proxy::ask(host, self.traffic())
    }

    fn halted(&mut self, halt: &Halt) -> Outcome {
        match halt {
            Halt::Error => {
                self.finish();
                Outcome::Answer(proxy::unexpected())
            }
            // Fail-open, as the real host does it: only the upstream's scheme can still stop it.
            Halt::Released if self.traffic().in_response => Outcome::Reset,
            Halt::Released => Outcome::Answer(self.ask()),
            Halt::Answered => {
                Outcome::Answer(self.traffic().local.take().unwrap_or_else(proxy::unexpected))
            }
            Halt::Died | Halt::Emptied => Outcome::Reset,
            Halt::Stuck => {
                self.finish();
                Outcome::Stuck
            }
        }
    }

    /// Runs a callback of the filter at `at`; `params` without the context id.
    pub fn call(
        &mut self,
        at: usize,
        step: Step,
        name: &str,
        params: &[u32],
        answer: Option<Answer>,
    ) -> Result<u32, Halt> {
        let Some(context) = self.contexts.get(at) else { return Ok(0) };
        let first = if step == Step::Callout { context.filter.id } else { context.id };
        let params: Vec<u32> = std::iter::once(first).chain(params.iter().copied()).collect();
        self.worker.enter(&self.flight, context, step, (name, &params), answer, &mut self.traffic)
    }

    fn request_phases(&mut self) -> Result<Verdict, Halt> {
        let count = self.traffic().headers.len() as u32;
        if let Some(reply) =
            self.request_phase(Step::RequestHeaders, "proxy_on_request_headers", &[count, 0])?
        {
            return Ok(Verdict::Reply(reply));
        }
        // The body comes once, whole, even if it is too large to be read.
        if let Some(size) = self.traffic().body.as_ref().map(Vec::len) {
            self.traffic().body_read = true;
            let params = [size as u32, 1];
            if let Some(reply) =
                self.request_phase(Step::RequestBody, "proxy_on_request_body", &params)?
            {
                return Ok(Verdict::Reply(reply));
            }
        }
        Ok(Verdict::Go)
    }

    fn request_phase(
        &mut self,
        step: Step,
        name: &str,
        params: &[u32],
    ) -> Result<Option<Response>, Halt> {
        for at in 0..self.contexts.len() {
            // An answer that was given after a callout is stashed, and the chain goes on: whoever
            // answers now traps.
            let stashed = self.traffic().local.is_some();
            let action = self.call(at, step, name, params, None)?;
            if stashed {
                continue;
            }
            if let Some(reply) = self.traffic().local.take() {
                return Ok(Some(reply));
            }
            if action == 1 {
                self.wait(at)?;
            } else if !self.traffic().pending.is_empty() {
                self.stray = true;
            }
        }
        Ok(self.traffic().local.take())
    }

    /// Until the last callout has been answered: then the request goes on by itself.
    fn wait(&mut self, at: usize) -> Result<(), Halt> {
        loop {
            let waits = !self.traffic().pending.is_empty();
            let wake = match waits {
                true => self.flight.wakes.recv().ok(),
                false => self
                    .flight
                    .wakes
                    .recv_timeout(Duration::from_millis(self.host.options.stuck_ms))
                    .ok(),
            };
            let answer = match wake {
                Some(Wake::Answer(answer)) => answer,
                Some(Wake::Release) => return Err(Halt::Released),
                Some(Wake::Died) => return Err(Halt::Died),
                None => return Err(Halt::Stuck),
            };
            let pending = &mut self.traffic().pending;
            let Some(place) = pending.iter().position(|id| *id == answer.id) else { continue };
            pending.remove(place);
            self.traffic().called_back = true;
            let buffers = answer.buffers;
            match buffers {
                Buffers::AsBefore => {}
                Buffers::Nothing | Buffers::LeftLater => self.traffic().has_buffer = false,
                Buffers::Left | Buffers::LeftAndEmptied => self.traffic().has_buffer = true,
                // The real one dies at once, later, or not at all.
                Buffers::Overrun => {
                    self.worker.kill("an answer was copied past the end of its buffer");
                    return Err(Halt::Died);
                }
            }
            let params = [answer.id, answer.headers.len() as u32, answer.body.len() as u32, 0];
            self.call(at, Step::Callout, "proxy_on_http_call_response", &params, Some(answer))?;
            self.traffic().has_buffer |= buffers == Buffers::LeftLater;
            if self.traffic().local.is_some() && buffers == Buffers::LeftAndEmptied {
                self.finish();
                return Err(Halt::Emptied);
            }
            if self.traffic().local.is_some() || self.traffic().pending.is_empty() {
                return Ok(());
            }
        }
    }

    /// on_done, on_log, on_delete: also after an error.
    pub fn finish(&mut self) {
        let vars = std::mem::take(&mut self.traffic().vars);
        self.host.note_access(&vars);
        self.traffic().vars = vars;
        for name in ["proxy_on_done", "proxy_on_log", "proxy_on_delete"] {
            for at in 0..self.contexts.len() {
                if self.call(at, Step::Log, name, &[], None).is_err() {
                    return;
                }
            }
        }
    }
}
