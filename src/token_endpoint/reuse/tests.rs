use proptest::prelude::*;

use super::super::answer::{self, Answer};
use super::super::fixtures::{bytes, endpoint, key};
use super::*;

const T0: Time = Time::from_s(1_700_000_000);

fn plain() -> TokenEndpoint {
    TokenEndpoint { jitter: 0.0, refresh_ahead: false, ..endpoint() }
}

fn life(expires_in_s: u64) -> Life {
    Life { asked_at: T0, expires_in_s, jwt_exp_s: None, draw: Draw::NONE }
}

fn hit(expires_in_s: u64) -> Serve {
    Serve::Hit { expires_in_s }
}

#[test]
fn reuse_ends_at_the_earliest_bound() {
    let endpoint = |fraction, min_remaining_s, max_s| TokenEndpoint {
        reuse: Reuse { fraction, min_remaining_s, max_s },
        ..plain()
    };
    for (endpoint, expires_in_s, ends_s) in [
        (endpoint(0.5, 30, 3300), 3600, 1800),
        (endpoint(1.0, 30, 10_000), 3600, 3570),
        (endpoint(1.0, 30, 3300), 3600, 3300),
        (endpoint(0.5, 30, 3300), 50, 20),
        (endpoint(0.5, 30, 3300), 30, 0),
        (endpoint(0.5, 30, 3300), 10, 0),
        (endpoint(0.0, 0, 3300), 3600, 0),
        (endpoint(f64::NAN, 0, 3300), 3600, 0),
        (endpoint(1.0, 0, 0), 3600, 0),
    ] {
        let life = life(expires_in_s);
        assert_eq!(life.ends_at(&endpoint), T0.plus_s(ends_s));
        assert_eq!(life.serve(T0.plus_s(ends_s), &endpoint), Serve::Stale);
        if ends_s > 0 {
            assert_eq!(life.serve(T0, &endpoint), hit(expires_in_s));
            let last = Time::from_ns(T0.plus_s(ends_s).ns() - 1_000_000);
            assert_eq!(life.serve(last, &endpoint), hit(expires_in_s - ends_s));
        }
    }
}

#[test]
fn expires_in_is_rounded_down() {
    let at = |ms| life(3600).serve(T0.plus_ms(ms), &plain());
    assert_eq!(at(0), hit(3600));
    assert_eq!(at(1), hit(3599));
    assert_eq!(at(1000), hit(3599));
    assert_eq!(at(1001), hit(3598));
    assert_eq!(at(1_799_999), hit(1800));
    assert_eq!(at(1_800_000), Serve::Stale);
}

#[test]
fn a_jwt_ends_it_earlier() {
    let jwt = |exp_s| Life { jwt_exp_s: Some(exp_s), ..life(3600) };
    assert_eq!(jwt(T0.s() + 100).serve(T0.plus_s(10), &plain()), hit(90));
    assert_eq!(jwt(T0.s() + 100).ends_at(&plain()), T0.plus_s(50));
    assert_eq!(jwt(T0.s() + 9000).serve(T0.plus_s(10), &plain()), hit(3590));
    assert_eq!(jwt(T0.s() - 1).serve(T0, &plain()), Serve::Stale);
    assert_eq!(jwt(0).serve(T0, &plain()), Serve::Stale);
    let spread = Life { draw: Draw::from_bits(u64::MAX), ..jwt(T0.s() + 1000) };
    assert_eq!(spread.serve(T0, &TokenEndpoint { jitter: 0.1, ..plain() }), hit(900));
}

#[test]
fn a_clock_that_goes_back_adds_nothing() {
    let at = |ms_before| life(3600).serve(Time::from_ms(T0.ms() - ms_before), &plain());
    assert_eq!(at(1), hit(3600));
    assert_eq!(at(1000), hit(3600));
    assert_eq!(at(1001), Serve::Stale);
    assert_eq!(at(3_600_000), Serve::Stale);
    let jwt = Life { jwt_exp_s: Some(T0.s() + 100), ..life(3600) };
    assert_eq!(jwt.serve(Time::from_ms(T0.ms() - 1000), &plain()), hit(100));
}

#[test]
fn one_renews_in_the_last_part() {
    let ahead = TokenEndpoint { refresh_ahead: true, jitter: 0.0, ..endpoint() };
    let starts = |draw| {
        (0..1800)
            .find(|s| {
                matches!(
                    Life { draw, ..life(3600) }.serve(T0.plus_s(*s), &ahead),
                    Serve::RefreshAhead { .. }
                )
            })
            .unwrap()
    };
    assert_eq!(starts(Draw::NONE), 1620);
    assert_eq!(starts(Draw::from_bits(0xffff_ffff)), 1440);
    assert_eq!(
        life(3600).serve(T0.plus_s(1700), &ahead),
        Serve::RefreshAhead { expires_in_s: 1900 }
    );
    assert_eq!(life(3600).serve(T0.plus_s(1800), &ahead), Serve::Stale);
}

