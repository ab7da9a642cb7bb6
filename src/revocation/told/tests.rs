use super::*;
use crate::digest::sha256;

const NOW: Time = Time::from_s(1_800_000_000);
const ERA: &str = "01010101010101010101010101010101";

fn key(secret: &[u8]) -> HostKey {
    HostKey::new(&sha256(b"gateways"), secret)
}

fn entry(n: u8, standing: Standing) -> Entry {
    Entry::new(Digest([n; 32]), NOW.plus_s(60), standing)
}

fn answer(parts: &[Value]) -> Vec<u8> {
    serde_json::json!({ "EVALSHA": parts }).to_string().into_bytes()
}

fn read(cursor: Cursor, parts: &[Value]) -> Option<Heard> {
    parse(&key(b"secret"), 200, &answer(parts), cursor, READ_MAX).1
}

fn at(last: u64) -> Cursor {
    Cursor { era: [1; 16], last }
}

fn head(last: u64) -> Vec<Value> {
    vec![ERA.into(), last.to_string().into(), "0".into(), "0".into()]
}

fn with(last: u64, entries: &[(String, u64)]) -> Vec<Value> {
    let mut parts = head(last);
    for (text, at) in entries {
        parts.extend([text.clone().into(), at.to_string().into()]);
    }
    parts
}

#[test]
fn an_entry_is_what_was_told_under_the_same_secret_alone() {
    for one in [entry(1, Standing::Verified), entry(2, Standing::MadeUp(77))] {
        let sealed = one.seal(&key(b"secret"));
        assert_eq!(Entry::open(&key(b"secret"), &sealed), Some(one));
        assert_eq!(Entry::open(&key(b"another"), &sealed), None);
        // No bit of it can be changed, nor can it be cut.
        for place in 0..sealed.len() {
            let mut other = sealed.clone().into_bytes();
            other[place] = if other[place] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).unwrap();
            assert!(other == sealed || Entry::open(&key(b"secret"), &other).is_none(), "{place}");
            assert_eq!(Entry::open(&key(b"secret"), &sealed[..place]), None);
        }
        for word in ["", "AAAA", "no entry"] {
            assert_eq!(Entry::open(&key(b"secret"), word), None);
        }
    }
}

#[test]
fn an_entry_never_ends_before_its_token() {
    let until = Time::from_ns(NOW.ns() + 1);
    assert!(Entry::new(Digest([1; 32]), until, Standing::Verified).until() >= until);
    assert_eq!(Entry::new(Digest([1; 32]), NOW, Standing::Verified).until(), NOW);
}

#[test]
fn what_is_no_entry_is_passed_over_and_counted() {
    let good = entry(1, Standing::Verified);
    let sealed = |secret: &[u8]| good.seal(&key(secret));
    let parts =
        with(9, &[(sealed(b"another"), 4), (sealed(b"secret"), 6), ("forged".to_owned(), 9)]);
    let heard = read(at(3), &parts).unwrap();
    assert_eq!((heard.entries, heard.forged, heard.read_to), (vec![good], 2, 9));
}

#[test]
fn an_answer_is_taken_whole_or_not_at_all() {
    let text = entry(1, Standing::Verified).seal(&key(b"secret"));
    let good = with(5, &[(text.clone(), 4), (text.clone(), 5)]);
    assert_eq!(read(at(3), &good).map(|heard| heard.entries.len()), Some(2));
    for place in 0..good.len() {
        // A part less, a part of another kind.
        assert_eq!(read(at(3), &good[..place]).filter(|_| place < 4 || place % 2 == 1), None);
        let mut other = good.clone();
        other[place] = Value::Null;
        assert_eq!(read(at(3), &other), None, "{place}");
    }
    // Not in order, before the cursor, after the newest.
    for numbers in [[5, 4], [4, 4], [3, 4], [4, 6]] {
        let entries = numbers.map(|number| (text.clone(), number));
        assert_eq!(read(at(3), &with(5, &entries)), None, "{numbers:?}");
    }
    for era in ["", "00000000000000000000000000000000", "0101", "zz010101010101010101010101010101"]
    {
        let mut parts = head(5);
        parts[0] = era.into();
        assert_eq!(read(at(3), &parts), None, "{era}");
    }
}

