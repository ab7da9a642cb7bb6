//! How and how long ago a token's subject must have logged in (RFC 9470).

use super::Claims;
use super::claims::{Rounding, date_s};
use crate::reply::Reason;
use crate::time::Time;

/// What a rule asks of the login behind a token.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StepUp {
    /// The token's `acr` must be one of these; empty: any will do.
    pub acr_values: Vec<String>,
    /// Seconds since `auth_time` at most.
    pub max_age_s: Option<u64>,
}

impl StepUp {
    /// Whether a token meets it now. `leeway_s` is by how much the clock of its issuer may differ:
    /// a login that lies further ahead than that is none.
    ///
    /// # Errors
    /// [`Reason::Authentication`], also if the claim is missing or of another type.
    pub fn met_by(&self, claims: &Claims, now: Time, leeway_s: u64) -> Result<(), Reason> {
        let named = claims.raw.get("acr").and_then(serde_json::Value::as_str);
        let is_strong = self.acr_values.is_empty()
            || named.is_some_and(|acr| self.acr_values.iter().any(|one| one == acr));
        let is_recent = self.max_age_s.is_none_or(|max_age_s| {
            let auth_time = claims.raw.get("auth_time");
            // Rounded down: a login counts as no later than it was.
            let at_s = auth_time.and_then(|value| date_s(value, Rounding::Down).ok());
            at_s.is_some_and(|at_s| {
                at_s <= now.s().saturating_add(leeway_s)
                    && now.s() <= at_s.saturating_add(max_age_s).saturating_add(leeway_s)
            })
        });
        if is_strong && is_recent { Ok(()) } else { Err(Reason::Authentication) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn met(asked: &StepUp, claims: Value, now_s: u64) -> bool {
        let Value::Object(map) = claims else { panic!("an object") };
        asked.met_by(&Claims::from_map(map).unwrap(), Time::from_s(now_s), 30).is_ok()
    }

    #[test]
    fn acr_is_one_of_the_values() {
        let asked =
            StepUp { acr_values: vec!["urn:mfa".into(), "phr".into()], ..Default::default() };
        assert!(met(&asked, json!({"acr": "urn:mfa"}), 0));
        assert!(met(&asked, json!({"acr": "phr"}), 0));
        for bad in [
            json!({}),
            json!({"acr": null}),
            json!({"acr": ""}),
            json!({"acr": "URN:MFA"}),
            json!({"acr": "urn:mfa phr"}),
            json!({"acr": ["urn:mfa"]}),
            json!({"acr": {"urn:mfa": true}}),
            json!({"x": {"acr": "urn:mfa"}}),
        ] {
            assert!(!met(&asked, bad.clone(), 0), "{bad}");
        }
    }

    /// The token of RFC 9470, section 6.1.
    #[test]
    fn the_login_is_no_older_than_max_age() {
        let token = json!({"iss": "https://as.example.net", "sub": "someone@example.net", "acr": "myACR",
            "auth_time": 1_646_340_198, "iat": 1_646_340_198, "exp": 1_646_343_000});
        let asked = StepUp { acr_values: vec!["myACR".into()], max_age_s: Some(5) };
        let at = 1_646_340_198;
        for (now_s, good) in
            [(at, true), (at + 35, true), (at + 36, false), (at - 30, true), (at - 31, false)]
        {
            assert_eq!(met(&asked, token.clone(), now_s), good, "{now_s}");
        }
    }

    #[test]
    fn a_login_at_no_time_is_none() {
        let asked = StepUp { acr_values: Vec::new(), max_age_s: Some(u64::MAX) };
        assert!(met(&asked, json!({"auth_time": 10.9}), 10));
        assert!(!met(
            &StepUp { max_age_s: Some(1), ..asked.clone() },
            json!({"auth_time": 10.9}),
            42
        ));
        for bad in [
            json!({}),
            json!({"iat": 10}),
            json!({"auth_time": null}),
            json!({"auth_time": "10"}),
            json!({"auth_time": -1}),
            json!({"auth_time": true}),
            json!({"auth_time": [10]}),
            json!({"auth_time": u64::MAX}),
        ] {
            assert!(!met(&asked, bad.clone(), 10), "{bad}");
        }
    }
}