#[test]
fn jitter_shortens_reuse_too() {
    let most = Life { draw: Draw::from_bits(u64::MAX), ..life(3600) };
    let endpoint = TokenEndpoint { refresh_ahead: false, ..endpoint() };
    assert_eq!(most.ends_at(&endpoint), T0.plus_s(1620));
    assert_eq!(most.serve(T0, &endpoint), hit(3240));
    let long = TokenEndpoint {
        reuse: Reuse { fraction: 1.0, min_remaining_s: 30, max_s: 1000 },
        refresh_ahead: false,
        ..endpoint
    };
    assert_eq!(most.ends_at(&long), T0.plus_s(900));
}

#[test]
fn refusals_are_short() {
    let refusal = refused(401, b"{}", None).unwrap();
    assert_eq!(refusal.serve(T0, &endpoint()), Serve::Refusal);
    assert_eq!(refusal.serve(T0.plus_ms(4999), &endpoint()), Serve::Refusal);
    assert_eq!(refusal.serve(T0.plus_s(5), &endpoint()), Serve::Stale);
    assert_eq!(refusal.serve(Time::from_ms(T0.ms() - 1001), &endpoint()), Serve::Stale);
    assert_eq!(refusal.ends_at(&endpoint()), T0.plus_s(5));
}

fn refused(status: u16, body: &[u8], challenge: Option<&str>) -> Option<Stored> {
    let challenge = challenge.map(|text| text.as_bytes().to_vec());
    Stored::refusal(Refused { status, content_type: b"application/json", challenge, body }, T0).ok()
}

/// Nothing but a challenge by the grammar comes back, whatever the bytes are.
#[test]
fn a_refusal_keeps_its_challenge() {
    let kept = refused(401, b"{}", Some("Basic realm=\"idp\"")).unwrap();
    assert_eq!(Stored::decode(&kept.encode()), Some(kept.clone()));
    let broken = Stored { challenge: Some(b"Basic realm=\"a\"\r\nx: y".to_vec()), ..kept.clone() };
    assert_eq!(Stored::decode(&broken.encode()), None);
    assert_eq!(refused(401, b"{}", Some(&"a".repeat(513))).unwrap().challenge, None);
}

/// What else counts in seconds ages with the token, in its own type.
#[test]
fn a_kept_answer_has_aged_in_all_that_it_says() {
    let body = r#"{"access_token":"t","token_type":"Bearer","expires_in":"600","ext_expires_in":600,"refresh_in":300.0}"#;
    let kept = stored(body).unwrap();
    let said = String::from_utf8(kept.body_with(550, T0.plus_ms(9_001)).unwrap()).unwrap();
    let wanted = r#"{"access_token":"t","token_type":"Bearer","expires_in":"550","ext_expires_in":550,"refresh_in":290.0}"#;
    assert_eq!(said, wanted);
}

/// A token that tells its end itself lives until then; others as long as the configuration says.
#[test]
fn lifetimes_that_the_server_does_not_say() {
    use base64::Engine as _;
    let bare = |token: &str| {
        format!("{{\"access_token\":\"{token}\",\"token_type\":\"Bearer\",\"expires_in\":null}}")
    };
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .encode(format!("{{\"exp\":{}}}", T0.s() + 1000));
    let ours = TokenEndpoint { default_lifetime_s: Some(200), ..plain() };
    for (token, lifetime_s) in [("opaque".to_owned(), 200), (format!("e30.{payload}."), 1000)] {
        let body = bare(&token);
        let headers = bytes(&[("content-type", "application/json")]);
        let Answer::Storable(storable) =
            answer::analyse(200, headers, body.as_bytes(), true, &ours)
        else {
            panic!()
        };
        let kept = Stored::token(
            &key(),
            &storable,
            &Granted {
                content_type: b"application/json",
                body: body.as_bytes(),
                asked_at: T0,
                draw: Draw::NONE,
            },
            &ours,
        )
        .unwrap();
        assert_eq!(kept.serve(T0, &ours), hit(lifetime_s));
        assert_eq!(kept.ends_at(&ours), T0.plus_s(lifetime_s / 2));
        let said = kept.body_with(lifetime_s - 1, T0.plus_s(1)).unwrap();
        assert_eq!(
            String::from_utf8(said).unwrap(),
            body.replace("null", &(lifetime_s - 1).to_string())
        );
    }
}

fn stored(body: &str) -> Option<Stored> {
    let headers = bytes(&[("content-type", "application/json")]);
    let Answer::Storable(storable) =
        answer::analyse(200, headers, body.as_bytes(), true, &endpoint())
    else {
        panic!()
    };
    Stored::token(
        &key(),
        &storable,
        &Granted {
            content_type: b"application/json",
            body: body.as_bytes(),
            asked_at: T0,
            draw: Draw::from_bits(7),
        },
        &endpoint(),
    )
    .ok()
}