#[test]
fn a_cursor_of_another_era_means_nothing() {
    let text = entry(1, Standing::Verified).seal(&key(b"secret"));
    let parts = with(2, &[(text.clone(), 1), (text, 2)]);
    let before = Cursor { era: [9; 16], last: 900 };
    let heard = read(before, &parts).unwrap();
    assert_eq!((heard.newest, heard.read_to, heard.entries.len()), (at(2), 2, 2));
    // Redis came back with less than it had: what is new there is read from its number on.
    assert_eq!(read(at(7), &head(4)).map(|heard| heard.read_to), Some(4));
}

#[test]
fn a_full_answer_is_not_all() {
    let text = entry(1, Standing::Verified).seal(&key(b"secret"));
    let entries: Vec<_> = (1..=READ_MAX as u64).map(|n| (text.clone(), n)).collect();
    let parts = with(5_000, &entries);
    let heard = read(at(0), &parts).unwrap();
    assert_eq!((heard.is_all(), heard.read_to), (false, READ_MAX as u64));
    assert!(answer(&parts).len() < ANSWER_BYTES_MAX);
    assert!(read(at(4_999), &head(5_000)).unwrap().is_all());
}

#[test]
fn nothing_of_a_token_and_no_secret_is_in_a_call() {
    let entries = [entry(1, Standing::Verified), entry(2, Standing::MadeUp(5))];
    let note = Note { name: "a-name".into(), text: "a-text".into() };
    let batch = Batch { entries: entries.to_vec(), notes: vec![note] };
    let read = Read { cursor: at(7), known: 8, max: 10 };
    let body = body(&key(b"a-secret"), false, [2; 16], read, &batch);
    let text = String::from_utf8(body).unwrap();
    let segments: Vec<&str> = text.split('/').collect();
    assert_eq!((segments[0], segments[1], segments[2]), ("EVALSHA", SCRIPT.sha1, "4"));
    assert_eq!(segments[7..13], ["02".repeat(16).as_str(), ERA, "7", "10", "8", "1"]);
    assert_eq!(segments[13..15], ["a-name", "a-text"]);
    assert_eq!(segments[16..18], ["1800000060", "65536"]);
    assert_eq!(segments[19..21], ["1800000060", "16384"]);
    assert!(!text.contains("a-secret"));
    // One slot of a cluster: the part in braces is one.
    assert!(segments[3..7].iter().all(|name| name.starts_with("herdgate:{gateways}:")));
}

/// With the host's headers it has to be below 4,096 bytes: see [`crate::redis::encode`].
#[test]
fn a_call_with_the_scripts_text_is_short() {
    let batch = Batch { entries: vec![entry(1, Standing::Verified); 2], notes: Vec::new() };
    let read = Read { cursor: at(u64::MAX), known: u64::MAX, max: READ_MAX };
    let body = body(&key(b"secret"), true, [2; 16], read, &batch);
    assert!(body.len() < 3_500, "{}", body.len());
}

#[test]
fn the_script_is_known_by_its_sha1() {
    assert_eq!(hexadecimal_of(&sha1(SCRIPT.text.as_bytes())), SCRIPT.sha1);
}

#[test]
fn what_was_not_taken_is_told_again_in_its_order() {
    let mut outbox = Outbox::default();
    let entries: Vec<Entry> = (0..4).map(|n| entry(n, Standing::Verified)).collect();
    assert!(entries[..3].iter().all(|one| outbox.note(*one)) && outbox.has_news(NOW));
    let told = outbox.take(NOW).unwrap();
    assert_eq!(told.entries, entries[..3]);
    assert!(outbox.note(entries[3]) && outbox.take(NOW).is_none(), "one call at a time");
    outbox.came(&told, false, NOW, 100);
    assert_eq!(outbox.take(NOW.plus_ms(199)), None, "a pause");
    let again = outbox.take(NOW.plus_ms(200)).unwrap();
    assert_eq!(again.entries, entries);
    outbox.came(&again, true, NOW, 100);
    assert!(!outbox.has_news(NOW) && outbox.take(NOW).is_none());
    // What has ended isn't told.
    outbox.note(entries[0]);
    assert_eq!(outbox.take(NOW.plus_s(60)), None);
}

