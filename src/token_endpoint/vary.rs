//! `Vary` of a token answer (RFC 9110, section 12.5.5): it may be kept if each header that it names
//! is told apart by the key, or is the same in all requests that share one.

use crate::token_endpoint::TokenEndpoint;

use super::{headers, media};

/// Whether a `Vary` line names nothing but what the key tells apart.
pub(super) fn is_told_apart(line: &[u8], endpoint: &TokenEndpoint) -> bool {
    media::all_elements(line, |field| {
        headers::is_told_apart(field.to_ascii_lowercase().as_bytes(), endpoint)
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{bytes, endpoint, key, post};
    use super::super::request::{self, Class};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names() {
        let ours = TokenEndpoint { ignore_headers: vec!["x-own-trace".into()], ..endpoint() };
        for yes in [
            "Accept-Encoding",
            "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
            "Authorization",
            "accept",
            "Accept, Accept-Language , Cookie",
            "X-Tenant",
            "X-Forwarded-Host,X-Forwarded-Proto",
            "content-type",
            "Host",
            "",
        ] {
            assert!(is_told_apart(yes.as_bytes(), &ours), "{yes}");
        }
        for no in [
            "*",
            "accept, *",
            "User-Agent",
            "x-forwarded-for",
            "Forwarded",
            "X-Own-Trace",
            "cf-ray",
            "a b",
            "\u{e9}",
            "\"accept\"",
        ] {
            assert!(!is_told_apart(no.as_bytes(), &ours), "{no}");
        }
    }

    proptest! {
        /// The promise itself: what `Vary` may name is never passed over by the key.
        #[test]
        fn a_named_header_is_in_the_key(
            name in prop_oneof![
                "x-[a-z]{1,6}",
                prop::sample::select(vec!["cookie", "accept-language", "forwarded", "user-agent", "cf-ray", "x-forwarded-for",
                    "x-forwarded-host", "x-own-trace", "traceparent", "via", "x-b3-traceid"]).prop_map(str::to_owned),
            ],
            one in "[a-z]{1,4}",
            other in "[a-z]{1,4}",
        ) {
            prop_assume!(one != other);
            let ours = TokenEndpoint { ignore_headers: vec!["x-own-trace".into()], ..endpoint() };
            let body = "grant_type=client_credentials&client_id=c&client_secret=s";
            let key_with = |value: &str| {
                let headers = [super::super::fixtures::FORM, (name.as_str(), value)];
                let request = request::parse(super::super::fixtures::POST, bytes(&headers), body.as_bytes(), &ours);
                matches!(request.class(), Class::Reusable).then(|| request.cache_key(&key(), &[1; 32], b"h", b"/p")).flatten()
            };
            let (a, b) = (key_with(&one), key_with(&other));
            if is_told_apart(name.as_bytes(), &ours) {
                prop_assert!(a.is_none() || a != b, "{name}");
            }
            prop_assert!(post(&[], body).class() == Class::Reusable);
        }
    }
}
