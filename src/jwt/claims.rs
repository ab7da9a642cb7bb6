//! The claims of a token, typed where the filter reads them (RFC 7519, section 4.1).

use serde_json::{Map, Value};

use crate::reply::Reason;

/// The way to a claim: one segment an object level.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClaimPath(pub Vec<String>);

/// The last second that a `NumericDate` may name: 9999-12-31T23:59:59Z. What lies beyond, or
/// before 1970, is no date of a token but a mistake or a trick.
pub const DATE_S_MAX: u64 = 253_402_300_799;

/// Claims whose types have been checked. Times are whole seconds since the epoch, rounded to the
/// stricter side where a token carries a fraction (RFC 7519, section 2, allows one).
#[derive(Clone, PartialEq)]
pub struct Claims {
    /// Issuer.
    pub iss: Option<String>,
    /// Subject.
    pub sub: Option<String>,
    /// Audiences; empty if the claim is missing or an empty array.
    pub aud: Vec<String>,
    /// Expiration, rounded down.
    pub exp: Option<u64>,
    /// Not before, rounded up.
    pub nbf: Option<u64>,
    /// Issued at, rounded down: it bounds a token's age, and earlier is stricter.
    pub iat: Option<u64>,
    /// The token's id.
    pub jti: Option<String>,
    /// `client_id` (RFC 9068, section 2.2), else `azp` (OpenID Connect Core, section 2).
    pub client_id: Option<String>,
    /// All claims, those above included.
    pub raw: Map<String, Value>,
}

impl Claims {
    /// Types the claims of an object that [`crate::jwt::json::object`] has read.
    ///
    /// # Errors
    /// [`Reason::Malformed`] if a claim named above has a type that its specification doesn't give
    /// it (`null` too), or a time is negative or after [`DATE_S_MAX`].
    pub fn from_map(raw: Map<String, Value>) -> Result<Claims, Reason> {
        let client_id = string(&raw, "client_id")?;
        // Some servers write `"azp": null` where no client asked (it is optional, OpenID Connect Core,
        // section 2). Who somebody is stays strict.
        let azp = match raw.get("azp") {
            Some(Value::Null) => None,
            _ => string(&raw, "azp")?,
        };
        Ok(Claims {
            iss: string(&raw, "iss")?,
            sub: string(&raw, "sub")?,
            aud: audiences(&raw)?,
            exp: date(&raw, "exp", Rounding::Down)?,
            nbf: date(&raw, "nbf", Rounding::Up)?,
            iat: date(&raw, "iat", Rounding::Down)?,
            jti: string(&raw, "jti")?,
            client_id: client_id.or(azp),
            raw,
        })
    }

    /// The claim at `path`, through objects alone: an array has no members.
    pub fn get(&self, path: &ClaimPath) -> Option<&Value> {
        let (first, rest) = path.0.split_first()?;
        rest.iter().try_fold(self.raw.get(first)?, |value, name| value.as_object()?.get(name))
    }
}

impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Claims(..)")
    }
}

fn string(raw: &Map<String, Value>, name: &str) -> Result<Option<String>, Reason> {
    match raw.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Reason::Malformed),
    }
}

fn audiences(raw: &Map<String, Value>) -> Result<Vec<String>, Reason> {
    match raw.get("aud") {
        None => Ok(Vec::new()),
        Some(Value::String(one)) => Ok(vec![one.clone()]),
        Some(Value::Array(list)) => list
            .iter()
            .map(|audience| match audience {
                Value::String(text) => Ok(text.clone()),
                _ => Err(Reason::Malformed),
            })
            .collect(),
        Some(_) => Err(Reason::Malformed),
    }
}

fn date(raw: &Map<String, Value>, name: &str, rounding: Rounding) -> Result<Option<u64>, Reason> {
    raw.get(name)
        .map(|value| date_s(value, rounding))
        .transpose()
        .map_err(|NotADate| Reason::Malformed)
}

/// To which side a date with a fraction is rounded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rounding {
    /// To the second before.
    Down,
    /// To the second after.
    Up,
}

/// A value is no `NumericDate`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotADate;

