//! Calls to other servers: what is asked, and what came back.

use crate::callout::{Callout, Uri};
use crate::request::HeaderBlock;

/// What every call of ours says: who asks (some servers refuse a request that doesn't tell), and
/// that a compressed answer would not be read (RFC 9110, sections 10.1.5 and 12.5.3).
const OURS: [(&str, &str); 2] = [
    ("user-agent", concat!("herdgate/", env!("CARGO_PKG_VERSION"))),
    ("accept-encoding", "identity"),
];

/// What most answers are.
const JSON: &str = "application/json";

/// A call, ready for the host.
#[derive(Clone, Debug)]
pub struct Call {
    /// Envoy's cluster.
    pub cluster: Option<String>,
    /// Kong's `host:port`.
    pub address: String,
    /// Whether Kong speaks TLS; on Envoy the cluster decides.
    pub https: bool,
    /// The pseudo headers and headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Whether that is a command for Webdis.
    pub is_command: bool,
    /// Milliseconds after which it has failed.
    pub timeout_ms: u64,
    /// How often a failed call is tried again.
    pub retries: u32,
}

impl Call {
    /// `GET` of `uri`.
    pub fn get(uri: &Uri, callout: &Callout) -> Call {
        Call::get_as(uri, callout, JSON)
    }

    /// The same for an answer of this media type.
    pub fn get_as(uri: &Uri, callout: &Callout, accept: &str) -> Call {
        Call::new("GET", uri, callout, accept, Vec::new(), Vec::new())
    }

    /// The same with headers of its own.
    pub fn get_with(uri: &Uri, callout: &Callout, headers: Vec<(String, String)>) -> Call {
        Call::new("GET", uri, callout, JSON, headers, Vec::new())
    }

    /// The same call with one header more, if there is one.
    #[must_use]
    pub fn and(mut self, header: Option<(String, String)>) -> Call {
        self.headers.extend(header);
        self
    }

    /// `POST` of JSON to `uri`.
    pub fn post_json(uri: &Uri, callout: &Callout, body: Vec<u8>) -> Call {
        let kind = ("content-type".to_owned(), "application/json".to_owned());
        Call::new("POST", uri, callout, JSON, vec![kind], body)
    }

