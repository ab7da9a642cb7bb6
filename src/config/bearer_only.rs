//! `dist/herdgate-bearer.wasm`: the same filter without the callbacks for the API's answers, so
//! that the host never enters it for one. A configuration that needs them is refused.

use super::error::{ConfigErrors, Report};
use super::types::Config;

const EXPECTED: &str = "nothing in herdgate-bearer.wasm";

impl Config {
    /// This configuration, if it can do without the API's answers.
    ///
    /// # Errors
    /// What needs them, by its path, and which module has them.
    pub fn without_answers(self) -> Result<Config, ConfigErrors> {
        let mut report = Report::default();
        if !self.token_endpoints.is_empty() {
            let got = "endpoints (their answers are not seen there; herdgate.wasm sees them)";
            report.error("token_endpoints", EXPECTED, got);
        }
        for (index, limit) in self.rate_limits.iter().enumerate() {
            if limit.headers {
                let got = "true (allowed answers are not seen there; herdgate.wasm sees them)";
                report.error(&format!("rate_limits[{index}].headers"), EXPECTED, got);
            }
        }
        for (index, dpop) in self.dpop.iter().enumerate() {
            if dpop.as_ref().is_some_and(|dpop| dpop.nonce) {
                let got = "true (a good answer brings the next nonce, and answers are not seen \
                           there; herdgate.wasm sees them)";
                report.error(&format!("issuers[{index}].dpop.nonce"), EXPECTED, got);
            }
        }
        report.into_result().map(|_| self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HostKind;

    fn told(document: &str) -> String {
        let config = Config::load(document.as_bytes(), &|_| None, HostKind::Unknown).unwrap();
        config.without_answers().map_or_else(|errors| errors.to_string(), |_| String::new())
    }

    #[test]
    fn what_needs_answers_is_refused_by_its_path() {
        let limit =
            r#"{ "name": "l", "key": ["address"], "limit": 1, "per_s": 1, "headers": HEADERS }"#;
        let of = |headers: &str| {
            told(&format!(r#"{{ "rate_limits": [{}] }}"#, limit.replace("HEADERS", headers)))
        };
        assert_eq!(of("false"), "");
        assert_eq!(
            of("true"),
            "rate_limits[0].headers: expected nothing in herdgate-bearer.wasm, got true (allowed \
             answers are not seen there; herdgate.wasm sees them)"
        );
        let issuers = |nonce: &str| {
            r#"{ "issuers": [
                { "name": "a", "issuer": "a", "algorithms": ["RS256"], "jwks_uri": "https://a/k" },
                { "name": "b", "issuer": "b", "algorithms": ["RS256"], "jwks_uri": "https://b/k",
                  "dpop": { "nonce": NONCE, "origins": ["https://api"] } }] }"#
                .replace("NONCE", nonce)
        };
        assert_eq!(told(&issuers("false")), "");
        assert!(told(&issuers("true")).starts_with("issuers[1].dpop.nonce: expected nothing in"));
        let endpoints = r#"{ "token_endpoints": [{ "path": "/oauth2/token" }] }"#;
        assert!(told(endpoints).starts_with("token_endpoints: expected nothing in"));
    }
}
