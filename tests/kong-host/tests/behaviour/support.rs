//! What the tests share: the fixture filter, an API that counts, and a host around both.

use kong_host::http::{self, Request, Response};
use kong_host::{Host, Options};
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Builds the fixture once for all tests.
pub fn fixture() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let target = here.join("target/fixture");
        let done = Command::new(env!("CARGO"))
            .args(["build", "--release", "--quiet", "--target", "wasm32-wasip1", "--manifest-path"])
            .arg(here.join("fixture/Cargo.toml"))
            .arg("--target-dir")
            .arg(&target)
            .status();
        assert!(done.expect("cargo starts").success(), "the fixture doesn't build");
        target.join("wasm32-wasip1/release/fixture.wasm")
    });
    built.clone()
}

/// An HTTP server that remembers what it was asked.
#[derive(Clone)]
pub struct Api {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Api {
    pub fn start(answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Api {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = Api { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let (seen, answer) = (api.seen.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, answer) = (seen.clone(), answer.clone());
                std::thread::spawn(move || {
                    let mut stream = BufReader::new(stream);
                    while let Ok(request) = http::read_request(&mut stream) {
                        let response = answer(&request);
                        seen.lock().unwrap().push(request);
                        if stream
                            .get_mut()
                            .write_all(&http::response_bytes(&response, false))
                            .is_err()
                        {
                            return;
                        }
                    }
                });
            }
        });
        api
    }

    /// `/slow` takes 300 ms, `/empty` answers nothing and `/byte` one byte; everything else answers
    /// with its own path.
    pub fn plain() -> Api {
        Api::start(|request| {
            if request.target.starts_with("/slow") {
                std::thread::sleep(Duration::from_millis(300));
            }
            match request.target.as_str() {
                "/empty" => Response::new(200, ""),
                "/byte" => Response::new(200, "."),
                target => Response::new(200, format!("hello {target}")),
            }
        })
    }

    pub fn hits(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub fn last(&self) -> Request {
        self.seen.lock().unwrap().last().cloned().expect("a request")
    }

    /// Whether a request for that path has come.
    pub fn saw(&self, path: &str) -> bool {
        self.seen.lock().unwrap().iter().any(|request| request.target.starts_with(path))
    }
}

/// A host with one service, one route and one filter.
pub struct Rig {
    pub host: Host,
    pub api: Api,
    pub idp: Api,
}

/// A document with one chain on the service `api`, whose route takes every path.
pub fn document(api: &Api, program: &str) -> String {
    serde_json::json!({
        "services": [{
            "name": "api", "url": format!("http://{}", api.address),
            "routes": [{ "name": "all", "paths": ["/"], "strip_path": false }],
            "filter_chains": [{ "filters": [{ "name": "fixture", "config": program }] }],
        }],
    })
    .to_string()
}

/// `IDP` in a program stands for the address of a second server, `DEAD` for a port that nobody
/// serves.
pub fn written(program: &str, idp: &Api) -> String {
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    program.replace("IDP", &idp.address.to_string()).replace("DEAD", &dead.to_string())
}

/// Options for tests: the fixture, no ticks but by hand, quick to call a request stuck.
pub fn options() -> Options {
    Options {
        modules: vec![("fixture".into(), fixture())],
        ticks: false,
        stuck_ms: 200,
        ..Options::default()
    }
}

impl Rig {
    pub fn new(program: &str) -> Rig {
        Rig::with(program, options())
    }

    pub fn with(program: &str, options: Options) -> Rig {
        Rig::over(Api::plain(), program, options)
    }

    pub fn over(api: Api, program: &str, options: Options) -> Rig {
        let idp = Api::plain();
        let host = Host::start(options, &document(&api, &written(program, &idp))).unwrap();
        Rig { host, api, idp }
    }

    pub fn get(&self, target: &str) -> kong_host::Outcome {
        self.host.request(0, Request::new("GET", target))
    }

    /// Fails the test if the filter's log has no such line.
    pub fn logged(&self, text: &str) {
        let log: Vec<String> = self.host.log().into_iter().map(|line| line.message).collect();
        assert!(log.iter().any(|line| line.contains(text)), "no {text:?} in {log:#?}");
    }

    pub fn count(&self, text: &str) -> usize {
        self.host.log().iter().filter(|line| line.message.contains(text)).count()
    }
}

/// Waits until it holds; a test that waits longer than five seconds fails.
pub fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(5), "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
