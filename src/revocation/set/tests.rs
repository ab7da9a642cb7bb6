//! The sets of the specifications, and whose tokens they take back.

use super::*;
use crate::jwt::json;
use crate::revocation::floors::{Floors, Told};

const NOW: Time = Time::from_s(1_700_000_000);

fn key() -> HostKey {
    HostKey::new(&[5; 32], b"")
}

fn claims(text: &str) -> Claims {
    Claims::from_map(json::object(text.as_bytes()).unwrap()).unwrap()
}

/// Whether a token with these claims is refused after a set.
fn takes_back(set: &str, token: &str) -> bool {
    let set = claims(set);
    let iss = set.iss.clone().unwrap();
    let floors = Floors::new(floors(&key(), &set, &iss, NOW).unwrap());
    let token = claims(token);
    let id = token.iss.as_deref().zip(token.jti.as_deref());
    let id = id.map(|(iss, jti)| short(&of_id(&key(), iss, jti)));
    floors.cover(&Told::of(&key(), &token)) || id.is_some_and(|id| floors.get(&id).is_some())
}

/// RFC 8417, figure 1.
const SCIM: &str = r#"{"iss": "https://scim.example.com", "iat": 1458496404,
    "jti": "4d3559ec67504aaba65d40b0363faad8",
    "aud": ["https://scim.example.com/Feeds/98d52461fa5bbc879593b7754",
            "https://scim.example.com/Feeds/5d7604516b1d08641d7676ee7"],
    "events": {"urn:ietf:params:scim:event:create": {
        "ref": "https://scim.example.com/Users/44f6142df96bd6ab61e7521d9",
        "attributes": ["id", "name", "userName", "password", "emails"]}}}"#;
/// RFC 8417, section 2.1.4: the one of RISC, with the subject of its draft.
const RISC: &str = r#"{"iss": "https://idp.example.com/", "iat": 1508184845,
    "jti": "756E69717565206964656E746966696572", "aud": "636C69656E745F6964",
    "events": {"https://schemas.openid.net/secevent/risc/event-type/account-disabled": {
        "subject": {"subject_type": "iss-sub", "iss": "https://idp.example.com/",
                    "sub": "7375626A656374"},
        "reason": "hijacking"}}}"#;
/// CAEP 1.0, session-revoked with a complex subject.
const CAEP: &str = r#"{"iss": "https://idp.example.com/123456789/",
    "jti": "24c63fb56e5a2d77a6b512616ca9fa24", "iat": 1615305159,
    "aud": "https://sp.example.com/caep", "txn": 8675309,
    "sub_id": {"format": "complex",
        "session": {"format": "opaque", "id": "dMTlD|1600802906337.16|16008.16"},
        "user": {"format": "iss_sub", "iss": "https://idp.example.com/123456789/",
                 "sub": "99beb27c-c1c2-4955-882a-e0dc4996fcbc"},
        "tenant": {"format": "opaque", "id": "123456789"}},
    "events": {"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {
        "initiating_entity": "policy", "event_timestamp": 1615304991}}}"#;

fn ending(subject: &str, event: &str) -> String {
    format!(
        r#"{{"iss":"i","iat":1600000500,"jti":"1",{subject}"events":{{"https://schemas.openid.net/secevent/caep/event-type/credential-change":{event}}}}}"#
    )
}

