//! To which key a token is bound, by its `cnf`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// Whose key a token is bound to: every one of them has to be proven. A token that is bound to
/// nothing has none of this.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Binding {
    /// The thumbprint of the key that signs a DPoP proof (RFC 9449, section 6.1).
    pub jkt: Option<[u8; 32]>,
    /// The SHA-256 of the client's certificate (RFC 8705, section 3.1).
    pub x5t: Option<[u8; 32]>,
    /// Whether it is bound to something else too, or `cnf` can't be read: nothing proves that.
    pub unknown: bool,
}

/// Which keys the caller of a request has proven to hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Proven {
    /// The thumbprint of the key that signed its DPoP proof.
    pub jkt: Option<[u8; 32]>,
    /// The SHA-256 of its certificate.
    pub x5t: Option<[u8; 32]>,
}

impl Binding {
    /// What these claims, or this introspection answer, are bound to. `null` says no more than an
    /// absent `cnf`. An empty one, one that is no object, and a member that isn't read here are
    /// bindings that nothing meets: to pass over one would make a stolen token good.
    pub fn of(claims: &Map<String, Value>) -> Option<Binding> {
        let members = match claims.get("cnf") {
            None | Some(Value::Null) => return None,
            Some(Value::Object(members)) if !members.is_empty() => members,
            Some(_) => return Some(Binding { unknown: true, ..Binding::default() }),
        };
        let mut binding = Binding::default();
        for (name, value) in members {
            let thumbprint = value.as_str().and_then(thumbprint);
            match name.as_str() {
                "jkt" if thumbprint.is_some() => binding.jkt = thumbprint,
                "x5t#S256" if thumbprint.is_some() => binding.x5t = thumbprint,
                _ => binding.unknown = true,
            }
        }
        Some(binding)
    }

    /// Whether all that it is bound to is proven.
    pub fn is_met_by(&self, proven: &Proven) -> bool {
        let Binding { jkt, x5t, unknown } = self;
        let bound = jkt.is_some() || x5t.is_some();
        bound
            && !unknown
            && jkt.is_none_or(|jkt| proven.jkt == Some(jkt))
            && x5t.is_none_or(|x5t| proven.x5t == Some(x5t))
    }

    /// What is proven where all of this is.
    pub fn when_met(&self) -> Proven {
        Proven { jkt: self.jkt, x5t: self.x5t }
    }

    /// Bytes of the form in shared memory.
    pub const BYTES: usize = 65;

    /// The form in shared memory; all zeros where there is no binding.
    pub fn to_bytes(binding: Option<&Binding>) -> [u8; Binding::BYTES] {
        let mut bytes = [0; Binding::BYTES];
        let Some(Binding { jkt, x5t, unknown }) = binding else { return bytes };
        let has = |there: bool, bit: u8| if there { bit } else { 0 };
        let (flags, keys) = bytes.split_at_mut(1);
        let (first, second) = keys.split_at_mut(32);
        flags
            .fill(BOUND | has(jkt.is_some(), JKT) | has(x5t.is_some(), X5T) | has(*unknown, OTHER));
        first.copy_from_slice(&jkt.unwrap_or_default());
        second.copy_from_slice(&x5t.unwrap_or_default());
        bytes
    }

    /// Reads that form; nothing if it is another.
    pub fn from_bytes(bytes: &[u8]) -> Option<Option<Binding>> {
        let (flags, keys) = bytes.split_first()?;
        let (jkt, x5t) = keys.split_first_chunk::<32>()?;
        let x5t: [u8; 32] = x5t.try_into().ok()?;
        let has = |bit: u8| flags & bit != 0;
        if *flags == 0 {
            return Some(None);
        }
        (has(BOUND) && flags & !(BOUND | JKT | X5T | OTHER) == 0).then(|| {
            Some(Binding {
                jkt: has(JKT).then_some(*jkt),
                x5t: has(X5T).then_some(x5t),
                unknown: has(OTHER),
            })
        })
    }
}

const BOUND: u8 = 1;
const JKT: u8 = 2;
const X5T: u8 = 4;
const OTHER: u8 = 8;

