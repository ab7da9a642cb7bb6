//! What several tests need.

use crate::digest::HostKey;
use crate::token_endpoint::{Reuse, TokenEndpoint};

use super::request::{self, Head, TokenRequest};

/// The endpoint of the README.
pub fn endpoint() -> TokenEndpoint {
    TokenEndpoint {
        digest: [9; 32],
        path: "/oauth2/token".into(),
        path_template: None,
        host: None,
        grant_types: vec!["client_credentials".into()],
        reuse: Reuse { fraction: 0.5, min_remaining_s: 30, max_s: 3300 },
        jitter: 0.1,
        jitter_grants: None,
        negative_ttl_s: 5,
        wait_ms_max: 5000,
        lease_ms: 10000,
        upstream_calls_max: 50,
        waiters_max: 5000,
        body_bytes_max: 8192,
        answer_bytes_max: 16384,
        revocation_path: Some("/oauth2/revoke".into()),
        revocation_template: None,
        keep_with_cookies: true,
        ignore_headers: vec!["x-own-trace".into()],
        default_lifetime_s: None,
        except_clients: vec!["fresh".into()],
        refresh_ahead: true,
        coalesce_refresh: true,
        limits: vec![],
    }
}

pub fn key() -> HostKey {
    HostKey::new(&[7; 32], b"a secret of the host")
}

pub const POST: Head<'static> =
    Head { method: b"POST", has_query: false, client_certificate: false };
pub const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

pub fn bytes<'a>(headers: &[(&'a str, &'a str)]) -> Vec<(&'a [u8], &'a [u8])> {
    headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect()
}

/// A POST with the form's content type, further headers and a body.
pub fn post(headers: &[(&str, &str)], body: &str) -> TokenRequest {
    let mut all = vec![FORM];
    all.extend(headers);
    request::parse(POST, bytes(&all), body.as_bytes(), &endpoint())
}

/// A small generator whose seed is its whole state (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            list.swap(at, self.below(at + 1));
        }
    }
}