/// A `NumericDate` (RFC 7519, section 2) of any document in whole seconds: a JSON number, with or
/// without a fraction or an exponent, from 0 to [`DATE_S_MAX`].
///
/// # Errors [`NotADate`] for any other value. What that means is the document's matter, but it is
/// never "no date".
pub fn date_s(value: &Value, rounding: Rounding) -> Result<u64, NotADate> {
    let Value::Number(number) = value else { return Err(NotADate) };
    if let Some(seconds) = number.as_u64() {
        return if seconds <= DATE_S_MAX { Ok(seconds) } else { Err(NotADate) };
    }
    match number.as_f64() {
        // The range is far below 2^53, so the cast loses nothing; NaN is in no range.
        Some(seconds) if (0.0..=DATE_S_MAX as f64).contains(&seconds) => Ok(match rounding {
            Rounding::Down => seconds.floor() as u64,
            Rounding::Up => seconds.ceil() as u64,
        }),
        _ => Err(NotADate),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::json;

    fn claims(text: &str) -> Result<Claims, Reason> {
        Claims::from_map(json::object(text.as_bytes()).expect("strict JSON"))
    }

    #[test]
    fn registered_claims_are_typed() {
        let c =
            claims(r#"{"iss":"i","sub":"s","aud":"a","exp":10,"nbf":5,"iat":4,"jti":"j","client_id":"c","azp":"z","x":{"y":1}}"#).unwrap();
        assert_eq!(
            (c.iss.as_deref(), c.sub.as_deref(), c.jti.as_deref()),
            (Some("i"), Some("s"), Some("j"))
        );
        assert_eq!((c.exp, c.nbf, c.iat), (Some(10), Some(5), Some(4)));
        assert_eq!((c.aud, c.client_id.as_deref()), (vec!["a".to_owned()], Some("c")));
        assert_eq!(c.raw.len(), 10);
        assert_eq!(claims(r#"{"azp":"z"}"#).unwrap().client_id.as_deref(), Some("z"));
        let none = claims("{}").unwrap();
        assert_eq!((none.iss, none.exp, none.aud.len(), none.client_id), (None, None, 0, None));
    }

    #[test]
    fn wrong_types_are_malformed() {
        for name in ["iss", "sub", "jti", "client_id", "azp"] {
            for value in ["null", "1", "true", "[]", "[\"a\"]", "{}"] {
                if (name, value) == ("azp", "null") {
                    continue;
                }
                assert_eq!(
                    claims(&format!("{{\"{name}\":{value}}}")).err(),
                    Some(Reason::Malformed),
                    "{name} {value}"
                );
            }
        }
        for value in ["null", "1", "true", "{}", "[1]", "[\"a\",null]", "[[\"a\"]]"] {
            assert_eq!(
                claims(&format!("{{\"aud\":{value}}}")).err(),
                Some(Reason::Malformed),
                "aud {value}"
            );
        }
        assert_eq!(claims(r#"{"aud":["a","b"]}"#).unwrap().aud, ["a", "b"]);
        assert!(claims(r#"{"aud":[]}"#).unwrap().aud.is_empty());
        let none = claims(r#"{"azp":null}"#).unwrap();
        assert_eq!((none.client_id, none.raw.len()), (None, 1));
        // A good client_id doesn't excuse a bad azp.
        assert!(claims(r#"{"client_id":"c","azp":1}"#).is_err());
    }

    #[test]
    fn dates_round_to_the_stricter_side() {
        let c = claims(r#"{"exp":10.9,"nbf":10.1,"iat":10.9}"#).unwrap();
        assert_eq!((c.exp, c.nbf, c.iat), (Some(10), Some(11), Some(10)));
        let c = claims(r#"{"exp":1e1,"nbf":1E+1,"iat":10.0}"#).unwrap();
        assert_eq!((c.exp, c.nbf, c.iat), (Some(10), Some(10), Some(10)));
        let c = claims(r#"{"exp":0,"nbf":-0,"iat":-0.0}"#).unwrap();
        assert_eq!((c.exp, c.nbf, c.iat), (Some(0), Some(0), Some(0)));
        assert_eq!(claims(r#"{"exp":1e-400}"#).unwrap().exp, Some(0));
        assert_eq!(claims(r#"{"exp":253402300799}"#).unwrap().exp, Some(DATE_S_MAX));
    }

    #[test]
    fn dates_outside_the_range_or_of_another_type_are_malformed() {
        for name in ["exp", "nbf", "iat"] {
            for value in [
                "-1",
                "-0.5",
                "253402300800",
                "253402300799.5",
                "253402300800.0",
                "9223372036854775807",
                "18446744073709551615",
                "18446744073709551616",
                "1e300",
                "-1e300",
                "-9223372036854775808",
                "null",
                "\"10\"",
                "true",
                "[10]",
                "{}",
            ] {
                assert_eq!(
                    claims(&format!("{{\"{name}\":{value}}}")).err(),
                    Some(Reason::Malformed),
                    "{name} {value}"
                );
            }
        }
    }

    #[test]
    fn a_path_goes_through_objects_alone() {
        let c =
            claims(r#"{"realm":{"roles":["a"],"n":null},"a.b":{"c":1},"list":[{"x":1}],"s":"t"}"#)
                .unwrap();
        let get = |segments: &[&str]| {
            c.get(&ClaimPath(segments.iter().map(|s| (*s).to_owned()).collect())).cloned()
        };
        assert_eq!(get(&["realm", "roles"]), Some(serde_json::json!(["a"])));
        assert_eq!(get(&["realm", "n"]), Some(Value::Null));
        assert_eq!(get(&["a.b", "c"]), Some(serde_json::json!(1)));
        for missing in [
            &["a", "b"][..],
            &["list", "0"],
            &["list", "x"],
            &["s", "t"],
            &["realm", "roles", "0"],
            &["no"],
            &[],
        ] {
            assert_eq!(get(missing), None, "{missing:?}");
        }
    }

    #[test]
    fn debug_output_holds_no_claim() {
        assert_eq!(format!("{:?}", claims(r#"{"sub":"alice"}"#).unwrap()), "Claims(..)");
    }
}
