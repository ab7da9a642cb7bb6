//! The command line.
use std::time::Duration;

use crate::pace::Pace;

pub const USAGE: &str =
    "usage: herdgate-load --url http://127.0.0.1:PORT/path --connections N --requests M
  --url URL             again: connections are spread over all of them, which have one path
  --duration S          stop after S seconds, whichever comes first
  --rate R              R requests a second in all, evenly spaced (default: as fast as answers come)
  --pace R:S,R:S...     R requests a second for S seconds, then the next rate; ends after the last one
  --slot S              tells answers by the S seconds in which their requests were due, too
  --herd S              each header line is a client, that first calls within S seconds and then
                        when its token ends (expires_in), until --duration
  --method METHOD       default GET, or POST with --body
  --header 'name: value'  may be repeated
  --tokens FILE         one bearer token a line, used in turn
  --header-lines FILE   one header line a line ('authorization: Basic ...'), used in turn
  --body TEXT           the request body
  --timeout S           for one answer (default 30)";

/// What to send, where, how often.
pub struct Options {
    /// `host:port`, of each URL.
    pub addresses: Vec<String>,
    pub connections: usize,
    pub requests: u64,
    pub duration: Option<Duration>,
    /// When requests are due; none: as soon as there is a connection.
    pub pace: Option<Pace>,
    pub slot: Option<Duration>,
    /// Over how long the first calls of a herd are spread.
    pub herd: Option<Duration>,
    pub timeout: Duration,
    pub is_head: bool,
    path: String,
    method: String,
    headers: Vec<String>,
    lines: Vec<String>,
    body: Option<String>,
}

impl Options {
    pub fn from_args(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut urls = Vec::new();
        let mut method = None;
        let mut options = Options {
            addresses: Vec::new(),
            connections: 1,
            requests: u64::MAX,
            duration: None,
            pace: None,
            slot: None,
            herd: None,
            timeout: Duration::from_secs(30),
            is_head: false,
            path: String::new(),
            method: String::new(),
            headers: Vec::new(),
            lines: Vec::new(),
            body: None,
        };
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--url" => urls.push(value),
                "--connections" => options.connections = number(&name, &value)?,
                "--requests" => options.requests = number(&name, &value)?,
                "--duration" => {
                    options.duration = Some(seconds(&name, &value)?);
                }
                "--rate" => options.pace = Some(Pace::constant(number(&name, &value)?)),
                "--pace" => options.pace = Some(Pace::parse(&value)?),
                "--slot" => options.slot = Some(seconds(&name, &value)?),
                "--herd" => options.herd = Some(seconds(&name, &value)?),
                "--timeout" => options.timeout = seconds(&name, &value)?,
                "--method" => method = Some(value),
                "--header" => options.headers.push(value),
                "--tokens" => options.lines.extend(
                    lines(&value)?
                        .into_iter()
                        .map(|token| format!("authorization: Bearer {token}")),
                ),
                "--header-lines" => options.lines.extend(lines(&value)?),
                "--body" => options.body = Some(value),
                _ => return Err(format!("unknown option {name}")),
            }
        }
        let ends = options.pace.as_ref().is_some_and(Pace::ends);
        if options.requests == u64::MAX && options.duration.is_none() && !ends {
            return Err("--requests or --duration is needed: a run must end by itself".into());
        }
        if options.herd.is_some() && (options.duration.is_none() || options.lines.is_empty()) {
            return Err("--herd needs --duration and --header-lines".into());
        }
        if options.connections == 0 {
            return Err("--connections must be at least 1".into());
        }
        if urls.is_empty() {
            return Err("--url is needed".into());
        }
        for url in &urls {
            let (address, path) = address_and_path(url)?;
            if !options.path.is_empty() && options.path != path {
                return Err(format!("{path} and {} are not one path", options.path));
            }
            options.addresses.push(address);
            options.path = path;
        }
        options.method = method
            .unwrap_or_else(|| if options.body.is_some() { "POST".into() } else { "GET".into() });
        options.is_head = options.method == "HEAD";
        Ok(options)
    }

    /// The requests to send in turn, ready for the wire: one for each token or header line, at
    /// least one.
    pub fn request_bytes(&self) -> Vec<Vec<u8>> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        if !self.headers.iter().any(|header| header.to_ascii_lowercase().starts_with("host:")) {
            head.push_str(&format!("host: {}\r\n", self.addresses[0]));
        }
        for header in &self.headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        if let Some(body) = &self.body {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        let body = self.body.as_deref().unwrap_or("");
        if self.lines.is_empty() {
            return vec![format!("{head}\r\n{body}").into_bytes()];
        }
        self.lines.iter().map(|line| format!("{head}{line}\r\n\r\n{body}").into_bytes()).collect()
    }
}

fn address_and_path(url: &str) -> Result<(String, String), String> {
    let rest = url.strip_prefix("http://").ok_or("--url must start with http://")?;
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    // This is test equipment: it never sends load to another machine.
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    if !host.starts_with("127.") && host != "localhost" && host != "[::1]" {
        return Err(format!("{host} is not on this machine"));
    }
    let address = if address.contains(':') { address.into() } else { format!("{address}:80") };
    Ok((address, format!("/{path}")))
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name}: {value} is not a number of the right kind"))
}

fn seconds(name: &str, value: &str) -> Result<Duration, String> {
    Duration::try_from_secs_f64(number(name, value)?)
        .map_err(|_| format!("{name}: {value} is no time"))
}

fn lines(path: &str) -> Result<Vec<String>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let lines: Vec<String> = text.lines().filter(|line| !line.is_empty()).map(Into::into).collect();
    if lines.is_empty() { Err(format!("{path} is empty")) } else { Ok(lines) }
}

#[cfg(test)]
mod tests {
    use super::Options;

    fn parse(args: &[&str]) -> Result<Options, String> {
        Options::from_args(args.iter().map(|arg| arg.to_string()))
    }

    #[test]
    fn builds_a_request() {
        let options = parse(&[
            "--url",
            "http://127.0.0.1:8080/a?b=1",
            "--requests",
            "1",
            "--header",
            "x-a: 1",
            "--body",
            "hi",
        ])
        .unwrap();
        let expected =
            "POST /a?b=1 HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nx-a: 1\r\ncontent-length: 2\r\n\r\nhi";
        assert_eq!(options.request_bytes(), vec![expected.as_bytes().to_vec()]);
    }

    #[test]
    fn takes_several_addresses_with_one_path() {
        let two = ["--url", "http://127.0.0.1:1/a", "--url", "http://127.0.0.1:2/a"];
        let options = parse(&[&two[..], &["--requests", "1"]].concat()).unwrap();
        assert_eq!(options.addresses, ["127.0.0.1:1", "127.0.0.1:2"]);
        let other = ["--url", "http://127.0.0.1:3/b", "--requests", "1"];
        assert!(parse(&[&two[..], &other].concat()).is_err());
    }

    #[test]
    fn refuses_other_machines_and_endless_runs() {
        assert!(parse(&["--url", "http://192.0.2.1/", "--requests", "1"]).is_err());
        assert!(parse(&["--url", "http://127.0.0.1/"]).is_err());
        assert!(parse(&["--url", "http://127.0.0.1/", "--rate", "5"]).is_err());
        assert!(parse(&["--url", "http://127.0.0.1/", "--pace", "5:1"]).is_ok());
        assert!(parse(&["--url", "http://127.0.0.1/", "--requests", "1"]).is_ok());
    }
}
