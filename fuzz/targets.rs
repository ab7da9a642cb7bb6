//! What is fuzzed: each target takes any bytes and must not panic, and what it says must be
//! consistent.
//!
//! `fuzz_targets/` makes a fuzzer of each; `tests/fuzz_regressions.rs` runs each over `seeds/` and
//! over what once broke it, `regressions/`. Both are one file an input, in a folder named as the
//! target.

use herdgate::config::{Config, HostKind};
use herdgate::testing::digest::{Digest, HostKey};
use herdgate::testing::jwe;
use herdgate::testing::jwt;
use herdgate::testing::jwt::introspection::{IntrospectionKind, Told, signed};
use herdgate::testing::proof::dpop::{self, Asked, Dpop};
use herdgate::testing::proof::{Binding, Origin, ProofKey};
use herdgate::testing::request::HeaderBlock;
use herdgate::testing::request::bearer;
use herdgate::testing::request::bearer::BearerSource;
use herdgate::testing::request::path::PathPolicy;
use herdgate::testing::request::path::Target;
use herdgate::testing::revocation::list::List;
use herdgate::testing::revocation::set;
use herdgate::testing::revocation::status;
use herdgate::testing::shared::TableId;
use herdgate::testing::shared::record::{OVERHEAD, Shape};
use herdgate::testing::signature::jwk_set;
use herdgate::testing::signature::{Algorithm, AlgorithmSet, NoHost, VerifyKey};
use herdgate::testing::time::Time;
use herdgate::testing::token_endpoint::answer::{self, Answer};
use herdgate::testing::token_endpoint::jitter::aged;
use herdgate::testing::token_endpoint::request::{self, Head};
use herdgate::testing::token_endpoint::reuse::Stored;
use herdgate::testing::token_endpoint::revocation::{TOKENS_MAX, named};

/// A target: it panics when something is wrong.
pub type Run = fn(&[u8]);

/// Every target by its name.
pub const ALL: [(&str, Run); 17] = [
    ("jwt", jwt),
    ("jwe", jwe),
    ("proof", proof),
    ("bearer", bearer),
    ("path", path),
    ("config", config),
    ("jwks", jwks),
    ("token_request", token_request),
    ("token_answer", token_answer),
    ("stored_answer", stored_answer),
    ("record", record),
    ("header_block", header_block),
    ("feed", feed),
    ("set", set),
    ("introspection", introspection),
    ("ecdsa", ecdsa),
    ("status_list", status_list),
];

/// A token that is read has one spelling: its parts put together again are the input.
pub fn jwt(data: &[u8]) {
    let Ok(jwt) = jwt::parse(data) else { return };
    assert!(data.starts_with(jwt.signed) && data.len() <= jwt::TOKEN_BYTES_MAX);
    assert!(jwt.signed.ends_with(jwt.payload_segment) && !jwt.signature.is_empty());
    let again = jwt::parse(data).map(|again| (again.algorithm, again.kid, again.signature));
    assert_eq!(again, Ok((jwt.algorithm, jwt.kid, jwt.signature)));
}

/// An encrypted token opens in one spelling, with the key that it is for, and never to more than was
/// sent.
pub fn jwe(data: &[u8]) {
    const KEYS: [&str; 2] = [
        r#"{"kty":"oct","kid":"77c7e2b8-6e13-45cf-8672-617b5b45243a","k":"XctOhJAkA-pD9Lh7ZgW_2A"}"#,
        r#"{"kty":"EC","crv":"P-256","x":"Ze2loSV3wrroKUN_4zhwGhCqo3Xhu1td4QjeQ5wIVR0","y":"HlLtdXARY_f55A3fnzQbPcm6hgr34Mp8p-nuzQCE0Zw","d":"r_kHyZ-a06rmxM3yESK84r1otSg-aQcVStkRhA-iCM8"}"#,
    ];
    use jwe::KeyAlgorithm::{A128Kw, Dir, EcdhEs, EcdhEsA128Kw};
    let algorithms = [&[Dir, A128Kw][..], &[EcdhEs, EcdhEsA128Kw][..]];
    let keys: Vec<jwe::Key> = KEYS
        .iter()
        .zip(algorithms)
        .filter_map(|(jwk, algorithms)| jwe::Key::from_jwk(jwk, algorithms, &[]).ok())
        .collect();
    assert_eq!(keys.len(), 2);
    let Ok(opened) = jwe::open(data, &keys) else { return };
    assert_eq!(jwt::form(data), jwt::Form::Jwe);
    assert!(opened.plaintext.len() < data.len());
    assert_eq!(opened.is_shared, opened.key == 0);
    assert!(jwt::parse(data).is_err());
}

