//! 100,000 random pairs of requests that differ in one field: they share a key exactly when they
//! mean the same.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::digest::{Digest, HostKey};
use crate::token_endpoint::TokenEndpoint;

use crate::token_endpoint::fixtures::{FORM, POST, Random, endpoint, key};
use crate::token_endpoint::request;

/// What a request means, however it is written.
#[derive(Clone, PartialEq, Debug)]
struct Meaning {
    config: u8,
    host: String,
    path: String,
    basic: bool,
    client_id: String,
    secret: String,
    scope: Option<BTreeSet<String>>,
    audience: Option<String>,
    resource: Option<String>,
    unknown: Option<(String, String)>,
    header: Option<(String, String)>,
}

const WORDS: &[&str] = &[
    "ab",
    "Ab",
    "aB",
    "a%62",
    "a+b",
    "a b",
    "a",
    "b",
    "orders:read",
    "https://api.example/x?y=z",
    "é",
    "&=",
    "a%2562",
    "~",
    "x;y",
];
const SCOPES: &[&str] = &["a", "b", "ab", "AB", "orders:read", "a%62", "a+b"];

impl Meaning {
    fn random(random: &mut Random) -> Self {
        let word = |random: &mut Random| random.pick(WORDS).to_string();
        let maybe = |random: &mut Random| random.one_in(2).then(|| random.pick(WORDS).to_string());
        Meaning {
            config: random.below(2) as u8,
            host: random.pick(&["idp.example", "idp2.example", "idp.example:8443"]).to_string(),
            path: random.pick(&["/oauth2/token", "/oauth2/token2", "/token"]).to_string(),
            basic: random.one_in(2),
            client_id: word(random).replace(':', "."),
            secret: word(random),
            scope: random.one_in(2).then(|| {
                (0..random.below(4) + 1).map(|_| random.pick(SCOPES).to_string()).collect()
            }),
            audience: maybe(random),
            resource: maybe(random),
            unknown: random.one_in(2).then(|| (format!("p{}", random.below(2)), word(random))),
            header: random.one_in(4).then(|| {
                (
                    random.pick(&["x-tenant", "x-realm"]).to_string(),
                    random.pick(&["a", "b", "A"]).to_string(),
                )
            }),
        }
    }

    /// Another meaning that differs in one field; at times, by chance, in none.
    fn changed(&self, random: &mut Random) -> Self {
        let mut other = self.clone();
        let another = Meaning::random(random);
        match random.below(14) {
            0 => other.secret = another.secret,
            1 => other.secret.push(*random.pick(&['a', ' ', ':'])),
            2 => drop(other.secret.pop()),
            3 => other.secret = self.secret.to_uppercase(),
            4 => other.client_id = another.client_id,
            5 => other.scope = another.scope,
            6 => other.audience = another.audience,
            7 => other.resource = another.resource,
            8 => other.basic = !self.basic,
            9 => other.host = another.host,
            10 => other.path = another.path,
            11 => other.unknown = another.unknown,
            12 => other.header = another.header,
            _ => other.config = another.config,
        }
        other
    }

    /// Two fields with their values swapped, or run together in another way.
    fn confused(&self, random: &mut Random) -> Self {
        let mut other = self.clone();
        match random.below(5) {
            0 => std::mem::swap(&mut other.audience, &mut other.resource),
            1 => std::mem::swap(&mut other.client_id, &mut other.secret),
            2 => std::mem::swap(&mut other.host, &mut other.path),
            3 => other.unknown = other.header.take(),
            _ => {
                let (a, b) = (other.client_id.clone(), other.secret.clone());
                let both = a + &b;
                let middle = both.char_indices().map(|(at, _)| at).nth(1).unwrap_or(both.len());
                (other.client_id, other.secret) =
                    (both[..middle].to_owned(), both[middle..].to_owned());
            }
        }
        other.client_id = other.client_id.replace(':', ".");
        other
    }

    /// The key, with the request written in a random way.
    fn key(
        &self,
        (host_key, endpoint): &(HostKey, TokenEndpoint),
        random: &mut Random,
    ) -> Option<Digest> {
        let mut parameters = vec![("grant_type".to_owned(), "client_credentials".to_owned())];
        let mut headers = vec![(FORM.0.to_owned(), FORM.1.to_owned())];
        if self.basic {
            let pair = STANDARD.encode(format!("{}:{}", self.client_id, self.secret));
            let scheme = random.pick(&["Basic", "basic", "BASIC"]);
            headers.push(("authorization".into(), format!("{scheme} {pair}")));
        } else {
            parameters.push(("client_id".into(), self.client_id.clone()));
            parameters.push(("client_secret".into(), self.secret.clone()));
        }
        if let Some(scope) = &self.scope {
            let mut names: Vec<String> = scope.iter().cloned().collect();
            if random.one_in(3) {
                names.push(random.pick(&names).clone());
            }
            random.shuffle(&mut names);
            parameters.push(("scope".into(), names.join(" ")));
        }
        for (name, value) in [("audience", &self.audience), ("resource", &self.resource)] {
            parameters.extend(value.iter().map(|value| (name.to_owned(), value.clone())));
        }
        parameters.extend(self.unknown.clone());
        headers.extend(self.header.clone());
        for name in ["User-Agent", "X-Request-Id", "Traceparent", "Via"] {
            if random.one_in(3) {
                headers.push((name.into(), random.next().to_string()));
            }
        }
        random.shuffle(&mut parameters);
        random.shuffle(&mut headers);
        let headers: Vec<(String, String)> = headers
            .into_iter()
            .map(|(name, value)| (if random.one_in(2) { name.to_uppercase() } else { name }, value))
            .collect();
        let body: Vec<String> = parameters
            .iter()
            .map(|(name, value)| format!("{}={}", written(name, random), written(value, random)))
            .collect();
        let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let request = request::parse(POST, headers, body.join("&").as_bytes(), endpoint);
        request.cache_key(host_key, &[self.config; 32], self.host.as_bytes(), self.path.as_bytes())
    }
}

/// A form value in one of its many spellings.
fn written(value: &str, random: &mut Random) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        match byte {
            b' ' if random.one_in(2) => text.push('+'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b':' | b'/' | b'.'
                if !random.one_in(6) =>
            {
                text.push(byte as char)
            }
            _ if random.one_in(2) => text += &format!("%{byte:02x}"),
            _ => text += &format!("%{byte:02X}"),
        }
    }
    text
}

#[test]
fn pairs_share_a_key_exactly_when_they_mean_the_same() {
    let mut random = Random(20_260_101);
    let host = (key(), endpoint());
    let (mut same, mut different, mut passed) = (0, 0, 0);
    for _ in 0..100_000 {
        let one = Meaning::random(&mut random);
        let other =
            if random.one_in(4) { one.confused(&mut random) } else { one.changed(&mut random) };
        let keys = (one.key(&host, &mut random), other.key(&host, &mut random));
        match keys {
            (Some(a), Some(b)) => {
                assert_eq!(a == b, one == other, "{one:?}\n{other:?}");
                if a == b { same += 1 } else { different += 1 }
            }
            // An empty secret or identifier; nothing is shared for those.
            _ => passed += 1,
        }
    }
    assert!(same > 5_000 && different > 50_000, "{same} {different} {passed}");
}
