use super::list::{Expected, List, place, read, status};
use super::*;
use crate::jwt::json;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::json as j;

const URI: &str = "https://example.com/statuslists/1";

fn lists() -> StatusLists {
    StatusLists {
        uri_prefix: "https://example.com/statuslists/".to_owned(),
        call: Callout { cluster: None, timeout_ms: 1, retries: 0, headers: Vec::new() },
        ttl_s_max: 300,
        lists_max: 4,
        bytes_max: 1_048_576,
        calls_per_s_max: 20,
        failure_mode: FailureMode::Deny,
    }
}

fn expected(bytes_max: usize) -> Expected<'static> {
    Expected { uri: URI, bytes_max, now_s: 1_700_000_000, leeway_s: 30 }
}

fn claims(members: Value) -> crate::jwt::Claims {
    crate::jwt::Claims::from_map(json::object(members.to_string().as_bytes()).unwrap()).unwrap()
}

/// The claims of a good list with these members; `null` takes one out.
fn with(more: Value) -> crate::jwt::Claims {
    let list = j!({ "bits": 1, "lst": "eNrbuRgAAhcBXQ" });
    let mut all = j!({ "sub": URI, "iat": 1_686_920_170, "exp": 2_291_720_170_u64, "ttl": 43_200, "status_list": list });
    for (name, value) in more.as_object().unwrap() {
        match value {
            Value::Null => drop(all.as_object_mut().unwrap().remove(name)),
            value => all[name] = value.clone(),
        }
    }
    claims(all)
}

fn zlib(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(miniz_oxide::deflate::compress_to_vec_zlib(bytes, 9))
}

fn at(list: &List, index: u64) -> Option<u8> {
    let (byte, shift) = place(index, list.bits)?;
    Some(status(*list.bytes.get(byte)?, shift, list.bits))
}

#[test]
fn the_examples_of_the_draft() {
    for (bits, lst, statuses) in [
        (1, "eNrbuRgAAhcBXQ", &[1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1][..]),
        (2, "eNo76fITAAPfAgc", &[1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]),
    ] {
        let list =
            List::of(&with(j!({ "status_list": { "bits": bits, "lst": lst } })), &expected(100));
        let list = list.unwrap();
        for (index, status) in statuses.iter().enumerate() {
            assert_eq!(at(&list, index as u64), Some(*status), "{bits} bits, {index}");
        }
        assert_eq!(at(&list, statuses.len() as u64), None);
        assert_eq!((list.ttl_s, list.end_s), (Some(43_200), Some(2_291_720_170)));
    }
}

#[test]
fn the_test_vectors_of_the_draft() {
    for line in include_str!("vectors.txt").lines().filter(|line| !line.starts_with('#')) {
        let [bits, statuses, lst] = line.split(' ').collect::<Vec<_>>()[..] else { panic!() };
        let bits: u64 = bits.parse().unwrap();
        let members = with(j!({ "status_list": { "bits": bits, "lst": lst } }));
        let list = List::of(&members, &expected(1_048_576)).unwrap();
        let mut others: u64 = 1 << 20;
        for one in statuses.split(',') {
            let (index, status) = one.split_once('=').unwrap();
            let status: u8 = status.parse().unwrap();
            assert_eq!(at(&list, index.parse().unwrap()), Some(status), "{bits}: {one}");
            others -= u64::from(status != 0);
        }
        let zeros = (0..1 << 20).filter(|index| at(&list, *index) == Some(0)).count();
        assert_eq!(zeros as u64, others, "{bits}");
        assert_eq!(at(&list, 1 << 20), None);
        assert_eq!(at(&list, u64::MAX), None);
        let too_long = List::of(&members, &expected(list.bytes.len() - 1));
        assert_eq!(too_long, Err(ListError::TooLong));
    }
}

/// Its signature is written with padding there, which RFC 7515 leaves out.
const EXAMPLE: &str = "eyJhbGciOiJFUzI1NiIsImtpZCI6IjEyIiwidHlwIjoic3RhdHVzbGlzdCtqd3QifQ.eyJleHAiOjIyOTE3MjAxNzAsImlhdCI6MTY4NjkyMDE3MCwiaXNzIjoiaHR0cHM6Ly9leGFtcGxlLmNvbSIsInN0YXR1c19saXN0Ijp7ImJpdHMiOjEsImxzdCI6ImVOcmJ1UmdBQWhjQlhRIn0sInN1YiI6Imh0dHBzOi8vZXhhbXBsZS5jb20vc3RhdHVzbGlzdHMvMSIsInR0bCI6NDMyMDB9.2lKUUNG503R9htu4aHAYi7vjmr3sgApbfoDvPrl65N3URUO1EYqqQl45Jfzd-Av4QzlKa3oVALpLwOEUOq-U_g";