/// A token is of one form, and what is read as a JWT is of that form. An answer is active only if it
/// says so, and its claims are those of the issuer that was asked. A signed one (RFC 9701) says the
/// same when it is read again from what is kept of it.
pub fn introspection(data: &[u8]) {
    const ISS: &str = "https://idp.example";
    let expected = signed::Expected {
        iss: "https://as.example.com/",
        client_id: "https://rs.example.com/resource",
        now: Time::from_s(1_514_797_892),
        ahead_s: 30,
        back_s: 60,
    };
    if let Ok(answer) = signed::read(data, &expected) {
        assert_eq!(jwt::form(data.trim_ascii()), jwt::Form::Jws);
        assert_eq!(answer.jwt.claims.iss.as_deref(), Some(expected.iss));
        let (told, kept) = answer.told().expect("it says whether the token is active");
        assert!(jwt::introspection::read(IntrospectionKind::Oauth, 200, &kept) == Some(told));
    }
    if jwt::parse(data).is_ok() {
        assert_eq!(jwt::form(data), jwt::Form::Jws);
    }
    for status in [200, 401, 500] {
        let told = jwt::introspection::read(IntrospectionKind::Oauth, status, data);
        let Some(Told::Active(members)) = told else { continue };
        assert!(
            status == 200
                && members.get("active").and_then(|active| active.as_bool()) == Some(true)
        );
        let said = members.get("iss").cloned();
        let is_bound = members.get("cnf").is_some_and(|cnf| !cnf.is_null());
        let Some(claims) = jwt::introspection::claims(members, ISS) else { continue };
        assert_eq!(claims.iss.as_deref(), Some(ISS));
        assert!(said.is_none_or(|said| said == ISS));
        assert_eq!(Binding::of(&claims.raw).is_some(), is_bound);
        let _ = jwt::introspection::is_access_token(&claims.raw);
    }
}

/// The token of RFC 9449, section 7.1, and the thumbprint of section 6.1.
const BOUND: &[u8] = b"Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
const JKT: [u8; 32] = [
    0xd1, 0x97, 0x0e, 0x08, 0xe4, 0x59, 0x35, 0x8c, 0xbe, 0x0d, 0x6a, 0x6a, 0xab, 0x7d, 0x23, 0x67,
    0x22, 0x46, 0x1d, 0x33, 0x74, 0x77, 0x61, 0xe0, 0x94, 0x15, 0x77, 0xba, 0x28, 0x2e, 0x03, 0x82,
];

/// Of all proofs of the example's key the example alone is good. A key that is read has one
/// thumbprint, whatever stands beside its members.
pub fn proof(data: &[u8]) {
    let dpop = Dpop {
        required: false,
        algorithms: AlgorithmSet::asymmetric(),
        names: String::new(),
        leeway_s: 60,
        nonce: false,
        origins: Vec::from_iter(Origin::parse("https://resource.example.org")),
    };
    let nonces = HostKey::new(&[1; 32], b"nonces");
    let asked = Asked {
        method: b"GET",
        path: b"/protectedresource",
        token: BOUND,
        jkt: &JKT,
        nonces: &nonces,
        now: Time::from_s(1_562_262_618),
    };
    if let Ok(proof) = dpop::check(data, &dpop, &asked, &NoHost) {
        assert_eq!((proof.jti.as_str(), proof.iat), ("e1j3V_bKic8-LAEB", 1_562_262_618));
    }
    let Ok(mut jwk) = jwt::json::object(data) else { return };
    if let Some(key) = ProofKey::read(&jwk) {
        jwk.insert("kid".into(), "k".into());
        assert_eq!(ProofKey::read(&jwk).map(|key| key.thumbprint()), Some(key.thumbprint()));
        jwk.insert("d".into(), "AQ".into());
        assert!(ProofKey::read(&jwk).is_none());
    }
}

