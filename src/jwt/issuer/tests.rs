use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::jwt::issuer::{ExpPolicy, Forward, LifetimeFrom};
use crate::signature::source::Credentials;
use crate::signature::{Algorithm, AlgorithmSet};

/// An issuer as the tests of this and other rooms start from.
pub(crate) fn example(matcher: IssuerMatch) -> Issuer {
    Issuer {
        name: "example".to_owned(),
        digest: [0; 32],
        matcher,
        opaque: None,
        encrypted: Encrypted::Refuse,
        keys: KeySource::Inline(Arc::new(Vec::new())),
        algorithms: AlgorithmSet::from_slice(&[Algorithm::RS256]),
        audiences: Vec::new(),
        leeway_s: 30,
        lifetime_s_max: None,
        exp: ExpPolicy::Required,
        lifetime_from: LifetimeFrom::Iat,
        typ: None,
        claims_required: Vec::new(),
        scope_claim: None,
        sunset_s: None,
        ignores_cnf: false,
        forward: Forward {
            claims: Vec::new(),
            token: true,
            payload_header: None,
            claim_bytes_max: 1024,
        },
        consumer: None,
        consumer_claim: None,
        credential_claim: None,
    }
}

fn exact(iss: &str, audiences: &[&str]) -> Issuer {
    let audiences = audiences.iter().map(|a| (*a).to_owned()).collect();
    Issuer { audiences, ..example(IssuerMatch::Exact(iss.to_owned())) }
}