    /// `POST` of a form to `uri`.
    pub fn post_form(
        uri: &Uri,
        callout: &Callout,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    ) -> Call {
        let mut all =
            vec![("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned())];
        all.extend(headers);
        Call::new("POST", uri, callout, JSON, all, body)
    }

    /// `POST` of a command to `uri`, where Webdis listens.
    pub fn post_command(uri: &Uri, callout: &Callout, body: Vec<u8>) -> Call {
        let kind = ("content-type".to_owned(), "text/plain".to_owned());
        let call = Call::new("POST", uri, callout, JSON, vec![kind], body);
        Call { is_command: true, ..call }
    }

    /// The same command in the path of a `GET`. Webdis answers no `POST` with `Connection: close`
    /// that it doesn't get in one piece, of 4 KiB at most; to a path it listens up to 80 KiB.
    #[must_use]
    pub fn in_its_path(mut self) -> Call {
        for (name, value) in &mut self.headers {
            match name.as_str() {
                ":method" => "GET".clone_into(value),
                ":path" => {
                    let base = value.trim_end_matches('/').len();
                    value.truncate(base);
                    value.push('/');
                    append_to_path(value, &self.body);
                }
                _ => {}
            }
        }
        self.headers.retain(|(name, _)| name != "content-length" && name != "content-type");
        Call { body: Vec::new(), ..self }
    }

    /// Appends fields to the form that it posts.
    pub fn append_to_form(&mut self, fields: &str) {
        self.body.extend(fields.as_bytes());
        for (name, value) in &mut self.headers {
            if name == "content-length" {
                *value = self.body.len().to_string();
            }
        }
    }

    /// A call to Kong's waiting server, which answers after `ms` milliseconds.
    pub fn wait(address: &str, ms: u64) -> Call {
        let path = format!("/{ms}");
        let pseudo = [
            (":method", "GET"),
            (":path", path.as_str()),
            (":authority", "herdgate-wait"),
            (":scheme", "http"),
        ];
        Call {
            cluster: None,
            address: address.to_owned(),
            https: false,
            headers: pseudo
                .into_iter()
                .chain(OURS)
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            body: Vec::new(),
            is_command: false,
            timeout_ms: ms.saturating_add(2_000),
            retries: 0,
        }
    }

    fn new(
        method: &str,
        uri: &Uri,
        callout: &Callout,
        accept: &str,
        further: Vec<(String, String)>,
        body: Vec<u8>,
    ) -> Call {
        let mut headers = vec![
            (":method".to_owned(), method.to_owned()),
            (":path".to_owned(), uri.path.clone()),
            (":authority".to_owned(), uri.authority.clone()),
            (":scheme".to_owned(), if uri.https { "https" } else { "http" }.to_owned()),
        ];
        // Those of the configuration go before those of one kind of call, and these before ours.
        let is_free = |name: &str| callout.headers.iter().all(|(configured, _)| configured != name);
        let further: Vec<_> = further.into_iter().filter(|(name, _)| is_free(name)).collect();
        let ours = [("accept", accept)].into_iter().chain(OURS);
        let free =
            ours.filter(|(name, _)| is_free(name) && further.iter().all(|(own, _)| own != name));
        headers.extend(free.map(|(name, value)| (name.to_owned(), value.to_owned())));
        if method == "POST" {
            // Kong's host sends the headers that it is given and no other.
            headers.push(("content-length".to_owned(), body.len().to_string()));
        }
        headers.extend(further);
        for (name, value) in &callout.headers {
            headers.push((name.clone(), String::from_utf8_lossy(value.expose()).into_owned()));
        }
        Call {
            cluster: callout.cluster.clone(),
            address: uri.target(),
            https: uri.https,
            headers,
            body,
            is_command: false,
            timeout_ms: callout.timeout_ms,
            retries: callout.retries,
        }
    }
}

/// A command's bytes as they may stand in a path (RFC 3986, section 3.3): no space and no line break
/// above all, which would end the request's line.
fn append_to_path(path: &mut String, command: &[u8]) {
    for byte in command {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => path.push(char::from(*byte)),
            b'-' | b'_' | b'~' | b'/' | b'%' | b':' | b',' | b';' | b'=' | b'(' | b')' | b'*' => {
                path.push(char::from(*byte));
            }
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// What came back, or didn't.
pub struct CallAnswer<'a> {
    /// The status; 0 when the call failed before one came.
    pub status: u16,
    /// Headers.
    pub headers: &'a HeaderBlock,
    /// The whole body; of a call that failed before a status came, the host's words why.
    pub body: &'a [u8],
}

impl CallAnswer<'_> {
    /// A call that brought nothing.
    pub fn failed(headers: &HeaderBlock) -> CallAnswer<'_> {
        CallAnswer { status: 0, headers, body: &[] }
    }

    /// A call that brought nothing, and why.
    pub fn failed_since<'a>(why: &'a str, headers: &'a HeaderBlock) -> CallAnswer<'a> {
        CallAnswer { status: 0, headers, body: why.as_bytes() }
    }

    /// `max-age` of Cache-Control in seconds (RFC 9111, section 5.2.2.1); 0 for `no-store` and
    /// `no-cache`; nothing if it doesn't say.
    pub fn max_age_s(&self) -> Option<u64> {
        let text = std::str::from_utf8(self.headers.get("cache-control")?).ok()?;
        let directives = || text.split(',').map(|directive| directive.trim().to_ascii_lowercase());
        if directives().any(|directive| directive == "no-store" || directive == "no-cache") {
            return Some(0);
        }
        let age = self
            .headers
            .get("age")
            .and_then(|age| std::str::from_utf8(age).ok()?.trim().parse::<u64>().ok());
        let max_age = directives().find_map(|directive| {
            directive.strip_prefix("max-age=")?.trim_matches('"').parse::<u64>().ok()
        })?;
        Some(max_age.saturating_sub(age.unwrap_or(0)))
    }
}

/// Percent-encodes everything but unreserved characters (RFC 3986, section 2.3).
pub fn percent_encode(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(*byte))
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::callout::Secret;