/// The token that is found is a part of the request.
pub fn bearer(data: &[u8]) {
    let (target, headers, _) = message(data);
    let sources = [
        BearerSource::Authorization,
        BearerSource::Header("x-token".into()),
        BearerSource::Cookie("at".into()),
        BearerSource::Query("jwt".into()),
        BearerSource::Dpop,
    ];
    let found = bearer::find(headers.iter().copied(), target, &sources);
    let located = bearer::locate(
        bearer::authorizations(headers.iter().copied()),
        headers.iter().copied(),
        target,
        &sources,
    );
    if let Ok(Some(found)) = found {
        assert!(!found.bytes.is_empty() && !found.bytes.contains(&b' '));
        assert!(matches!(located, Ok(Some(candidate)) if candidate.source() < sources.len()));
    }
    for (_, value) in headers {
        // What was joined by `;` alone comes back joined by `; ` (RFC 6265, section 4.2.1).
        let separators = value.iter().filter(|byte| **byte == b';').count();
        assert!(bearer::without_cookie(value, "at").len() <= value.len() + separators);
        assert!(bearer::without_query(value, "jwt").len() <= value.len());
    }
}

/// A strict path has nothing in it that another reader could read otherwise.
pub fn path(data: &[u8]) {
    let _ = Target::parse(data, PathPolicy::Lenient);
    let Ok(target) = Target::parse(data, PathPolicy::Strict) else { return };
    let path: &[u8] = &target.path;
    if path.starts_with(b"/") {
        assert!(
            !path.windows(2).any(|two| two == b"//")
                && !path.contains(&b'\\')
                && !path.contains(&0)
        );
        assert!(
            !path.split(|byte| *byte == b'/').any(|segment| segment == b"." || segment == b"..")
        );
    }
}

/// No document panics, and none is refused without a reason.
pub fn config(data: &[u8]) {
    for host in [HostKind::Envoy, HostKind::Kong] {
        if let Err(errors) = Config::load(
            data,
            &|name| (name == "SECRET").then(|| "a-secret-of-32-bytes-from-the-environment".into()),
            host,
        ) {
            assert!(!errors.to_string().is_empty());
        }
    }
}

/// A set is bounded, and each key in it can be used.
pub fn jwks(data: &[u8]) {
    if let Ok(set) = jwk_set::parse(data, AlgorithmSet::asymmetric(), 20, 65_536) {
        assert!(data.len() <= 65_536 && set.keys.len() + set.left_out.len() <= 20);
    }
}

/// A request is read the same way each time, and its answers have one name.
pub fn token_request(data: &[u8]) {
    let (target, headers, body) = message(data);
    let head =
        Head { method: b"POST", has_query: target.contains(&b'?'), client_certificate: false };
    with_endpoint(|endpoint| {
        let read = || request::parse(head, headers.iter().copied(), body, endpoint);
        assert!(read().class() == read().class());
    });
    // A revocation call names a bounded number of tokens, and what is written as RFC 7009 has it is
    // among them.
    assert!(named(target, body).tokens.len() <= TOKENS_MAX);
    let escaped: String = body.iter().map(|byte| format!("%{byte:02x}")).collect();
    let meant = named(b"", format!("token={escaped}").as_bytes());
    assert!(
        body.trim_ascii().is_empty() || meant.tokens.iter().any(|token| token == body.trim_ascii())
    );
}

/// What is stored can be served: its lifetime can be rewritten.
pub fn token_answer(data: &[u8]) {
    let (_, headers, body) = message(data);
    for status in [200, 400, 401, 500] {
        with_endpoint(|endpoint| {
            if let Answer::Storable(_) =
                answer::analyse(status, headers.iter().copied(), body, true, endpoint)
            {
                assert!(body.len() <= endpoint.answer_bytes_max);
                let rewritten = aged(body, 1, 1, Time::from_s(10))
                    .expect("a stored answer's lifetime can be rewritten");
                // One that didn't say how long it lives has grown.
                let fits = rewritten.len() <= endpoint.answer_bytes_max;
                let judged =
                    answer::analyse(status, headers.iter().copied(), &rewritten, true, endpoint);
                assert!(!fits || matches!(judged, Answer::Storable(_)));
            }
        });
    }
}