fn covered(template: &str, iss: &str) -> Option<Vec<(String, String)>> {
    let template = Template::parse(template).expect("a template");
    let captures = template.matches(iss)?;
    Some(captures.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn pairs(list: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
    Some(list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

const DEVICES: &str = "mobilev2-{device_id}-{timestamp}";

#[test]
fn the_last_capture_is_after_the_last_separator() {
    for (iss, device, timestamp) in [
        ("mobilev2-a-1", "a", "1"),
        ("mobilev2-a-b-c-1", "a-b-c", "1"),
        ("mobilev2---1", "-", "1"),
        ("mobilev2-mobilev2-a-1", "mobilev2-a", "1"),
        ("mobilev2-é 1-\n", "é 1", "\n"),
        ("mobilev2-{device_id}-{timestamp}", "{device_id}", "{timestamp}"),
    ] {
        assert_eq!(
            covered(DEVICES, iss),
            pairs(&[("device_id", device), ("timestamp", timestamp)]),
            "{iss}"
        );
    }
}

#[test]
fn what_only_resembles_the_template_is_not_covered() {
    for iss in [
        "",
        "mobilev2",
        "mobilev2-",
        "mobilev2-x",
        "mobilev2x-a-1",
        "mobilev2--",
        "mobilev2--1",
        "mobilev2-a-",
        "mobilev2-a-b-",
        "Mobilev2-a-1",
        "MOBILEV2-a-1",
        " mobilev2-a-1",
        "\0mobilev2-a-1",
        "xmobilev2-a-1",
        "mobile-a-1",
        "mobilev2\u{2010}a\u{2010}1",
        "mobilev2_a_1",
    ] {
        assert_eq!(covered(DEVICES, iss), None, "{iss:?}");
    }
}

#[test]
fn templates_of_other_shapes() {
    // One capture takes all that follows the selector.
    assert_eq!(covered("m-{a}", "m-b-c"), pairs(&[("a", "b-c")]));
    assert_eq!(covered("m-{a}", "m-"), None);
    // A literal at the end must be there, and doesn't overlap the selector.
    let tenant = "https://idp.example/{tenant}/v2";
    assert_eq!(covered(tenant, "https://idp.example/t/v2"), pairs(&[("tenant", "t")]));
    assert_eq!(covered(tenant, "https://idp.example/v2"), None);
    assert_eq!(covered(tenant, "https://idp.example//v2"), None);
    assert_eq!(covered(tenant, "https://idp.example/t/v2/"), None);
    assert_eq!(covered("aa{x}aa", "aaa"), None);
    assert_eq!(covered("aa{x}aa", "aaaaa"), pairs(&[("x", "a")]));
    // Earlier separators stand at their first place, the last one at its last.
    assert_eq!(
        covered("p:{a}-{b}-{c}", "p:1-2-3-4"),
        pairs(&[("a", "1"), ("b", "2-3"), ("c", "4")])
    );
    assert_eq!(covered("p:{a}-{b}-{c}", "p:1-2"), None);
    assert_eq!(covered("p:{a}-{b}-{c}", "p:-1-2-3"), None);
    assert_eq!(
        covered("p:{a}/{b}-{c}.", "p:1/2-3-4."),
        pairs(&[("a", "1"), ("b", "2-3"), ("c", "4")])
    );
    assert_eq!(covered("p{a}--{b}", "px---y"), pairs(&[("a", "x-"), ("b", "y")]));
    let template = Template::parse(DEVICES).unwrap();
    let captures = template.matches("mobilev2-a-b-1").unwrap();
    assert_eq!(
        (captures.get("device_id"), captures.get("timestamp"), captures.get("other")),
        (Some("a-b"), Some("1"), None)
    );
    assert_eq!(template.captures(), ["device_id", "timestamp"]);
}

#[test]
fn templates_that_could_mean_two_things_are_refused() {
    let long = format!("m-{{{}}}", "a".repeat(65));
    let huge = format!("{}{{a}}", "m".repeat(TEMPLATE_BYTES_MAX));
    let many: String = (0..=CAPTURES_MAX).map(|n| format!("-{{c{n}}}")).collect();
    for (text, part) in [
        ("", "captures"),
        ("plain", "captures"),
        ("{a}", "before the first"),
        ("{a}-x", "before the first"),
        ("m{a}{b}", "between the captures \"a\" and \"b\""),
        ("m-{a}-{a}", "twice"),
        ("m-{a", "closing"),
        ("m-a}", "opening"),
        ("m-}{a}", "opening"),
        ("m-{a}}", "opening"),
        ("m-{}", "name"),
        ("m-{a b}", "name"),
        ("m-{{a}}", "name"),
        ("m-{é}", "name"),
        (long.as_str(), "name"),
        (huge.as_str(), "512 bytes"),
        (many.as_str(), "captures"),
    ] {
        let mistake = Template::parse(text).expect_err(text);
        assert!(mistake.contains(part), "{text}: {mistake}");
    }
    assert!(Template::parse(&many.replace("-{c8}", "")).is_ok());
    assert!(
        Template::is_template("m-{a}")
            && Template::is_template("m-a}")
            && !Template::is_template("https://idp.example")
    );
}

#[test]
fn exact_goes_before_template_before_any() {
    let template = |text: &str| IssuerMatch::Template(Template::parse(text).unwrap());
    let issuers = [
        example(IssuerMatch::Any),
        example(template(DEVICES)),
        exact("mobilev2-a-1", &[]),
        example(template("mobilev2-{rest}")),
        exact("https://idp.example", &[]),
    ];
    let index = Index::new(&issuers);
    let choose = |iss: &str| index.choose(&issuers, Some(iss), &[]);
    assert_eq!(choose("mobilev2-a-1"), Ok(2));
    assert_eq!(choose("mobilev2-b-1"), Ok(1));
    assert_eq!(choose("mobilev2-b"), Ok(3));
    assert_eq!(choose("https://idp.example"), Ok(4));
    for other in [
        "https://idp.example/",
        "https://IDP.example",
        "HTTPS://idp.example",
        "https://idp.example ",
        "",
        "mobilev2",
    ] {
        assert_eq!(choose(other), Ok(0), "{other:?}");
    }
    // A template that matches leaves no second candidate, whatever the others say.
    assert_eq!(index.candidates(Some("mobilev2-b-1")), [1]);
    let without_any = Index::new(&issuers[1..]);
    assert_eq!(without_any.choose(&issuers[1..], Some("nobody"), &[]), Err(Reason::UnknownIssuer));
    assert_eq!(Index::new(&[]).choose(&[], Some("nobody"), &[]), Err(Reason::UnknownIssuer));
}

#[test]
fn issuers_with_one_iss_are_told_apart_by_audience() {
    let issuers = [
        exact("i", &["a", "b"]),
        exact("i", &["c"]),
        exact("j", &["a"]),
        example(IssuerMatch::Any),
    ];
    let index = Index::new(&issuers);
    let choose = |iss: &str, aud: &[&str]| {
        let aud: Vec<String> = aud.iter().map(|a| (*a).to_owned()).collect();
        index.choose(&issuers, Some(iss), &aud)
    };
    assert_eq!(index.candidates(Some("i")), [0, 1]);
    assert_eq!(choose("i", &["b"]), Ok(0));
    assert_eq!(choose("i", &["x", "c"]), Ok(1));
    assert_eq!(choose("i", &["c", "a"]), Ok(0));
    // No way from here to `*`.
    assert_eq!(choose("i", &["x"]), Err(Reason::WrongAudience));
    assert_eq!(choose("i", &[]), Err(Reason::WrongAudience));
    assert_eq!(choose("i", &["A"]), Err(Reason::WrongAudience));
    // A single candidate is chosen, and its audience checked with the other claims.
    assert_eq!(choose("j", &["x"]), Ok(2));

    let template = || IssuerMatch::Template(Template::parse(DEVICES).unwrap());
    let twins = [
        Issuer { audiences: vec!["a".into()], ..example(template()) },
        Issuer { audiences: vec!["b".into()], ..example(template()) },
    ];
    let index = Index::new(&twins);
    assert_eq!(index.choose(&twins, Some("mobilev2-d-1"), &["b".to_owned()]), Ok(1));
    assert_eq!(index.choose(&twins, Some("mobilev2-d-1"), &[]), Err(Reason::WrongAudience));
}

#[test]
fn a_token_without_iss_is_for_single_credentials_alone() {
    let keyed = [example(IssuerMatch::Any), exact("", &[])];
    assert_eq!(Index::new(&keyed).choose(&keyed, None, &[]), Err(Reason::UnknownIssuer));
    let credentials = KeySource::Credentials(Credentials {
        inline: Vec::new(),
        lookup: None,
        allow_weak_secret: false,
        encoding: crate::signature::source::SecretEncoding::Utf8,
    });
    let legacy = [exact("i", &[]), Issuer { keys: credentials, ..example(IssuerMatch::Any) }];
    assert_eq!(Index::new(&legacy).choose(&legacy, None, &[]), Ok(1));
}

/// All ways to read `iss` under a template, by brute force.
fn readings(template: &Template, iss: &str) -> Vec<Vec<String>> {
    fn rest(literals: &[String], iss: &str) -> Vec<Vec<String>> {
        let Some((literal, later)) = literals.split_first() else { unreachable!() };
        let mut found = Vec::new();
        if later.is_empty() {
            if let Some(value) =
                iss.strip_suffix(literal.as_str()).filter(|value| !value.is_empty())
            {
                found.push(vec![value.to_owned()]);
            }
            return found;
        }
        for (place, _) in iss.match_indices(literal.as_str()).chain(overlapping(iss, literal)) {
            let value = &iss[..place];
            if value.is_empty() {
                continue;
            }
            for tail in rest(later, &iss[place + literal.len()..]) {
                found.push([vec![value.to_owned()], tail].concat());
            }
        }
        found
    }
    fn overlapping<'a>(text: &'a str, literal: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
        text.char_indices()
            .map(|(place, _)| place)
            .filter(move |place| text[*place..].starts_with(literal))
            .map(move |place| (place, literal))
    }
    match iss.strip_prefix(template.literals[0].as_str()) {
        Some(tail) => rest(&template.literals[1..], tail),
        None => Vec::new(),
    }
}

#[test]
fn a_key_that_says_whose_it_is_serves_that_one() {
    let of_all = "https://login.example/{tenantid}/v2.0";
    let [one, two] = ["https://login.example/1/v2.0", "https://login.example/2/v2.0"];
    let many = IssuerMatch::Template(Template::parse("https://login.example/{t}/v2.0").unwrap());
    for (own, key_of, admitted) in [
        (&many, of_all, true),
        // Whoever holds the key of one tenant must not sign for the others.
        (&many, one, false),
        (&IssuerMatch::Any, one, false),
        (&IssuerMatch::Any, of_all, true),
        (&IssuerMatch::Exact(one.to_owned()), one, true),
        (&IssuerMatch::Exact(one.to_owned()), of_all, true),
        (&IssuerMatch::Exact(one.to_owned()), two, false),
        // v1.0 tokens are of another host than their keys.
        (&IssuerMatch::Exact("https://sts.example/1/".to_owned()), one, true),
        (&IssuerMatch::Exact("login".to_owned()), "login", true),
        (&IssuerMatch::Exact("login".to_owned()), "other", true),
    ] {
        assert_eq!(own.admits_key_of(key_of), admitted, "{own:?} {key_of}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(template in ".{0,40}", shaped in "[ab{}-]{0,20}", iss in ".{0,60}") {
        for text in [template, shaped] {
            if let Ok(template) = Template::parse(&text) {
                let _ = template.matches(&iss);
                let _ = template.matches(&text);
            }
        }
    }

    #[test]
    fn a_match_is_one_of_the_possible_readings(template in "a(-|--|b)?\\{x\\}(-|--|ab)\\{y\\}((-|b)\\{z\\})?(-|b)?", iss in "a[ab-]{0,9}") {
        let template = Template::parse(&template).expect("a template");
        let readings = readings(&template, &iss);
        match template.matches(&iss) {
            Some(captures) => {
                let values: Vec<String> = captures.iter().map(|(_, value)| value.to_owned()).collect();
                let last = values.last().expect("a capture").clone();
                prop_assert!(readings.contains(&values), "{values:?} of {readings:?}");
                let separator = &template.literals[template.literals.len() - 2];
                prop_assert!(!last.contains(separator.as_str()));
            }
            // With one separator, nothing that has a reading with a clean last capture is missed.
            None if template.captures.len() == 2 => {
                let separator = &template.literals[1];
                let clean = |reading: &&Vec<String>| !reading[1].contains(separator.as_str()) && !format!("{}{}", &separator[1..], reading[1]).contains(separator.as_str());
                prop_assert_eq!(readings.iter().find(clean), None);
            }
            None => {}
        }
    }

    #[test]
    fn every_device_is_covered(device in "[a-zA-Z0-9-]{1,40}", timestamp in "[0-9]{1,13}") {
        let iss = format!("mobilev2-{device}-{timestamp}");
        prop_assert_eq!(covered(DEVICES, &iss), pairs(&[("device_id", device.as_str()), ("timestamp", timestamp.as_str())]));
    }
}
