//! What a rule, one of its alternatives, or a tier of a limit asks of a token's claims.

use serde_json::Value;

use super::Claims;
use crate::jwt::ClaimPath;
use crate::jwt::check::{names_one, scopes};
use crate::reply::Reason;

/// Demands that must all be met.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Demands {
    /// One of these must be in `aud`; empty: no further demand.
    pub audiences: Vec<String>,
    /// All of these scopes.
    pub scopes_all: Vec<String>,
    /// One of these scopes, unless empty.
    pub scopes_any: Vec<String>,
    /// Claims and the values of which they must have one.
    pub claims: Vec<(ClaimPath, Vec<Value>)>,
}

impl Demands {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        let Demands { audiences, scopes_all, scopes_any, claims } = self;
        audiences.is_empty() && scopes_all.is_empty() && scopes_any.is_empty() && claims.is_empty()
    }

    /// Whether a token of an issuer with this `scope_claim` meets them.
    ///
    /// # Errors
    /// In this order: [`Reason::WrongAudience`], [`Reason::Claim`], [`Reason::Scope`].
    pub fn met_by(&self, scope_claim: Option<&ClaimPath>, claims: &Claims) -> Result<(), Reason> {
        if !self.audiences.is_empty() && !names_one(&claims.aud, &self.audiences) {
            return Err(Reason::WrongAudience);
        }
        if !has_all(claims, &self.claims) {
            return Err(Reason::Claim);
        }
        let granted = scopes(claims, scope_claim);
        let is_granted = |wanted: &String| granted.clone().any(|scope| scope == wanted);
        let all = self.scopes_all.iter().all(is_granted);
        let any = self.scopes_any.is_empty() || self.scopes_any.iter().any(is_granted);
        if all && any { Ok(()) } else { Err(Reason::Scope) }
    }

    /// The scopes that a challenge names (RFC 6750, section 3.1).
    pub fn scopes(&self) -> &[String] {
        if self.scopes_all.is_empty() { &self.scopes_any } else { &self.scopes_all }
    }
}

/// Whether each of these claims has one of its values.
pub fn has_all(claims: &Claims, asked: &[(ClaimPath, Vec<Value>)]) -> bool {
    asked.iter().all(|(path, values)| claims.get(path).is_some_and(|claim| has_one(claim, values)))
}

/// Whether the claim is one of `values`, or an array with one of them as an element. Values are
/// equal as JSON of the same spelling: `1` is neither `"1"` nor `1.0`.
fn has_one(claim: &Value, values: &[Value]) -> bool {
    values.contains(claim)
        || claim
            .as_array()
            .is_some_and(|elements| elements.iter().any(|element| values.contains(element)))
}

/// Whether one of these alternatives is met; none at all ask nothing.
///
/// # Errors
/// The reason of the one that comes nearest: one that lacks scopes alone before one that lacks a
/// claim, and that before one for another audience.
pub fn one_met(
    any: &[Demands],
    scope_claim: Option<&ClaimPath>,
    claims: &Claims,
) -> Result<(), Reason> {
    let mut nearest = None;
    for demands in any {
        match (demands.met_by(scope_claim, claims), nearest) {
            (Ok(()), _) => return Ok(()),
            (Err(Reason::Scope), _) => nearest = Some(Reason::Scope),
            (Err(reason), None | Some(Reason::WrongAudience)) => nearest = Some(reason),
            (Err(_), Some(_)) => {}
        }
    }
    nearest.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims(value: Value) -> Claims {
        let Value::Object(map) = value else { panic!("an object") };
        Claims::from_map(map).unwrap()
    }

    #[test]
    fn one_of_several_will_do() {
        let text = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        let role = ClaimPath(text(&["roles"]));
        let any = [
            Demands { scopes_any: text(&["orders:read"]), ..Demands::default() },
            Demands { claims: vec![(role, vec![json!("all")])], ..Demands::default() },
            Demands { audiences: text(&["b"]), ..Demands::default() },
        ];
        let asked = |value: Value| one_met(&any, None, &claims(value));
        for good in [
            json!({"scope": "x orders:read"}),
            json!({"roles": ["x", "all"]}),
            json!({"aud": ["b"]}),
        ] {
            assert_eq!(asked(good), Ok(()));
        }
        assert_eq!(asked(json!({})), Err(Reason::Scope));
        assert_eq!(one_met(&any[1..], None, &claims(json!({}))), Err(Reason::Claim));
        assert_eq!(one_met(&any[2..], None, &claims(json!({}))), Err(Reason::WrongAudience));
        // What one lacks another doesn't make up for.
        let both = Demands { audiences: text(&["b"]), ..any[0].clone() };
        assert!(one_met(&[both], None, &claims(json!({"scope": "orders:read"}))).is_err());
        assert_eq!(one_met(&[], None, &claims(json!({}))), Ok(()));
    }
}