#[test]
fn sets_of_the_specifications_are_read() {
    let is_ours = |text: &str, iss: &str, aud: &str| {
        is_of_stream(Some("secevent+jwt"), &claims(text), iss, Some(aud), NOW, 30)
    };
    let feeds = "https://scim.example.com/Feeds/5d7604516b1d08641d7676ee7";
    assert_eq!(is_ours(SCIM, "https://scim.example.com", feeds), Ok(()));
    assert!(floors(&key(), &claims(SCIM), "https://scim.example.com", NOW).unwrap().is_empty());
    assert_eq!(is_ours(RISC, "https://idp.example.com/", "636C69656E745F6964"), Ok(()));
    let user = r#"{"iss":"https://idp.example.com/","sub":"7375626A656374","iat":"#;
    assert!(takes_back(RISC, &format!("{user}1508184845}}")));
    assert!(!takes_back(RISC, &format!("{user}1508184846}}")));
    assert_eq!(
        is_ours(CAEP, "https://idp.example.com/123456789/", "https://sp.example.com/caep"),
        Ok(())
    );
    let of = |more: &str| {
        format!(r#"{{"iss":"https://idp.example.com/123456789/","iat":1615304991,{more}}}"#)
    };
    let sub = r#""sub":"99beb27c-c1c2-4955-882a-e0dc4996fcbc""#;
    assert!(takes_back(CAEP, &of(r#""sid":"dMTlD|1600802906337.16|16008.16""#)));
    assert!(takes_back(CAEP, &of(sub)), "it doesn't say of which session it is");
    assert!(!takes_back(CAEP, &of(&format!(r#"{sub},"sid":"another""#))));
    assert!(!takes_back(CAEP, &of(r#""sub":"123456789""#)));
}

#[test]
fn what_is_no_set_of_the_stream_is_none() {
    let judge = |typ: Option<&str>, text: &str| {
        is_of_stream(typ, &claims(text), "i", Some("here"), NOW, 30)
    };
    let good = r#"{"iss":"i","iat":1,"jti":"1","aud":["there","here"],"events":{"a:b":{}}}"#;
    for typ in ["secevent+jwt", "application/secevent+jwt", "SecEvent+JWT"] {
        assert_eq!(judge(Some(typ), good), Ok(()), "{typ}");
    }
    for typ in [None, Some("JWT"), Some("at+jwt"), Some("logout+jwt"), Some("text/secevent+jwt")] {
        assert_eq!(judge(typ, good), Err(SetError::WrongType), "{typ:?}");
    }
    for (text, error) in [
        (r#"{"iss":"i","iat":1,"jti":"1","aud":"here"}"#, SetError::NotASet),
        (r#"{"iss":"i","iat":1,"jti":"1","aud":"here","events":{}}"#, SetError::NotASet),
        (r#"{"iss":"i","iat":1,"jti":"1","aud":"here","events":["a:b"]}"#, SetError::NotASet),
        (r#"{"iss":"i","iat":1,"aud":"here","events":{"a:b":{}}}"#, SetError::NotASet),
        (r#"{"iss":"i","jti":"1","aud":"here","events":{"a:b":{}}}"#, SetError::NotASet),
        (r#"{"iat":1,"jti":"1","aud":"here","events":{"a:b":{}}}"#, SetError::WrongIssuer),
        (
            r#"{"iss":"j","iat":1,"jti":"1","aud":"here","events":{"a:b":{}}}"#,
            SetError::WrongIssuer,
        ),
        (r#"{"iss":"i","iat":1,"jti":"1","aud":"x","events":{"a:b":{}}}"#, SetError::WrongAudience),
        (r#"{"iss":"i","iat":1,"jti":"1","events":{"a:b":{}}}"#, SetError::WrongAudience),
        (
            r#"{"iss":"i","iat":1,"jti":"1","aud":"here","exp":1699999970,"events":{"a:b":{}}}"#,
            SetError::Expired,
        ),
    ] {
        assert_eq!(judge(Some("secevent+jwt"), text), Err(error), "{text}");
    }
}

#[test]
fn subjects_by_which_tokens_can_be_known() {
    let alice = r#"{"iss":"i","sub":"alice","iat":1600000500}"#;
    for subject in [
        r#""sub_id":{"format":"iss_sub","iss":"i","sub":"alice"},"#,
        r#""sub_id":{"format":"opaque","id":"alice"},"#,
        r#""sub_id":{"format":"complex","user":{"format":"iss_sub","iss":"i","sub":"alice"}},"#,
        r#""sub_id":{"user":{"format":"opaque","id":"alice"},"device":{"format":"opaque","id":"d"}},"#,
        r#""sub_id":{"format":"aliases","identifiers":[{"format":"email","email":"a@b"},{"format":"iss_sub","iss":"i","sub":"alice"}]},"#,
        r#""sub":"alice","#,
        // A session that can't be known is any of the user's.
        r#""sub_id":{"format":"complex","session":{"format":"uri","uri":"a:b"},"user":{"format":"opaque","id":"alice"}},"#,
    ] {
        let set = ending(subject, "{}");
        assert!(takes_back(&set, alice), "{subject}");
        assert!(!takes_back(&set, &alice.replace("alice", "bob")), "{subject}");
        assert!(!takes_back(&set, &alice.replace("\"i\"", "\"j\"")), "{subject}");
        assert!(!takes_back(&set, &alice.replace("500}", "501}")), "{subject}");
    }
    let named = ending(r#""sub_id":{"format":"jwt_id","iss":"i","jti":"j1"},"#, "{}");
    assert!(takes_back(&named, r#"{"iss":"i","jti":"j1","iat":1699999999}"#));
    assert!(!takes_back(&named, r#"{"iss":"i","jti":"j2","iat":1}"#));
    let session = ending(r#""sub_id":{"session":{"format":"opaque","id":"s1"}},"#, "{}");
    assert!(takes_back(&session, r#"{"iss":"i","sid":"s1","iat":1}"#));
    assert!(!takes_back(&session, r#"{"iss":"i","sub":"s1","iat":1}"#));
    let unknown = [
        r#""sub_id":{"format":"email","email":"a@b"},"#,
        r#""sub_id":{"format":"iss_sub","iss":"j","sub":"alice"},"#,
        r#""sub_id":{"format":"iss_sub","sub":"alice"},"#,
        r#""sub_id":{"format":"jwt_id","iss":"j","jti":"j1"},"#,
        r#""sub_id":{"format":"complex","tenant":{"format":"opaque","id":"t"}},"#,
        r#""sub_id":{"format":"aliases","identifiers":[{"format":"email","email":"a@b"}]},"#,
        r#""sub_id":"alice","#,
        r#""sub_id":null,"sub":"alice","#,
        "",
    ];
    for subject in unknown {
        let set = claims(&ending(subject, "{}"));
        let found = floors(&key(), &set, "i", NOW);
        assert_eq!(found, Err(SetError::UnknownSubject), "{subject}");
    }
}

#[test]
fn no_event_is_later_than_now() {
    let before = |event: &str| {
        let set = claims(&ending(r#""sub":"alice","#, event));
        floors(&key(), &set, "i", NOW).unwrap().first().unwrap().1
    };
    assert_eq!(before("{}"), 1_600_000_501);
    assert_eq!(before(r#"{"event_timestamp":1600000400}"#), 1_600_000_401);
    for odd in ["1800000000", "1600000400000", "null", "\"now\"", "-1"] {
        assert_eq!(before(&format!(r#"{{"event_timestamp":{odd}}}"#)), NOW.s() + 1, "{odd}");
    }
}

/// RFC 8936, sections 2.4 and 2.5.
#[test]
fn the_messages_of_polling() {
    let none = || std::iter::empty::<&str>();
    let sent = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    assert_eq!(
        sent(request(none(), none().map(|id| (id, SetError::NotASet)))),
        json!({"maxEvents": SETS_MAX, "returnImmediately": true})
    );
    let refused = [("4d3559ec67504aaba65d40b0363faad8", SetError::BadSignature)];
    assert_eq!(
        sent(request(["3d0c3cf797584bd193bd0fb1bd4e7d30"].into_iter(), refused.into_iter())),
        json!({"maxEvents": SETS_MAX, "returnImmediately": true,
            "ack": ["3d0c3cf797584bd193bd0fb1bd4e7d30"],
            "setErrs": {"4d3559ec67504aaba65d40b0363faad8": {"err": "authentication_failed",
                "description": "no key of the issuer verifies its signature"}}})
    );
    let answer = br#"{"sets":{"4d3559ec67504aaba65d40b0363faad8":"eyJhbGciOiJub25lIn0.e30."},
        "moreAvailable":true,"more":[1]}"#;
    let poll = Poll::parse(answer).unwrap();
    assert!(poll.has_more && poll.sets.len() == 1);
    assert!(poll.sets[0].1.starts_with("eyJhbGciOiJub25lIn0."));
    let poll = Poll::parse(br#"{"sets":{}}"#).unwrap();
    assert!(poll.sets.is_empty() && !poll.has_more);
    let bad = [
        "",
        "{}",
        "[]",
        r#"{"sets":[]}"#,
        r#"{"sets":{"a":1}}"#,
        r#"{"sets":{},"sets":{}}"#,
        r#"{"sets":{},"moreAvailable":"no"}"#,
        r#"{"sets":{"a":"b"}"#,
    ];
    for text in bad {
        assert_eq!(Poll::parse(text.as_bytes()).err(), Some(FeedError::NotAPoll), "{text}");
    }
}

#[test]
fn of_many_sets_the_first_are_read() {
    let sets: Vec<_> = (0..10_000).map(|n| format!(r#""{n}":"a.b.c""#)).collect();
    let body = format!(r#"{{"sets":{{{}}}}}"#, sets.join(","));
    let poll = Poll::parse(body.as_bytes()).unwrap();
    assert_eq!((poll.sets.len(), poll.has_more), (SETS_MAX, true));
    let long = format!(r#"{{"sets":{{}},"x":"{}"}}"#, "x".repeat(BYTES_MAX));
    assert_eq!(Poll::parse(long.as_bytes()).err(), Some(FeedError::TooLong));
}