/// A stored answer that is read is the one that was written.
pub fn stored_answer(data: &[u8]) {
    if let Some(stored) = Stored::decode(data) {
        assert!(Stored::decode(&stored.encode()).is_some());
        let _ = stored.body_with(1, Time::from_s(10));
    }
}

/// A record opens only as it was sealed. The first byte chooses what is done to a good one.
pub fn record(data: &[u8]) {
    const SHAPE: Shape = Shape::new(TableId::Tokens, 100);
    let (key, name, now) = (key(), Digest([7; 32]), Time::from_s(10));
    // libFuzzer sees what a checksum is compared with, and so can write one; then it sealed a
    // record.
    if let Some(opened) = SHAPE.open_any(&key, data) {
        let again =
            SHAPE.seal(&key, &opened.digest, opened.expires, opened.payload).expect("it fits");
        let padding = OVERHEAD + opened.payload.len();
        assert_eq!(again.get(..padding), data.get(..padding));
    }
    let payload = data.get(..data.len().min(100)).unwrap_or_default();
    let sealed = SHAPE.seal(&key, &name, Time::from_s(20), payload).expect("it fits");
    assert_eq!(
        SHAPE.open(&key, &sealed, &name, now).map(|opened| opened.payload.to_vec()).as_deref(),
        Some(payload)
    );
    if let [at, xor, ..] = data {
        let mut changed = sealed.clone();
        let at = usize::from(*at) % changed.len();
        changed[at] ^= xor;
        let meant = changed == sealed || at >= OVERHEAD + payload.len();
        assert_eq!(SHAPE.open(&key, &changed, &name, now).is_some(), meant);
    }
}

/// Whatever a host hands over is walked through, and what can be walked through comes back.
pub fn header_block(data: &[u8]) {
    let block = HeaderBlock::from_host(data.to_vec());
    let mut pairs: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, value) in block.iter() {
        assert!(name.len() + value.len() <= data.len());
        pairs.push((String::from_utf8_lossy(name).into_owned(), value.to_vec()));
    }
    let again = HeaderBlock::from_pairs(
        pairs.iter().map(|(name, value)| (name.as_str(), value.as_slice())),
    );
    let found: Vec<_> = again
        .iter()
        .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.to_vec()))
        .collect();
    assert!(found == pairs);
}

/// A feed that is read comes back from shared memory as it was.
pub fn feed(data: &[u8]) {
    if let Ok(list) = List::parse(&key(), data, Some(b"\"v1\""), Time::from_s(1_000)) {
        assert!(List::from_bytes(&list.to_bytes()).as_ref() == Some(&list));
    }
    if let Some(list) = List::from_bytes(data) {
        assert!(list.to_bytes() == data);
    }
}

/// What a stream's server sends is bounded, and a set sets no floor that lies ahead.
pub fn set(data: &[u8]) {
    let now = Time::from_s(1_700_000_000);
    if let Ok(poll) = set::Poll::parse(data) {
        assert!(poll.sets.len() <= set::SETS_MAX);
    }
    let Ok(members) = jwt::json::object(data) else { return };
    let Ok(claims) = jwt::Claims::from_map(members) else { return };
    let (iss, typ) = ("https://idp.example", Some("secevent+jwt"));
    let is_ours = set::is_of_stream(typ, &claims, iss, Some("gateway"), now, 30).is_ok();
    assert!(!is_ours || claims.iss.as_deref() == Some(iss));
    for (_, before_s) in set::floors(&key(), &claims, iss, now).unwrap_or_default() {
        assert!(before_s <= now.s() + 1);
    }
}

type Headers<'a> = Vec<(&'a [u8], &'a [u8])>;

/// A request line's target, headers and a body, written as in HTTP/1 but with bare line feeds.
fn message(data: &[u8]) -> (&[u8], Headers<'_>, &[u8]) {
    let end = data.windows(2).position(|two| two == b"\n\n");
    let (head, body) = end.map_or((data, &b""[..]), |end| (&data[..end], &data[end + 2..]));
    let mut lines = head.split(|byte| *byte == b'\n');
    let target = lines.next().unwrap_or_default();
    let headers = lines.filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some((&line[..colon], line[colon + 1..].strip_prefix(b" ").unwrap_or(&line[colon + 1..])))
    });
    (target, headers.collect(), body)
}