#[test]
fn an_outbox_is_bounded_and_made_up_names_leave_room() {
    let mut outbox = Outbox::default();
    let noted = |outbox: &mut Outbox, standing| {
        (0..10_000).filter(|_| outbox.note(entry(1, standing))).count()
    };
    assert_eq!(noted(&mut outbox, Standing::MadeUp(1)), WAITING_MADE_UP_MAX);
    assert_eq!(noted(&mut outbox, Standing::Verified), WAITING_MAX - WAITING_MADE_UP_MAX);
    let told = outbox.take(NOW).unwrap();
    assert_eq!(told.entries.len(), BATCH_MAX);
    noted(&mut outbox, Standing::Verified);
    outbox.came(&told, false, NOW, 100);
    assert_eq!(outbox.entries.len(), WAITING_MAX);
}

#[test]
fn of_notes_the_last_counts_and_none_is_told_late() {
    let mut outbox = Outbox::default();
    let note = |name: &str, text: &str| Note { name: name.into(), text: text.into() };
    assert!(outbox.leave(note("a", "old")) && outbox.leave(note("b", "b")));
    assert!(outbox.leave(note("a", "new")) && outbox.has_news(NOW));
    let told = outbox.take(NOW).unwrap();
    assert_eq!(told.notes, [note("b", "b"), note("a", "new")]);
    // Redis asks for the script's text: they go again, but for what is newer.
    assert!(outbox.leave(note("b", "newer")));
    outbox.again(&told);
    let told = outbox.take(NOW).unwrap();
    assert_eq!(told.notes, [note("a", "new"), note("b", "newer")]);
    outbox.came(&told, false, NOW, 100);
    assert!(!outbox.has_news(NOW.plus_s(1)));
    let noted = (0..1_000).filter(|n| outbox.leave(note(&n.to_string(), ""))).count();
    assert_eq!(noted, NOTES_MAX);
}

#[test]
fn notes_are_texts_and_no_more_than_there_may_be() {
    let entry = entry(1, Standing::Verified);
    let with_notes = |count: Value, notes: &[&str]| {
        let mut parts = head(5);
        parts[3] = count;
        parts.extend(notes.iter().map(|note| (*note).into()));
        parts.extend([entry.seal(&key(b"secret")).into(), "5".into()]);
        read(at(4), &parts)
    };
    let heard = with_notes("2".into(), &["a", ""]).unwrap();
    assert_eq!((heard.notes, heard.entries), (vec!["a".to_owned(), String::new()], vec![entry]));
    for count in ["1", "5", "-1", "", "x"].map(Value::from).into_iter().chain([Value::Null]) {
        assert_eq!(with_notes(count.clone(), &["a", ""]), None, "{count}");
    }
    let many = vec!["a"; NOTES_MAX + 1];
    assert!(with_notes(NOTES_MAX.into(), &many[1..]).is_some());
    assert_eq!(with_notes((NOTES_MAX + 1).into(), &many), None);
}

pub(crate) fn hexadecimal_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// FIPS 180-4, section 6.1.
pub(crate) fn sha1(message: &[u8]) -> [u8; 20] {
    let mut state = [0x6745_2301u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64), 0);
    if (message.len() % 64) > 55 {
        padded.resize(padded.len() + 64, 0);
    }
    let end = padded.len() - 8;
    padded[end..].copy_from_slice(&(message.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks(64) {
        let mut words = [0u32; 80];
        for (word, bytes) in words.iter_mut().zip(block.chunks(4)) {
            *word = u32::from_be_bytes(bytes.try_into().unwrap());
        }
        for n in 16..80 {
            words[n] = (words[n - 3] ^ words[n - 8] ^ words[n - 14] ^ words[n - 16]).rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (n, word) in words.into_iter().enumerate() {
            let (f, k) = match n / 20 {
                0 => ((b & c) | (!b & d), 0x5a82_7999u32),
                1 => (b ^ c ^ d, 0x6ed9_eba1),
                2 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6),
            };
            let next = a.rotate_left(5).wrapping_add(f).wrapping_add(e);
            let next = next.wrapping_add(k).wrapping_add(word);
            (a, b, c, d, e) = (next, a, b.rotate_left(30), c, d);
        }
        for (sum, part) in state.iter_mut().zip([a, b, c, d, e]) {
            *sum = sum.wrapping_add(part);
        }
    }
    let mut digest = [0; 20];
    digest.chunks_mut(4).zip(state).for_each(|(to, word)| to.copy_from_slice(&word.to_be_bytes()));
    digest
}
