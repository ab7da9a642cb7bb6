use super::*;

const NOW: Time = Time::from_s(1_800_000_000);

fn key(secret: &str) -> HostKey {
    HostKey::new(&[7; 32], secret.as_bytes())
}

fn sealed(end: Time) -> String {
    let purpose = Purpose { call: &Digest([1; 32]), endpoint: &[2; 32] };
    seal(&key("a"), &purpose, [3, 4], end, b"an answer").unwrap()
}

#[test]
fn what_is_sealed_is_for_one_call_of_one_entry_until_its_end() {
    let end = NOW.plus_s(10);
    let text = sealed(end);
    let open_as = |secret: &str, call: u8, endpoint: u8, now: Time| {
        let purpose = Purpose { call: &Digest([call; 32]), endpoint: &[endpoint; 32] };
        open(&key(secret), &purpose, now, &text)
    };
    assert_eq!(open_as("a", 1, 2, NOW).as_deref(), Some(&b"an answer"[..]));
    assert_eq!(open_as("b", 1, 2, NOW), None, "another deployment's");
    assert_eq!(open_as("a", 9, 2, NOW), None, "another call's");
    assert_eq!(open_as("a", 1, 9, NOW), None, "another entry's");
    assert_eq!(open_as("a", 1, 2, end), None, "an old one");
    assert!(!text.contains("answer"));
}

#[test]
fn no_bit_of_it_can_be_changed_and_nothing_cut() {
    let text = sealed(NOW.plus_s(10));
    let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
    let purpose = Purpose { call: &Digest([1; 32]), endpoint: &[2; 32] };
    let opens =
        |bytes: &[u8]| open(&key("a"), &purpose, NOW, &URL_SAFE_NO_PAD.encode(bytes)).is_some();
    assert!(opens(&bytes));
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(!opens(&changed) && !opens(&bytes[..at]), "{at}");
    }
    for odd in ["", "=", "a b", "AQ"] {
        assert_eq!(open(&key("a"), &purpose, NOW, odd), None);
    }
}

#[test]
fn what_is_too_long_is_not_sealed() {
    let purpose = Purpose { call: &Digest([1; 32]), endpoint: &[2; 32] };
    let of = |bytes: usize| seal(&key("a"), &purpose, [3, 4], NOW, &vec![0; bytes]);
    assert!(of(BYTES_MAX).is_some() && of(BYTES_MAX + 1).is_none());
}

#[test]
fn scripts_are_known_by_their_digests() {
    use crate::revocation::told::tests::{hexadecimal_of, sha1};
    for script in [&ASK, &TELL] {
        assert_eq!(script.sha1, hexadecimal_of(&sha1(script.text.as_bytes())));
    }
}