fn key() -> HostKey {
    HostKey::new(&[1; 32], b"fuzz")
}

fn with_endpoint(work: impl FnOnce(&herdgate::testing::token_endpoint::TokenEndpoint)) {
    thread_local! {
        static CONFIG: Config = {
            let document = br#"{"token_endpoints": [{"path": "/token"}], "shared": {"secret": "a-secret-of-thirty-two-bytes-or-more"}}"#;
            Config::load(document, &|_| None, HostKind::Envoy).expect("a good document")
        };
    }
    CONFIG.with(|config| work(config.token_endpoints.first().expect("one endpoint")));
}

/// What `p256` and `p384` say of a key and of a signature is what we say: a curve, a byte that may
/// change the point, a private key, a message, and what is xored into its signature; a second time
/// with the xored bytes alone.
pub fn ecdsa(data: &[u8]) {
    macro_rules! on {
        ($oracle:ident, $bytes:literal, $algorithm:expr, $spki:literal) => {{
            let Some((change, data)) = data.get(1..).and_then(<[u8]>::split_first) else { return };
            let Some((private, data)) = data.split_at_checked($bytes) else { return };
            let Some((noise, message)) = data.split_at_checked(2 * $bytes) else { return };
            let Ok(private) = $oracle::ecdsa::SigningKey::from_slice(private) else { return };
            let mut point = private.verifying_key().to_sec1_point(false).as_bytes().to_vec();
            point[1 + usize::from(*change) % (2 * $bytes)] ^= change >> 7;
            let key = VerifyKey::from_pem(
                &pem(&[$spki.as_slice(), &point].concat()),
                AlgorithmSet::from_slice(&[$algorithm]),
            );
            let oracle = $oracle::ecdsa::VerifyingKey::from_sec1_bytes(&point);
            assert_eq!(key.is_ok(), oracle.is_ok());
            let (Ok(key), Ok(oracle)) = (key, oracle) else { return };
            let signature: $oracle::ecdsa::Signature =
                $oracle::ecdsa::signature::Signer::sign(&private, message);
            let xored: Vec<u8> =
                signature.to_bytes().iter().zip(noise).map(|(a, b)| a ^ b).collect();
            // Often enough for the key to get a table in between.
            for signature in [xored, noise.to_vec()].iter().cycle().take(10) {
                let expected = $oracle::ecdsa::Signature::from_slice(signature).is_ok_and(|read| {
                    $oracle::ecdsa::signature::Verifier::verify(&oracle, message, &read).is_ok()
                });
                let ours = key.verify($algorithm, message, signature, &NoHost).is_ok();
                assert_eq!(ours, expected);
            }
        }};
    }
    match data.first().map(|curve| curve & 1) {
        Some(0) => on!(p256, 32, Algorithm::ES256, b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"),
        Some(_) => on!(p384, 48, Algorithm::ES384, b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00"),
        None => {}
    }
}

fn pem(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
}

/// A status list has no more bytes than it may, whatever its stream says, and each of its places has
/// a status of its bits. Read as a whole list, and as its bits and its stream.
pub fn status_list(data: &[u8]) {
    let expected =
        status::Expected { uri: "u", bytes_max: 4_096, now_s: 1_700_000_000, leeway_s: 0 };
    if let Ok(jwt) = status::read(data, 10_000)
        && let Ok(list) = status::List::of(&jwt.claims, &expected)
    {
        assert!(list.bytes.len() <= 4_096 && [1, 2, 4, 8].contains(&list.bits));
    }
    let Some((bits, zlib)) = data.split_first() else { return };
    let bits: u8 = 1 << (bits % 4);
    let Ok(bytes) = status::inflated(zlib, 4_096) else { return };
    assert!(bytes.len() <= 4_096);
    let places = bytes.len() as u64 * 8 / u64::from(bits);
    for index in [0, places / 2, places.saturating_sub(1), places, u64::MAX] {
        let found = status::place(index, bits)
            .and_then(|(at, shift)| Some(status::status(*bytes.get(at)?, shift, bits)));
        assert_eq!(found.is_some(), index < places);
        assert!(found.is_none_or(|found| u16::from(found) < 1 << bits));
    }
}
