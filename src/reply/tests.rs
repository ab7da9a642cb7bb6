use super::*;

#[test]
fn every_reason_has_its_own_name_and_a_harmless_text() {
    let mut names: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Reason::ALL.len());
    for reason in Reason::ALL {
        assert!(
            reason
                .description()
                .bytes()
                .all(|b| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\')
        );
        assert!(reason.name().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
    }
}

#[test]
fn unavailable_is_never_an_invalid_token() {
    for reason in Reason::ALL {
        assert_eq!(
            reason.code() == Some("invalid_token"),
            reason.status() == 401
                && !matches!(
                    reason,
                    Reason::NoToken | Reason::Proof | Reason::Nonce | Reason::Authentication
                ),
            "{reason:?}"
        );
    }
}

#[test]
fn answers_in_three_dialects() {
    let mut table = String::new();
    for style in [ErrorStyle::Oauth, ErrorStyle::Kong, ErrorStyle::Problem] {
        for reason in Reason::ALL {
            let mut refusal = Refusal::from(reason);
            refusal.scope = "orders:read".into();
            let answer = answer(&refusal, style, "api", Place::default());
            table.push_str(&format!("{style:?} {} {}\n", reason.name(), answer.status));
            for (name, value) in &answer.headers {
                table.push_str(&format!("  {name}: {value}\n"));
            }
            table.push_str(&format!("  {}\n", String::from_utf8_lossy(&answer.body)));
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_token_endpoint_has_no_bearer_challenge_and_grpc_a_plain_body() {
    let place = Place { token_endpoint: true, grpc: true };
    let answer = answer(&Refusal::from(Reason::BadSignature), ErrorStyle::Oauth, "api", place);
    assert!(answer.headers.iter().all(|(name, _)| name != "www-authenticate"));
    assert_eq!(answer.body, b"The signature doesn't verify");
}

#[test]
fn retry_after_is_at_least_a_second() {
    let mut refusal = Refusal::from(Reason::Limited);
    refusal.retry_after_s = Some(0);
    let answer = answer(&refusal, ErrorStyle::Oauth, "api", Place::default());
    assert!(answer.headers.contains(&("retry-after".into(), "1".into())));
}

#[test]
fn a_challenge_says_which_schemes_would_do() {
    let said = |reason: Reason, dpop: DpopChallenge, style: ErrorStyle| {
        let refusal = Refusal { dpop: Some(Box::new(dpop)), ..Refusal::from(reason) };
        let answer = answer(&refusal, style, "api", Place::default());
        let headers = answer.headers.iter().map(|(name, value)| format!("{name}: {value}\n"));
        format!(
            "{reason:?}\n{}{}\n",
            headers.collect::<String>(),
            String::from_utf8_lossy(&answer.body)
        )
    };
    let algorithms = || "ES256 Ed25519".to_owned();
    let both = DpopChallenge { algorithms: algorithms(), bearer: true, ..Default::default() };
    let dpop = DpopChallenge { bearer: false, ..both.clone() };
    let nonce = DpopChallenge { nonce: Some("n".to_owned()), ..dpop.clone() };
    let of_proof = DpopChallenge { is_of_proof: true, ..dpop.clone() };
    let mut table = String::new();
    for (reason, challenge) in [
        (Reason::NoToken, both),
        (Reason::NoToken, dpop.clone()),
        (Reason::Proof, dpop.clone()),
        (Reason::Bound, dpop.clone()),
        (Reason::Replayed, dpop.clone()),
        (Reason::Replayed, of_proof),
        (Reason::Scope, dpop.clone()),
        (Reason::MalformedRequest, dpop),
        (Reason::Nonce, nonce.clone()),
    ] {
        table.push_str(&said(reason, challenge, ErrorStyle::Oauth));
    }
    table.push_str(&said(Reason::Nonce, nonce, ErrorStyle::Kong));
    insta::assert_snapshot!(table);
}

/// Bodies are written without a writer of JSON: none of our texts needs one.
#[test]
fn every_body_is_the_json_that_a_writer_makes() {
    for reason in Reason::ALL {
        for style in [ErrorStyle::Oauth, ErrorStyle::Kong, ErrorStyle::Problem] {
            let body = answer(&reason.into(), style, "api", Place::default()).body;
            let read: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert!(read.is_object());
            assert_eq!(read.to_string().as_bytes(), body, "{reason:?}");
        }
    }
}

/// RFC 9470, section 3, and RFC 9728, section 5.1.
#[test]
fn a_challenge_says_which_login_would_do_and_where_to_learn_more() {
    let metadata = "https://resource.example.com/.well-known/oauth-protected-resource";
    let mut refusal = Refusal::from(Reason::Authentication);
    refusal.acr_values = "myACR urn:mfa".into();
    refusal.max_age_s = Some(5);
    refusal.resource_metadata = Some(metadata.into());
    let told = |refusal: &Refusal| {
        let answer = answer(refusal, ErrorStyle::Oauth, "api", Place::default());
        let of = |wanted: &str| {
            let found = answer.headers.iter().filter(|(name, _)| name == wanted);
            found.map(|(_, value)| value.clone()).collect::<Vec<_>>().join("; ")
        };
        (answer.status, of("www-authenticate"), of("access-control-expose-headers"))
    };
    let login = "error=\"insufficient_user_authentication\", error_description=\"A stronger or more recent authentication is required\", acr_values=\"myACR urn:mfa\", max_age=\"5\"";
    let there = format!("resource_metadata=\"{metadata}\"");
    let exposed = "WWW-Authenticate".to_owned();
    assert_eq!(
        told(&refusal),
        (401, format!("Bearer realm=\"api\", {login}, {there}"), exposed.clone())
    );
    refusal.dpop =
        Some(Box::new(DpopChallenge { algorithms: "ES256".into(), ..Default::default() }));
    assert_eq!(
        told(&refusal),
        (401, format!("DPoP algs=\"ES256\", {login}, {there}"), exposed.clone())
    );
    let mut lacking = Refusal::from(Reason::NoToken);
    lacking.resource_metadata = Some(metadata.into());
    let bearer = format!("Bearer realm=\"api\", {there}");
    assert_eq!(told(&lacking), (401, bearer.clone(), exposed.clone()));
    lacking.dpop = Some(Box::new(DpopChallenge {
        algorithms: "ES256".into(),
        bearer: true,
        nonce: Some("n".into()),
        ..Default::default()
    }));
    let both = format!("{bearer}, DPoP algs=\"ES256\", {there}");
    assert_eq!(told(&lacking), (401, both, "DPoP-Nonce, WWW-Authenticate".into()));
    // What has no challenge has none of it.
    let mut limited = Refusal::from(Reason::Limited);
    limited.resource_metadata = Some(metadata.into());
    assert_eq!(told(&limited), (429, String::new(), String::new()));
}
