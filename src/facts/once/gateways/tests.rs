//! The script's name and what is read of its answers.

use serde_json::json;

use super::*;
use crate::revocation::told::tests::{hexadecimal_of, sha1};

#[test]
fn the_script_is_known_by_its_sha1() {
    assert_eq!(hexadecimal_of(&sha1(SCRIPT.text.as_bytes())), SCRIPT.sha1);
}

#[test]
fn only_what_the_script_returns_is_heard() {
    let read = |answer: Value| heard(answer.as_array().unwrap());
    let since = Time::from_ns(1_800_000_000_000_001_000);
    for (text, verdict) in [
        ("first", Verdict::First),
        ("seen", Verdict::Seen),
        ("old", Verdict::Old),
        ("full", Verdict::Full),
    ] {
        let answer = json!([text, "1", "1800000000000000"]);
        assert_eq!(read(answer), Some(Heard { verdict, which: 1, since }));
    }
    for other in [
        json!([]),
        json!(["first"]),
        json!(["first", "0"]),
        json!(["first", "0", "x"]),
        json!(["first", "-1", "0"]),
        json!(["first", 0, "0"]),
        json!(["First", "0", "0"]),
        json!([true, "0", "0"]),
        json!(["first", "0", "99999999999999999999"]),
        json!(["first", "0", "18446744073709551615"]),
        json!(["first", "0", "0", "0"]),
    ] {
        assert_eq!(read(other.clone()), None, "{other}");
    }
}
