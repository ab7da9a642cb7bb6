use super::*;

const SCRIPT: Script =
    Script { text: "return { 'a', 1.5 }", sha1: "99ceb7e6a1ec0e2e4a5dd3bfa1fb1d8ff1a8e3a1" };

#[test]
fn a_script_is_called_as_webdis_reads_it() {
    let keys = ["herdgate:x".to_owned()];
    let by_text = call(&SCRIPT, true, &keys, ["1".to_owned(), "a/b".to_owned()]);
    let text = String::from_utf8(by_text).unwrap();
    assert_eq!(text, "EVAL/return { 'a', 1%2E5 }/1/herdgate:x/1/a%2Fb");
    let by_sha1 = String::from_utf8(call(&SCRIPT, false, &keys, [])).unwrap();
    assert_eq!(by_sha1, format!("EVALSHA/{}/1/herdgate:x", SCRIPT.sha1));
}

#[test]
fn only_what_a_script_returned_is_taken() {
    let read = |status, text: &str| read(status, text.as_bytes(), 100);
    assert_eq!(read(200, r#"{"EVALSHA":["a",1]}"#), Said::Values(vec!["a".into(), 1.into()]));
    let no_script = r#"{"EVALSHA":[false,"NOSCRIPT No matching script."]}"#;
    assert_eq!(read(200, no_script), Said::TextNeeded);
    assert_eq!(read(403, ""), Said::TextNeeded);
    for (status, text) in [
        (200, r#"{"EVAL":[false,"ERR no"]}"#),
        (200, r#"{"EVAL":null}"#),
        (200, r#"{"GET":["a"]}"#),
        (200, r#"{"EVAL":["a"],"x":1}"#),
        (200, r#"["a"]"#),
        (503, r#"{"EVAL":["a"]}"#),
        (0, ""),
    ] {
        assert_eq!(read(status, text), Said::Nothing, "{text}");
    }
    assert_eq!(read(200, &format!(r#"{{"EVAL":["{}"]}}"#, "a".repeat(100))), Said::Nothing);
}

#[test]
fn the_text_goes_along_until_redis_knows_it() {
    let mut known = Known::default();
    assert!(known.by_text());
    known.learn(true, &Said::Nothing, 0);
    assert!(known.by_text());
    known.learn(true, &Said::Values(vec![]), 200);
    assert!(!known.by_text());
    // Redis has begun anew.
    known.learn(false, &Said::TextNeeded, 200);
    assert!(known.by_text());
    known.learn(true, &Said::Values(vec![]), 200);
    assert!(!known.by_text());
    // A Webdis that takes EVAL alone.
    known.learn(false, &Said::TextNeeded, 403);
    known.learn(true, &Said::Values(vec![]), 200);
    assert!(known.by_text());
}

#[test]
fn pauses_grow_to_a_second_and_end_with_the_first_answer() {
    let now = Time::from_s(1_800_000_000);
    let mut pause = Pause::default();
    assert!(!pause.lasts(now));
    pause.fail(now, 100);
    assert!(pause.lasts(now.plus_ms(199)) && !pause.lasts(now.plus_ms(200)));
    (0..40).for_each(|_| pause.fail(now, 100));
    assert!(pause.lasts(now.plus_ms(999)) && !pause.lasts(now.plus_ms(1_000)));
    assert!(!pause.lasts(Time::from_s(1)), "the clock went back");
    pause.end();
    assert!(!pause.lasts(now));
}
