//! `kong-host serve`: the test host as a gateway on loopback, so that the integration cases run
//! against it as they run against a real Kong.

use kong_host::{Host, Options, Zone, herdgate_wasm, serve, serve_admin, serve_waits};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const USAGE: &str = "usage: kong-host serve --config kong.yml [--wasm [NAME=]FILE]... [--listen 127.0.0.1:0] [--admin 127.0.0.1:0]
  [--workers 1] [--wait-socket PATH] [--zone NAME=SIZE[,slru|lru|none]]... [--queue NAME]... [--env NAME=VALUE]...
  [--body-buffer BYTES] [--response-buffers COUNTxBYTES] [--refuse-buffered] [--log-variables] [--bolt NAME] [--wasm-off]
A filter's NAME is its file's stem unless it is given; without --wasm the file is $HERDGATE_WASM or dist/herdgate.wasm,
named herdgate. A --zone replaces the default one.
Prints `listening ADDRESS`, then `admin ADDRESS` if asked for, and serves until it is ended.";

fn main() {
    if let Err(message) = run(std::env::args().skip(1)) {
        eprintln!("kong-host: {message}");
        std::process::exit(2);
    }
}

fn run(mut args: impl Iterator<Item = String>) -> Result<(), String> {
    if args.next().as_deref() != Some("serve") {
        return Err(USAGE.into());
    }
    let mut options = Options::default();
    let mut zones = Vec::new();
    let (mut config, mut listen, mut admin) = (None, "127.0.0.1:0".to_string(), None);
    while let Some(flag) = args.next() {
        match flag.as_str() {
            "--refuse-buffered" => {
                options.refuse_buffered = true;
                continue;
            }
            "--log-variables" => {
                options.log_variables = true;
                continue;
            }
            "--wasm-off" => {
                options.wasm = false;
                continue;
            }
            "--help" => return Err(USAGE.into()),
            _ => {}
        }
        let value = args.next().ok_or_else(|| format!("{flag} needs a value\n{USAGE}"))?;
        match flag.as_str() {
            "--wasm" => options.modules.push(module(&value)),
            "--config" => {
                config = Some(
                    std::fs::read_to_string(&value).map_err(|error| format!("{value}: {error}"))?,
                )
            }
            "--listen" => listen = value,
            "--admin" => admin = Some(value),
            "--workers" => options.workers = number(&value)?,
            "--wait-socket" => {
                serve_waits(Path::new(&value)).map_err(|error| format!("{value}: {error}"))?
            }
            "--zone" => zones.push(Zone::parse(&value)?),
            "--queue" => options.queues.push(value),
            "--env" => {
                let (name, value) = value.split_once('=').ok_or("--env: expected NAME=VALUE")?;
                options.env.push((name.into(), value.into()));
            }
            "--body-buffer" => options.body_buffer = number(&value)?,
            "--response-buffers" => {
                let (count, size) =
                    value.split_once('x').ok_or("--response-buffers: expected COUNTxBYTES")?;
                options.response_buffers = number(count)?;
                options.response_buffer = number(size)?;
            }
            "--bolt" => options.bolt = Some(value),
            _ => return Err(format!("unknown option {flag}\n{USAGE}")),
        }
    }
    if options.modules.is_empty() {
        options.modules.push(("herdgate".into(), herdgate_wasm()));
    }
    if !zones.is_empty() {
        options.zones = zones;
    }
    let config = config.ok_or_else(|| format!("--config is missing\n{USAGE}"))?;
    let listener = bind(&listen)?;
    let admin = admin.map(|address| bind(&address)).transpose()?;
    let host = Arc::new(Host::start(options, &config)?);
    for line in host.log() {
        eprintln!("{}", line.message);
    }
    println!("listening {}", address(&listener)?);
    serve(host.clone(), listener);
    if let Some(listener) = admin {
        println!("admin {}", address(&listener)?);
        serve_admin(host, listener);
    }
    loop {
        std::thread::park();
    }
}

fn bind(address: &str) -> Result<TcpListener, String> {
    TcpListener::bind(address).map_err(|error| format!("{address}: {error}"))
}

fn address(listener: &TcpListener) -> Result<String, String> {
    listener.local_addr().map(|address| address.to_string()).map_err(|error| error.to_string())
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("expected a number, got {text:?}"))
}

fn module(text: &str) -> (String, PathBuf) {
    match text.split_once('=') {
        Some((name, path)) => (name.into(), path.into()),
        None => {
            let path = PathBuf::from(text);
            let name = path
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
                .unwrap_or_default();
            (name, path)
        }
    }
}