/// SHA-256 as base64url without padding, in its one spelling.
fn thumbprint(text: &str) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The examples of RFC 9449, section 6.1, and RFC 8705, section 3.1.
    const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
    const X5T: &str = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2";

    fn of(cnf: Value) -> Option<Binding> {
        Binding::of(json!({ "cnf": cnf }).as_object().unwrap())
    }

    #[test]
    fn a_token_without_cnf_is_bound_to_nothing() {
        assert_eq!(Binding::of(&Map::new()), None);
        assert_eq!(of(Value::Null), None);
    }

    #[test]
    fn the_members_of_the_rfcs_are_read() {
        let jkt = thumbprint(JKT).unwrap();
        // The RFC's own example ends in bits that are not zero: it is no spelling of 32 bytes.
        assert!(of(json!({ "x5t#S256": X5T })).unwrap().unknown);
        let other = URL_SAFE_NO_PAD.encode([7; 32]);
        assert_eq!(
            of(json!({ "jkt": JKT })),
            Some(Binding { jkt: Some(jkt), ..Default::default() })
        );
        assert_eq!(
            of(json!({ "jkt": JKT, "x5t#S256": other })),
            Some(Binding { jkt: Some(jkt), x5t: Some([7; 32]), unknown: false })
        );
    }

    #[test]
    fn what_cant_be_read_is_a_binding_that_nothing_meets() {
        let all = Proven { jkt: thumbprint(JKT), x5t: Some([7; 32]) };
        for cnf in [
            json!({}),
            json!([]),
            json!("jkt"),
            json!(1),
            json!(false),
            json!({ "jkt": null }),
            json!({ "jkt": 1 }),
            json!({ "jkt": "" }),
            json!({ "jkt": format!("{JKT}=") }),
            json!({ "jkt": JKT.replace('-', "+") }),
            json!({ "jkt": JKT, "x5t#S256": [] }),
            json!({ "jkt": JKT, "kid": "k" }),
            json!({ "jwk": {} }),
            json!({ "JKT": JKT }),
            json!({ "x5t": JKT }),
        ] {
            let binding = of(cnf.clone()).unwrap();
            assert!(!binding.is_met_by(&all), "{cnf}");
        }
    }

    #[test]
    fn every_member_has_to_be_proven() {
        let jkt = Binding { jkt: Some([1; 32]), ..Default::default() };
        let both = Binding { x5t: Some([2; 32]), ..jkt };
        let (one, two) = (Some([1; 32]), Some([2; 32]));
        assert!(jkt.is_met_by(&Proven { jkt: one, x5t: None }));
        assert!(jkt.is_met_by(&Proven { jkt: one, x5t: two }), "more is no harm");
        assert!(both.is_met_by(&Proven { jkt: one, x5t: two }));
        for short in [
            Proven::default(),
            Proven { jkt: two, x5t: one },
            Proven { jkt: one, x5t: one },
            Proven { jkt: one, x5t: None },
            Proven { jkt: None, x5t: two },
        ] {
            assert!(!both.is_met_by(&short), "{short:?}");
        }
        assert!(!jkt.is_met_by(&Proven::default()));
        assert!(!Binding::default().is_met_by(&Proven { jkt: one, x5t: two }));
    }

    #[test]
    fn a_record_says_the_same() {
        let all = [None, Some([1; 32])];
        let some = all.iter().flat_map(|jkt| all.iter().map(move |x5t| (*jkt, *x5t)));
        for (jkt, x5t) in some {
            for unknown in [false, true] {
                let binding = Some(Binding { jkt, x5t, unknown });
                let bytes = Binding::to_bytes(binding.as_ref());
                assert_eq!(Binding::from_bytes(&bytes), Some(binding));
            }
        }
        assert_eq!(Binding::from_bytes(&Binding::to_bytes(None)), Some(None));
        for wrong in [&[][..], &[0; 64], &[0; 66], &[16; 65], &[2; 65]] {
            assert_eq!(Binding::from_bytes(wrong), None, "{wrong:?}");
        }
    }
}