    fn max_age(pairs: &[(&str, &[u8])]) -> Option<u64> {
        let headers = HeaderBlock::from_pairs(pairs.iter().copied());
        CallAnswer { status: 200, headers: &headers, body: b"" }.max_age_s()
    }

    #[test]
    fn cache_control_as_rfc_9111_has_it() {
        assert_eq!(max_age(&[]), None);
        assert_eq!(max_age(&[("cache-control", b"public, Max-Age=300")]), Some(300));
        assert_eq!(max_age(&[("cache-control", b"max-age=300"), ("age", b"100")]), Some(200));
        assert_eq!(max_age(&[("cache-control", b"max-age=300, no-store")]), Some(0));
        assert_eq!(max_age(&[("cache-control", b"max-age=99999999999999999999")]), None);
    }

    fn callout(headers: &[(&str, &str)]) -> Callout {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Secret::new(value.as_bytes().to_vec())))
            .collect();
        Callout { cluster: None, timeout_ms: 1, retries: 0, headers }
    }

    #[test]
    fn every_call_says_who_asks_and_takes_no_compression() {
        let uri = Uri::parse("https://idp.example/x").unwrap();
        let plain = callout(&[("x-more", "1")]);
        let calls = [
            Call::get(&uri, &plain),
            Call::post_form(
                &uri,
                &plain,
                vec![("authorization".to_owned(), "Basic x".to_owned())],
                b"a=b".to_vec(),
            ),
            Call::post_command(&uri, &plain, b"EVAL".to_vec()),
            Call::wait("unix:/wait", 7),
        ];
        for call in calls {
            let values = |name: &str| {
                call.headers
                    .iter()
                    .filter(|(other, _)| other == name)
                    .map(|(_, value)| value.clone())
                    .collect::<Vec<_>>()
            };
            assert_eq!(values("user-agent"), [format!("herdgate/{}", env!("CARGO_PKG_VERSION"))]);
            assert_eq!(values("accept-encoding"), ["identity"]);
            // Pseudo headers come first (RFC 9113, section 8.3).
            let regular = call.headers.iter().skip_while(|(name, _)| name.starts_with(':'));
            assert!(
                regular.clone().count() >= 2
                    && regular.clone().all(|(name, _)| !name.starts_with(':'))
            );
        }
    }

    #[test]
    fn a_command_in_a_path_is_the_same_command_and_has_no_body() {
        for (uri, path) in [("https://webdis.example/", "/"), ("https://webdis.example/a/", "/a/")]
        {
            let uri = Uri::parse(uri).unwrap();
            let configured = callout(&[("authorization", "Basic x")]);
            let call = Call::post_command(&uri, &configured, b"EVAL/a%2Eb \n#{'\"}\r/1//".to_vec())
                .in_its_path();
            let value = |name: &str| {
                call.headers
                    .iter()
                    .find(|(other, _)| other == name)
                    .map(|(_, value)| value.as_str())
            };
            assert_eq!(
                value(":path"),
                Some(format!("{path}EVAL/a%2Eb%20%0A%23%7B%27%22%7D%0D/1//").as_str())
            );
            assert_eq!((value(":method"), value("authorization")), (Some("GET"), Some("Basic x")));
            assert_eq!((value("content-length"), value("content-type")), (None, None));
            assert!(call.body.is_empty());
        }
    }

    #[test]
    fn headers_of_the_configuration_take_the_place_of_ours() {
        let uri = Uri::parse("https://idp.example/x").unwrap();
        let configured = [("user-agent", "mine/1"), ("accept", "*/*"), ("accept-encoding", "gzip")];
        let call = Call::get(&uri, &callout(&configured));
        for (name, value) in configured {
            let values: Vec<&str> = call
                .headers
                .iter()
                .filter(|(other, _)| other == name)
                .map(|(_, value)| value.as_str())
                .collect();
            assert_eq!(values, [value], "{name}");
        }
    }

    #[test]
    fn percent_encoding_leaves_unreserved_alone() {
        assert_eq!(percent_encode("a/b c?é-._~".as_bytes()), "a%2Fb%20c%3F%C3%A9-._~");
    }
}
