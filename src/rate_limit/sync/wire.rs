//! The call: one script for all, its arguments, and what it answers.
//!
//! Webdis takes `EVAL/script/number of keys/keys/arguments` as the body of a POST, each segment
//! percent-encoded, and answers `{"EVAL": [...]}`; a mistake of the script is `{"EVAL": [false,
//! "ERR ..."]}`, and 503 says that Redis is away.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::ledger::Sent;
use crate::digest::Digest;
use crate::redis::{PREFIX, encode};
use crate::time::{NS_PER_S, Time};

/// Counters in one call at most.
pub const BATCH_MAX: usize = 256;
/// Gateways that an answer may speak of.
pub const GATEWAYS_MAX: u64 = 1_000;
/// Bytes of an answer at most.
pub const ANSWER_BYTES_MAX: usize = 16_384;

/// What the script does, all at one moment of Redis's own clock, in whole microseconds; a double
/// holds them exactly until the year 2255. First the gateways: this one is there, those not heard
/// of for ten seconds are gone. Then each counter with its three arguments.
///
/// While a secret is being replaced each set and counter has two keys, the second one's name of the
/// secret before: what is there counts too, and nothing is written there. Half of the gateways may
/// call the two the other way round, so each takes the larger of both and goes on from there.
///
/// - A rate: what to charge, how long ago the first of it was charged, how far ahead the arrival
///   time may lie at most. It is stored until it lies as far behind as any charge that comes late.
/// - A quota: how many, `q`, and for how many seconds the window's counter is kept.
///
/// The text is always the same, so that Redis keeps it once.
const SCRIPT: &str = "\
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 10000000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PEXPIRE', KEYS[1], 20000)
local out = { redis.call('ZCARD', KEYS[1]) }
local late = tonumber(ARGV[2])
local names = tonumber(ARGV[3])
local function before(i)
  return names == 2 and tonumber(redis.call('GET', KEYS[i + 1]) or 0) or 0
end
if names == 2 then
  out[1] = out[1] + redis.call('ZCOUNT', KEYS[2], now - 10000000, '+inf')
end
for n = 1, #KEYS / names - 1 do
  local k = n * names + 1
  local a = n * 3 + 1
  local much = tonumber(ARGV[a])
  if ARGV[a + 1] == 'q' then
    local more = before(k) - tonumber(redis.call('GET', KEYS[k]) or 0)
    if more > 0 then redis.call('INCRBY', KEYS[k], more) end
    out[n + 1] = redis.call('INCRBY', KEYS[k], ARGV[a])
    redis.call('EXPIRE', KEYS[k], ARGV[a + 2])
  else
    local tat = math.max(tonumber(redis.call('GET', KEYS[k]) or 0), before(k))
    tat = math.max(tat, now - math.min(tonumber(ARGV[a + 1]), late)) + much
    tat = math.min(tat, now + tonumber(ARGV[a + 2]))
    local ahead = math.max(tat - now, 0)
    redis.call('SET', KEYS[k], tat, 'PX', math.ceil((ahead + late) / 1000) + 1000)
    out[n + 1] = ahead
  end
end
return out";

/// The name of a counter in Redis: a part of a digest under a key that only the gateways have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Name(pub [u8; 18]);

impl Name {
    /// The first 144 bits of a digest.
    pub fn new(digest: Digest) -> Self {
        Name(digest.0.first_chunk().copied().unwrap_or_default())
    }

    fn write(&self, body: &mut String) {
        encode(body, PREFIX);
        URL_SAFE_NO_PAD.encode_string(self.0, body);
    }
}

/// Who calls, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caller {
    /// The set of live gateways.
    pub gateways: Name,
    /// The same under the secret before.
    pub previous: Option<Name>,
    /// This gateway in it.
    pub gateway: Name,
    /// Charges older than this count as of this age, in nanoseconds.
    pub late_ns: u64,
}

