use proptest::prelude::*;

use super::super::fixtures::{endpoint, key};
use super::*;

const NOW: Time = Time::from_s(1_700_000_000);
const BODY: &str = r#"{ "x":{"expires_in":3600}, "y":"\"expires_in\":3600", "expires_in" : 3600 , "access_token":"a","token_type":"Bearer" }"#;

fn draw(n: u64) -> Draw {
    Draw::of(&key(), &key().digest("test", &[&n.to_le_bytes()]), NOW)
}

#[test]
fn both_ends_are_reached_and_never_passed() {
    let (most, least) = (Draw(0), Draw(u64::MAX));
    for (lifetime_s, jitter, from) in [
        (3600, 0.1, 3240),
        (3600, 0.5, 1800),
        (3600, 0.0, 3600),
        (1, 0.5, 1),
        (2, 0.5, 1),
        (5, 0.1, 5),
        (86400, 0.3, 60480),
    ] {
        assert_eq!(most.advertised_s(lifetime_s, jitter), lifetime_s);
        assert_eq!(least.advertised_s(lifetime_s, jitter), from, "{lifetime_s} {jitter}");
    }
    for odd in [f64::NAN, -1.0, f64::NEG_INFINITY] {
        assert_eq!(least.advertised_s(3600, odd), 3600);
    }
    assert_eq!(least.advertised_s(3600, f64::INFINITY), 1800);
    assert_eq!(least.shorten_ms(3_600_000, 0.1), 3_240_000);
    assert_eq!(least.advertised_s(u64::MAX, 0.5), u64::MAX / 2 + 1);
}

/// Pearson's test over 361 classes; 361 + 4 standard deviations is about 470.
#[test]
fn a_million_draws_in_one_millisecond_are_uniform() {
    let mut seen = [0u32; 361];
    let key = key();
    let mut subject = Digest([0; 32]);
    for n in 0..1_000_000u64 {
        subject.0[..8].copy_from_slice(&n.to_le_bytes());
        let advertised = Draw::of(&key, &subject, NOW).advertised_s(3600, 0.1);
        seen[(advertised - 3240) as usize] += 1;
    }
    let expected = 1e6 / 361.0;
    let chi_square: f64 =
        seen.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
    assert!((250.0..470.0).contains(&chi_square), "{chi_square}");
    assert!(seen[0] > 0 && seen[360] > 0);
}

#[test]
fn one_client_and_period_give_one_number() {
    let subject = key().digest("test", &[b"c"]);
    assert_eq!(Draw::of(&key(), &subject, NOW), Draw::of(&key(), &subject, NOW));
    assert_ne!(Draw::of(&key(), &subject, NOW), Draw::of(&key(), &subject, NOW.plus_ms(1)));
    let other_host = HostKey::new(&[8; 32], b"");
    assert_ne!(Draw::of(&key(), &subject, NOW), Draw::of(&other_host, &subject, NOW));
}

#[test]
fn grants() {
    let all = endpoint();
    assert!(applies(&all, None) && applies(&all, Some("password")));
    let some = TokenEndpoint { jitter_grants: Some(vec!["password".into()]), ..endpoint() };
    assert!(
        applies(&some, Some("password")) && !applies(&some, Some("x")) && !applies(&some, None)
    );
    assert!(!applies(&TokenEndpoint { jitter: 0.0, ..endpoint() }, None));
}

#[test]
fn only_the_number_changes() {
    let aged = |body: &str, expires_in_s| aged(body.as_bytes(), expires_in_s, 1, NOW);
    let rewritten = aged(BODY, 99).unwrap();
    assert_eq!(String::from_utf8(rewritten).unwrap(), BODY.replace(" 3600 ", " 99 "));
    assert_eq!(aged(BODY, 10_000), None);
    for odd in [
        "",
        "{}",
        r#"{"expires_in":"soon"}"#,
        r#"{"expires_in":3600,"expires_in":1}"#,
        r#"[{"expires_in":3600}]"#,
    ] {
        assert_eq!(aged(odd, 1), None, "{odd}");
    }
}

/// On its way an answer keeps its length: spaces make up for lost digits.
#[test]
fn each_type_of_number_is_kept_in_its_length() {
    for (number, said) in [
        ("1000", "900 "),
        ("\"1000\"", "\"900\" "),
        ("1000.0", "900.0 "),
        ("1000.99", "900.0  "),
        ("\"1000.5\"", "\"900.0\" "),
        ("1000e0", "900   "),
    ] {
        let body = BODY.replace(" 3600 ", number);
        match shorten(body.as_bytes(), Draw(u64::MAX), 0.1, NOW, Fit::SameLength) {
            Shortened::Rewritten { body: rewritten, expires_in_s } => {
                assert_eq!(
                    (expires_in_s, String::from_utf8(rewritten).unwrap()),
                    (900, body.replace(number, said)),
                    "{number}"
                );
            }
            other => panic!("{number}: {other:?}"),
        }
    }
    let short = BODY.replace(" 3600 ", "1e3");
    assert!(matches!(
        shorten(short.as_bytes(), Draw(u64::MAX), 0.1, NOW, Fit::SameLength),
        Shortened::Rewritten { .. }
    ));
    let short = BODY.replace(" 3600 ", "4e3");
    assert_eq!(
        shorten(short.as_bytes(), Draw(u64::MAX), 0.1, NOW, Fit::SameLength),
        Shortened::Odd
    );
}