#[test]
fn from_answer_to_bytes_and_back() {
    let body = r#"{"access_token":"secret-token","token_type":"Bearer","expires_in":3600}"#;
    let kept = stored(body).unwrap();
    assert_eq!(Stored::decode(&kept.encode()), Some(kept.clone()));
    assert_eq!(
        kept.body_with(1799, T0.plus_s(1)).unwrap(),
        body.replace("3600", "1799").as_bytes()
    );
    let Kind::Token { handle, .. } = kept.kind else { panic!() };
    assert_eq!(handle, revocation::token_handle(&key(), b"secret-token"));
    assert!(!format!("{kept:?}").contains("secret-token"));
    assert!(stored(&body.replace("3600", "30")).is_none(), "would never be served");
    let refusal = refused(400, b"{\"error\":\"invalid_scope\"}", None).unwrap();
    assert_eq!(Stored::decode(&refusal.encode()), Some(refusal));
    let long = Refused { status: 400, content_type: &[b'x'; 256], challenge: None, body: b"{}" };
    assert_eq!(Stored::refusal(long, T0), Err(NotStored::ContentType));
}

#[test]
fn other_bytes_are_not_an_answer() {
    let good =
        stored(r#"{"access_token":"a","token_type":"Bearer","expires_in":3600}"#).unwrap().encode();
    for len in 0..good.len() {
        assert_eq!(Stored::decode(&good[..len]), None);
    }
    assert_eq!(Stored::decode(&[&good[..], b"x"].concat()), None);
    for (at, byte) in [(0, 1), (1, 201), (3, 2), (3, 3), (19, 255)] {
        let mut bad = good.clone();
        bad[at] = byte;
        assert_eq!(Stored::decode(&bad), None, "{at}");
    }
}

proptest! {
    #[test]
    fn never_past_any_end(
        expires_in_s in 1u64..=EXPIRES_IN_S_MAX, exp in prop::option::of(0u64..4_000_000_000), bits in any::<u64>(),
        after_ms in 0u64..100_000_000, fraction in 0.0f64..=1.0, min_remaining_s in 0u64..1000, max_s in 0u64..100_000,
        jitter in 0.0f64..=0.5,
    ) {
        let endpoint = TokenEndpoint { reuse: Reuse { fraction, min_remaining_s, max_s }, jitter, ..endpoint() };
        let life = Life { asked_at: T0, expires_in_s, jwt_exp_s: exp, draw: Draw::from_bits(bits) };
        let now = T0.plus_ms(after_ms);
        match life.serve(now, &endpoint) {
            Serve::Hit { expires_in_s: said } | Serve::RefreshAhead { expires_in_s: said } => {
                prop_assert!(said >= 1 && said >= min_remaining_s);
                prop_assert!(now.plus_s(said) <= T0.plus_s(expires_in_s));
                prop_assert!(exp.is_none_or(|exp| now.plus_s(said) <= Time::from_s(exp)));
                prop_assert!(after_ms < max_s * 1000);
                prop_assert!(after_ms as f64 <= fraction * expires_in_s as f64 * 1000.0 + expires_in_s as f64 / 1000.0);
                prop_assert!(now < life.ends_at(&endpoint));
            }
            Serve::Stale => {}
            Serve::Refusal => prop_assert!(false),
        }
    }

    /// The leader's own answer and what followers are told end within two seconds of one another.
    #[test]
    fn leader_and_followers_agree(
        expires_in_s in 100u64..1_000_000, exp in prop::option::of(100u64..1_000_000), bits in any::<u64>(), latency_ms in 0u64..5000,
    ) {
        use base64::Engine as _;
        let exp = exp.map(|after_s| T0.s() + after_s);
        let payload = exp.map_or("{}".into(), |exp_s| format!("{{\"exp\":{exp_s}}}"));
        let jwt = format!("e30.{}.", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(payload));
        let body = format!("{{\"access_token\":\"{jwt}\",\"expires_in\":{expires_in_s}}}");
        let (draw, now) = (Draw::from_bits(bits), T0.plus_ms(latency_ms));
        let told_s = match jitter::shorten(body.as_bytes(), draw, 0.1, now, jitter::Fit::Shorter) {
            jitter::Shortened::Rewritten { expires_in_s, .. } => expires_in_s,
            jitter::Shortened::Same => expires_in_s,
            jitter::Shortened::Odd => panic!(),
        };
        let life = Life { asked_at: T0, expires_in_s, jwt_exp_s: exp, draw };
        if let Serve::Hit { expires_in_s } = life.serve(now, &endpoint()) {
            prop_assert!(expires_in_s <= told_s + 1 && told_s <= expires_in_s + latency_ms.div_ceil(1000) + 1, "{expires_in_s} {told_s}");
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), now in any::<u64>()) {
        let mut likely = bytes.clone();
        likely.splice(0..likely.len().min(4), [2, 200, 0, 1]);
        for bytes in [bytes, likely] {
            if let Some(read) = Stored::decode(&bytes) {
                let _ = read.serve(Time::from_ns(now), &endpoint());
                let _ = read.body_with(now, Time::from_ns(now));
                prop_assert_eq!(read.encode(), bytes);
            }
        }
    }
}