/// The body of a call that tells `batch`.
pub fn body(caller: &Caller, batch: &[Sent], now: Time) -> Vec<u8> {
    let mut body = String::with_capacity(2_048 + batch.len() * 96);
    body.push_str("EVAL/");
    encode(&mut body, SCRIPT);
    let names = 1 + u64::from(caller.previous.is_some());
    push(&mut body, (batch.len() as u64 + 1) * names);
    for name in [Some(caller.gateways), caller.previous].into_iter().flatten() {
        body.push('/');
        name.write(&mut body);
    }
    for Sent { owed, .. } in batch {
        let previous = caller.previous.map(|_| owed.previous.unwrap_or(owed.name));
        for name in [Some(owed.name), previous].into_iter().flatten() {
            body.push('/');
            name.write(&mut body);
            if let Some(end) = owed.window_end {
                body.push(':');
                body.push_str(&end.s().to_string());
            }
        }
    }
    body.push('/');
    URL_SAFE_NO_PAD.encode_string(caller.gateway.0, &mut body);
    push(&mut body, caller.late_ns.div_ceil(NS_PER_US));
    push(&mut body, names);
    for Sent { owed, ahead_ns_max, .. } in batch {
        match owed.window_end {
            None => {
                // Rounded so that never less is told.
                push(&mut body, owed.much.div_ceil(NS_PER_US));
                push(&mut body, now.ns().saturating_sub(owed.since.ns()) / NS_PER_US);
                push(&mut body, *ahead_ns_max / NS_PER_US);
            }
            Some(end) => {
                push(&mut body, owed.much);
                body.push_str("/q");
                push(
                    &mut body,
                    (end.ns().saturating_sub(now.ns()) / NS_PER_S).saturating_add(KEPT_S),
                );
            }
        }
    }
    body.into_bytes()
}

/// What an answer says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heard {
    /// How many gateways there are, at least 1.
    pub gateways: u32,
    /// For each counter of the batch: nanoseconds by which the arrival time lies ahead, or the
    /// total of a quota.
    pub counters: Vec<u64>,
}

/// Reads the answer to `batch`; nothing if it isn't one, of the right length and without a number
/// that can't be.
pub fn parse(answer: &[u8], batch: &[Sent]) -> Option<Heard> {
    if answer.len() > ANSWER_BYTES_MAX {
        return None;
    }
    let Answer { eval } = serde_json::from_slice(answer).ok()?;
    let (gateways, counters) = eval.split_first()?;
    if counters.len() != batch.len()
        || counters.iter().any(|number| *number > NUMBER_MAX)
        || !(1..=GATEWAYS_MAX).contains(gateways)
    {
        return None;
    }
    let heard = |(number, sent): (&u64, &Sent)| match sent.owed.window_end {
        None => number.saturating_mul(NS_PER_US),
        Some(_) => *number,
    };
    Some(Heard {
        gateways: u32::try_from(*gateways).ok()?,
        counters: counters.iter().zip(batch).map(heard).collect(),
    })
}

#[derive(serde::Deserialize)]
struct Answer {
    #[serde(rename = "EVAL")]
    eval: Vec<u64>,
}

const NS_PER_US: u64 = 1_000;
/// Doubles count without gaps up to here.
const NUMBER_MAX: u64 = 1 << 53;
/// Seconds for which a quota's counter outlives its window, for gateways whose clocks are behind.
const KEPT_S: u64 = 3_600;