/// Entra ID says twice how long; neither says more than the other is shortened to.
#[test]
fn what_is_said_beside_is_shortened_too() {
    let body = r#"{"expires_in":1000,"ext_expires_in":"1000","refresh_in":500,"refresh_token_expires_in":86400}"#;
    let wanted = r#"{"expires_in":900 ,"ext_expires_in":"900" ,"refresh_in":500,"refresh_token_expires_in":86400}"#;
    match shorten(body.as_bytes(), Draw(u64::MAX), 0.1, NOW, Fit::SameLength) {
        Shortened::Rewritten { body, .. } => assert_eq!(String::from_utf8(body).unwrap(), wanted),
        other => panic!("{other:?}"),
    }
}

#[test]
fn answers_of_any_grant_are_shortened() {
    let body = BODY.replace("\"a\"", "\"a\",\"refresh_token\":\"r\",\"id_token\":\"i\"");
    match shorten(body.as_bytes(), Draw(u64::MAX), 0.1, NOW, Fit::SameLength) {
        Shortened::Rewritten { body: rewritten, expires_in_s } => {
            assert_eq!(expires_in_s, 3240);
            assert_eq!(String::from_utf8(rewritten).unwrap(), body.replace(" 3600 ", " 3240 "));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(shorten(body.as_bytes(), Draw::NONE, 0.1, NOW, Fit::Shorter), Shortened::Same);
    for odd in [
        "",
        "{}",
        r#"{"expires_in":0.5}"#,
        r#"{"expires_in":null}"#,
        r#"{"expires_in":3600,"error":"x"}"#,
    ] {
        assert_eq!(
            shorten(odd.as_bytes(), draw(1), 0.1, NOW, Fit::Shorter),
            Shortened::Odd,
            "{odd}"
        );
    }
}

#[test]
fn a_jwt_bounds_what_is_said() {
    use base64::Engine as _;
    let jwt = |exp_s: u64| {
        let payload =
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{exp_s}}}"));
        BODY.replace("\"a\"", &format!("\"e30.{payload}.\""))
    };
    let said =
        |exp_s| match shorten(jwt(exp_s).as_bytes(), Draw::NONE, 0.1, NOW.plus_ms(1), Fit::Shorter)
        {
            Shortened::Rewritten { expires_in_s, .. } => Some(expires_in_s),
            Shortened::Same => Some(3600),
            Shortened::Odd => None,
        };
    assert_eq!(said(NOW.s() + 3601), Some(3600));
    assert_eq!(said(NOW.s() + 3600), Some(3599));
    assert_eq!(said(NOW.s() + 2), Some(1));
    assert_eq!(said(NOW.s() + 1), None);
    assert_eq!(said(NOW.s() - 100), None);
    // One that ends long before the server's number is spread too.
    let short = shorten(jwt(NOW.s() + 1000).as_bytes(), Draw(u64::MAX), 0.1, NOW, Fit::Shorter);
    assert!(matches!(short, Shortened::Rewritten { expires_in_s: 900, .. }), "{short:?}");
}

proptest! {
    #[test]
    fn a_lifetime_only_shrinks(bits in any::<u64>(), lifetime_s in 1u64..400_000_000, jitter in 0.0f64..=0.5) {
        let advertised = Draw(bits).advertised_s(lifetime_s, jitter);
        prop_assert!(advertised >= 1 && advertised <= lifetime_s);
        prop_assert!(advertised as f64 >= (lifetime_s as f64 * (1.0 - jitter - 1e-6)).floor());
        prop_assert!(Draw(bits).shorten_ms(lifetime_s, jitter) <= lifetime_s);
        prop_assert!(Draw(bits).other(11) < 11);
    }

    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..200), value in any::<u64>()) {
        let _ = aged(&body, value, value, NOW);
        let _ = shorten(&body, Draw(value), 0.1, NOW, Fit::SameLength);
    }

    #[test]
    fn every_other_byte_stays(before in "[ \t\r\n]{0,3}", name in "[a-z\"\\\\é]{0,6}", value in 1u64..100_000, new in 1u64..100_000) {
        let name = serde_json::to_string(&name).unwrap();
        let body = format!("{before}{{{name} :[{{\"expires_in\":{value}}}],{before}\"expires_in\":{before}{value}{before}}}{before}");
        let wanted = format!("{before}{{{name} :[{{\"expires_in\":{value}}}],{before}\"expires_in\":{before}{new}{before}}}{before}");
        match aged(body.as_bytes(), new, 1, NOW) {
            Some(rewritten) => prop_assert_eq!(String::from_utf8(rewritten).unwrap(), wanted),
            None => prop_assert!(new > value),
        }
    }
}