#[test]
fn the_list_token_of_the_draft_verifies() {
    let key = br#"{"keys":[{"kty":"EC","use":"sig","crv":"P-256","x":"I3HWm_0Ds1dPMI-IWmf4mBmH-YaeAVbPVu7vB27CxXo","y":"6N_d5Elj9bs1htgV3okJKIdbHEpkgTmAluYKJemzn1M","kid":"12","alg":"ES256"}]}"#;
    let es256 = crate::signature::AlgorithmSet::from_slice(&[crate::signature::Algorithm::ES256]);
    let set = crate::signature::jwk_set::parse(key, es256, 1, 4096).unwrap();
    let jwt = read(EXAMPLE.as_bytes(), 4096).unwrap();
    let verified =
        set.keys[0].verify(jwt.algorithm, jwt.signed, &jwt.signature, &crate::signature::NoHost);
    assert!(verified.is_ok());
    let list = List::of(&jwt.claims, &expected(2)).unwrap();
    assert_eq!((list.bits, &list.bytes[..]), (1, &[0xb9, 0xa3][..]));
    assert!(read(format!("{EXAMPLE}==").as_bytes(), 4096).is_err());
}

#[test]
fn lists_that_lie_are_told_apart() {
    let of = |more| List::of(&with(more), &expected(1_000)).map(|_| ());
    let list = |bits: Value, lst: &str| of(j!({ "status_list": { "bits": bits, "lst": lst } }));
    assert_eq!(of(j!({})), Ok(()));
    assert_eq!(of(j!({ "exp": null, "ttl": null })), Ok(()));
    assert_eq!(of(j!({ "sub": null })), Err(ListError::Subject));
    assert_eq!(of(j!({ "sub": format!("{URI}/") })), Err(ListError::Subject));
    assert_eq!(of(j!({ "iat": null })), Err(ListError::Issued));
    assert_eq!(of(j!({ "iat": 1_700_000_030 })), Ok(()));
    assert_eq!(of(j!({ "iat": 1_700_000_031 })), Err(ListError::Issued));
    assert_eq!(of(j!({ "nbf": 1_700_000_031 })), Err(ListError::Issued));
    assert_eq!(of(j!({ "exp": 1_700_000_000 })), Err(ListError::Expired));
    for ttl in [j!(0), j!(-1), j!(0.5), j!("60"), j!(null), j!([60])] {
        let mut claims = with(j!({}));
        claims.raw.insert("ttl".to_owned(), ttl.clone());
        assert_eq!(List::of(&claims, &expected(9)), Err(ListError::Ttl), "{ttl}");
    }
    assert_eq!(of(j!({ "ttl": 60.9 })), Ok(()));
    for bits in [j!(0), j!(3), j!(16), j!("1"), j!(1.0), j!(null)] {
        assert_eq!(list(bits.clone(), "eNrbuRgAAhcBXQ"), Err(ListError::Shape), "{bits}");
    }
    assert_eq!(of(j!({ "status_list": null })), Err(ListError::Shape));
    assert_eq!(of(j!({ "status_list": { "bits": 1 } })), Err(ListError::Shape));
    // Padded, of another alphabet, deflate without zlib, cut, with another checksum, empty.
    for lst in
        ["eNrbuRgAAhcBXQ==", "eNrbuRgAAhcBXQ+", "27kYAA", "eNrbuRgAAhcB", "eNrbuRgAAhcBXg", ""]
    {
        assert_eq!(list(j!(1), lst), Err(ListError::Encoding), "{lst}");
    }
}

#[test]
fn a_bomb_is_inflated_no_further_than_it_may_be() {
    let bomb = zlib(&vec![0; 64 << 20]);
    assert!(bomb.len() < 100_000);
    let members = with(j!({ "status_list": { "bits": 1, "lst": bomb } }));
    assert_eq!(List::of(&members, &expected(1_000)), Err(ListError::TooLong));
    // Blocks without a byte in them cost their own length.
    let mut empty_blocks = vec![0x78, 0xda];
    empty_blocks.extend([0, 0, 0, 0xff, 0xff].repeat(200_000));
    let lst = URL_SAFE_NO_PAD.encode(empty_blocks);
    let members = with(j!({ "status_list": { "bits": 1, "lst": lst } }));
    assert_eq!(List::of(&members, &expected(1_000)), Err(ListError::Encoding));
}