#[test]
fn only_what_the_script_returns_is_a_reply() {
    let mut known = Known::default();
    let mut said =
        |status, text: &str, asked| heard(&mut known, false, status, text.as_bytes(), asked);
    let all = [Reply::Lead, Reply::Held, Reply::Sealed(1, "x".to_owned())];
    assert_eq!(said(200, r#"{"EVALSHA":["l","h","1x"]}"#, 3), Heard::Replies(all.to_vec()));
    assert_eq!(said(403, "", 1), Heard::TextNeeded);
    for text in [
        r#"{"EVALSHA":["l","l"]}"#,
        r#"{"EVALSHA":[]}"#,
        r#"{"EVALSHA":["lead"]}"#,
        r#"{"EVALSHA":["2x"]}"#,
        r#"{"EVALSHA":["äx"]}"#,
        r#"{"EVALSHA":[""]}"#,
        r#"{"EVALSHA":[1]}"#,
        r#"{"EVALSHA":[["l"]]}"#,
        r#"{"GET":["l"]}"#,
        "",
    ] {
        assert_eq!(said(200, text, 1), Heard::Nothing, "{text}");
    }
    assert_eq!(said(504, r#"{"EVALSHA":["l"]}"#, 1), Heard::Nothing);
    let long = format!(r#"{{"EVALSHA":["0{}"]}}"#, "x".repeat(ANSWER_BYTES_MAX));
    assert_eq!(said(200, &long, 1), Heard::Nothing);
}

/// The script's own bounds are those of the code.
#[test]
fn what_the_script_gives_has_room_in_an_answer() {
    let purpose = Purpose { call: &Digest([1; 32]), endpoint: &[2; 32] };
    let longest = seal(&key("a"), &purpose, [3, 4], NOW, &[0; BYTES_MAX]).unwrap().len();
    assert!(ASK.text.contains(&format!("#a[1] <= {longest} ")), "{longest}");
    let room: usize = ASK.text.split(['=', '\n']).nth(1).unwrap().trim().parse().unwrap();
    assert!(room >= longest && room + 64 * 8 < ANSWER_BYTES_MAX, "{room}");
}

#[test]
fn each_question_has_its_names_under_each_secret() {
    let names = |n: u8, credential| Names { call: Digest([n; 32]), credential };
    let (one, two) = ([names(1, None), names(2, None)], [names(3, Some(Digest([4; 32]))); 2]);
    let body = |key: &HostKey| {
        let questions = [(7, &one), (8, &two)];
        let questions =
            questions.into_iter().map(|(owner, names)| Question { owner, lease_ms: 5, names });
        String::from_utf8(ask(key, false, questions)).unwrap()
    };
    let count = |body: &str| body.split('/').count();
    // The command, the script, the number of keys; then the keys, and each question's words.
    assert_eq!(count(&body(&key("a"))), 3 + 1 + 2 * 4);
    let both = body(&key("a").after(Some(key("b"))));
    assert_eq!(count(&both), 3 + 2 + 2 * 6);
    assert!(both.contains(&text(&Digest([2; 32]))) && both.contains("/8/5/"));
}

#[test]
fn what_waits_to_be_told_has_a_bound_and_keeps_its_order() {
    let mut outbox = Outbox::default();
    let of = |n: u64| Tell::Ended(Digest([0; 32]), n, Left::AsItWas);
    assert!((1..=WAITING_OTHERS_MAX as u64).all(|n| outbox.note(of(n))) && !outbox.note(of(0)));
    let batch = outbox.take(NOW).unwrap();
    assert_eq!((batch.len(), &batch[0]), (BATCH_MAX, &of(1)));
    assert_eq!(outbox.take(NOW), None, "one call at a time");
    assert!(outbox.came(batch, false, NOW, 100));
    assert!(!outbox.has_news(NOW.plus_ms(199)) && outbox.has_news(NOW.plus_ms(200)));
    let again = outbox.take(NOW.plus_ms(200)).unwrap();
    assert_eq!(again[0], of(1));
    assert!(outbox.came(again, true, NOW, 100));
    assert_eq!(outbox.take(NOW).unwrap()[0], of(1 + BATCH_MAX as u64));
}

/// While Redis is away much waits, and who can cause it may be anyone.
#[test]
fn a_withdrawal_has_room_where_answers_have_none() {
    let name = Digest([1; 32]);
    let text = sealed(NOW.plus_s(10)).repeat(400);
    let answer = Sealed { text, asked_at: NOW, end: NOW, token: None, credential: None };
    let answer = Tell::Ended(name, 1, Left::Sealed(Box::new(answer)));
    let withdrawals = [
        Tell::WithdrawToken(name),
        Tell::WithdrawSecret(name),
        Tell::Ended(name, 0, Left::Nothing),
    ];
    for many in [answer, Tell::Ended(name, 1, Left::AsItWas)] {
        let mut outbox = Outbox::default();
        let before = (0..WAITING_MAX).take_while(|_| outbox.note(many.clone())).count();
        assert!(before > 10 && withdrawals.iter().all(|one| outbox.note(one.clone())));
        assert!(!outbox.note(many));
        // They have a bound too, and what wasn't taken comes back all the same.
        let batch = outbox.take(NOW).unwrap();
        assert!(outbox.came(batch, false, NOW, 100));
        let more = (0..WAITING_MAX).take_while(|_| outbox.note(Tell::WithdrawToken(name))).count();
        assert_eq!(before + withdrawals.len() + more, WAITING_MAX);
    }
}