fn push(body: &mut String, number: u64) {
    body.push('/');
    body.push_str(&number.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Time = Time::from_s(1_800_000_000);

    fn sent(much: u64, window_end: Option<Time>) -> Sent {
        let owed = Owed {
            limit: 0,
            name: Name([7; 18]),
            previous: None,
            much,
            since: Time::from_ns(NOW.ns() - 30_000_500),
            window_end,
        };
        Sent { counter: Digest([1; 32]), owed, ahead_ns_max: 5_000_000_999 }
    }

    fn two() -> Vec<Sent> {
        vec![sent(1_500, None), sent(3, Some(NOW.plus_s(60)))]
    }

    use super::super::ledger::Owed;

    #[test]
    fn a_call_is_what_webdis_reads() {
        let caller = Caller {
            gateways: Name([1; 18]),
            previous: None,
            gateway: Name([2; 18]),
            late_ns: 400_000_000,
        };
        let text = String::from_utf8(body(&caller, &two(), NOW)).unwrap();
        let segments: Vec<&str> = text.split('/').collect();
        let name = "BwcHBwcHBwcHBwcHBwcHBwcH";
        assert_eq!(segments[0], "EVAL");
        assert_eq!(
            segments[2..],
            [
                "3",
                "herdgate:{gateways}:AQEBAQEBAQEBAQEBAQEBAQEB",
                &format!("herdgate:{{gateways}}:{name}"),
                &format!("herdgate:{{gateways}}:{name}:1800000060"),
                "AgICAgICAgICAgICAgICAgIC",
                "400000",
                "1",
                "2",
                "30000",
                "5000000",
                "3",
                "q",
                "3660",
            ]
        );
        assert!(segments.iter().all(|segment| !segment.contains(['.', '?', '+', '&'])));
        // A heartbeat tells no counter.
        assert!(String::from_utf8(body(&caller, &[], NOW)).unwrap().ends_with("/400000/1"));
        // While a secret is being replaced each has a second name.
        let caller = Caller { previous: Some(Name([3; 18])), ..caller };
        let mut batch = two();
        batch.iter_mut().for_each(|sent| sent.owed.previous = Some(Name([8; 18])));
        let text = String::from_utf8(body(&caller, &batch, NOW)).unwrap();
        let segments: Vec<&str> = text.split('/').collect();
        let before = "CAgICAgICAgICAgICAgICAgI";
        assert_eq!(segments[2], "6");
        assert_eq!(segments[4], "herdgate:{gateways}:AwMDAwMDAwMDAwMDAwMDAwMD");
        assert_eq!(segments[6], format!("herdgate:{{gateways}}:{before}"));
        assert_eq!(segments[8], format!("herdgate:{{gateways}}:{before}:1800000060"));
        assert_eq!(segments[11], "2");
    }

    #[test]
    fn an_answer_is_taken_whole_or_not_at_all() {
        let read = |text: &str| parse(text.as_bytes(), &two());
        assert_eq!(
            read(r#"{"EVAL":[3,2000,7]}"#),
            Some(Heard { gateways: 3, counters: vec![2_000_000, 7] })
        );
        assert_eq!(parse(br#"{"EVAL":[1]}"#, &[]), Some(Heard { gateways: 1, counters: vec![] }));
        for not_one in [
            "",
            "{}",
            "[]",
            r#"{"EVAL":null}"#,
            r#"{"EVAL":3}"#,
            r#"{"EVAL":[]}"#,
            r#"{"EVAL":[3,1]}"#,
            r#"{"EVAL":[3,1,2,4]}"#,
            r#"{"EVAL":[3,-1,2]}"#,
            r#"{"EVAL":[3,1.5,2]}"#,
            r#"{"EVAL":[3,"1",2]}"#,
            r#"{"EVAL":[3,null,2]}"#,
            r#"{"EVAL":[0,1,2]}"#,
            r#"{"EVAL":[1001,1,2]}"#,
            r#"{"EVAL":[3,9007199254740993,2]}"#,
            r#"{"EVAL":[3,99999999999999999999,2]}"#,
            r#"{"EVAL":[false,"ERR no"]}"#,
            r#"{"EVAL":[true,"OK"]}"#,
            r#"{"GET":[3,1,2]}"#,
            r#"{"EVAL":[3,1,2]}x"#,
        ] {
            assert_eq!(read(not_one), None, "{not_one}");
        }
        assert_eq!(read(&format!(r#"{{"EVAL":[3,1,2{}]}}"#, " ".repeat(ANSWER_BYTES_MAX))), None);
    }

    #[test]
    fn the_largest_answer_is_within_its_bound() {
        let batch = vec![sent(1, None); BATCH_MAX];
        let numbers = format!(",{NUMBER_MAX}").repeat(BATCH_MAX);
        assert!(
            parse(format!(r#"{{"EVAL":[{GATEWAYS_MAX}{numbers}]}}"#).as_bytes(), &batch).is_some()
        );
    }

    proptest! {
        #[test]
        fn any_bytes_do(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes, &two());
        }

        #[test]
        fn any_numbers_do(numbers in proptest::collection::vec(any::<u64>(), 0..5)) {
            let text = format!(r#"{{"EVAL":{numbers:?}}}"#);
            if let Some(heard) = parse(text.as_bytes(), &two()) {
                prop_assert!(heard.counters.len() == 2 && (1..=GATEWAYS_MAX).contains(&u64::from(heard.gateways)));
            }
        }
    }
}