#[test]
fn only_a_list_is_read_as_one() {
    let token = |typ: Value| {
        let header = URL_SAFE_NO_PAD.encode(j!({ "alg": "ES256", "typ": typ }).to_string());
        format!("{header}.e30.AAAA\n")
    };
    for typ in ["statuslist+jwt", "StatusList+JWT", "application/statuslist+jwt"] {
        assert!(read(token(j!(typ)).as_bytes(), 1_000).is_ok(), "{typ}");
    }
    for typ in [j!("JWT"), j!("at+jwt"), j!("statuslist+cwt"), j!("statuslist"), j!(null)] {
        let refused = read(token(typ.clone()).as_bytes(), 1_000).map(|_| ());
        assert_eq!(refused, Err(ListError::Type), "{typ}");
    }
    for body in
        ["", "<html>", "{}", "a.b.c", "eyJhbGciOiJub25lIiwidHlwIjoic3RhdHVzbGlzdCtqd3QifQ.e30."]
    {
        assert_eq!(read(body.as_bytes(), 1_000).map(|_| ()), Err(ListError::NotAJwt), "{body}");
    }
    assert!(read(EXAMPLE.as_bytes(), EXAMPLE.len() - 1).is_err());
}

#[test]
fn a_token_names_a_list_below_the_prefix_in_one_way() {
    let of = |status: Value| reference(j!({ "status": status }).as_object().unwrap(), &lists());
    assert_eq!(reference(j!({}).as_object().unwrap(), &lists()), Ok(None));
    let good = of(j!({ "status_list": { "idx": 3, "uri": URI }, "more": 1 })).unwrap().unwrap();
    assert_eq!((good.index, good.uri.as_str()), (3, URI));
    for idx in [j!(-1), j!(1.0), j!("1"), j!(null), j!([0])] {
        let bad = of(j!({ "status_list": { "idx": idx, "uri": URI } }));
        assert_eq!(bad, Err(NotAReference), "{idx}");
    }
    for status in [
        j!(null),
        j!("x"),
        j!([]),
        j!({}),
        j!({ "status_list": [] }),
        j!({ "status_list": { "idx": 1 } }),
        j!({ "status_list": { "uri": URI } }),
        j!({ "identifier_list": { "id": "a", "uri": URI } }),
    ] {
        assert_eq!(of(status.clone()), Err(NotAReference), "{status}");
    }
    for uri in [
        "https://example.com/statuslists/",
        "https://example.com/statuslists",
        "https://example.com/statuslists/../admin",
        "https://example.com/statuslists/%2e%2e/admin",
        "https://example.com/statuslists/a%2f..%2fadmin",
        "https://example.com/statuslists/a//b",
        "https://example.com/statuslists/..\\admin",
        "https://example.com/statuslists/1?x=1",
        "https://example.com/statuslists/1#x",
        "https://example.com/statuslists/a b",
        "https://example.com/statuslists/a;b",
        "https://example.com/statuslists/a\r\nb",
        "https://example.com@evil.example/statuslists/1",
        "https://example.com.evil.example/statuslists/1",
        "https://evil.example/https://example.com/statuslists/1",
        "http://example.com/statuslists/1",
        "HTTPS://example.com/statuslists/1",
        "https://example.com:443/statuslists/1",
        " https://example.com/statuslists/1",
        "",
    ] {
        let bad = of(j!({ "status_list": { "idx": 1, "uri": uri } }));
        assert_eq!(bad, Err(NotAReference), "{uri}");
    }
    let long = format!("{URI}{}", "1".repeat(1_024));
    assert_eq!(of(j!({ "status_list": { "idx": 1, "uri": long } })), Err(NotAReference));
}

proptest! {
    #[test]
    fn what_is_packed_is_found(bits in prop::sample::select(vec![1u8, 2, 4, 8]), statuses in proptest::collection::vec(any::<u8>(), 1..200)) {
        let mut bytes = vec![0u8; statuses.len() * usize::from(bits) / 8 + 1];
        for (index, one) in statuses.iter().enumerate() {
            let (byte, shift) = place(index as u64, bits).unwrap();
            bytes[byte] |= (u16::from(*one) % (1 << bits)) as u8 * (1u8 << shift);
        }
        let members = with(j!({ "status_list": { "bits": bits, "lst": zlib(&bytes) } }));
        let list = List::of(&members, &expected(1_000)).unwrap();
        for (index, one) in statuses.iter().enumerate() {
            prop_assert_eq!(at(&list, index as u64), Some((u16::from(*one) % (1 << bits)) as u8));
        }
    }

    #[test]
    fn any_lst_is_a_list_or_none(lst in "[A-Za-z0-9_-]{0,200}", bits in 0u64..10) {
        let members = with(j!({ "status_list": { "bits": bits, "lst": format!("eNr{lst}") } }));
        if let Ok(list) = List::of(&members, &expected(500)) {
            prop_assert!(list.bytes.len() <= 500);
        }
    }
}
