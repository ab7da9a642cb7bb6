//! The playground's questions and answers, as JSON in and out: what `make check` says of a text, and
//! what the filter does with one request under it.

use std::collections::{BTreeMap, BTreeSet};

use herdgate::config::{Config, ConfigError, HostKind, Mode};
use herdgate::testing::reply::{ErrorStyle, Reason};
use herdgate::testing::request::bearer::BearerSource;
use herdgate::testing::time::Time;
use serde_json::{Map, Value, json};

use crate::explain::{self, Asked};
use crate::find::{self, Found};
use crate::guard;
use crate::report::{self, Question, Report};
use crate::run::{End, Header, Outcome, Sent, Served, Worker, World, as_forwarded};
use crate::sizing::{self, Traffic};
use crate::steps::Way;

/// Requests in a row at most.
const TIMES_MAX: u64 = 10_000;

/// The answer to a question; what can't be read is said in `error`.
pub fn answer(question: &str) -> String {
    let Ok(Value::Object(question)) = serde_json::from_str(question) else {
        return json!({ "error": "the question is no JSON object" }).to_string();
    };
    match question.get("ask").and_then(Value::as_str) {
        Some("reasons") => reasons(),
        Some("advice") => sizing::advice(&traffic(&question)),
        _ => play(&question).unwrap_or_else(|error| json!({ "error": error })),
    }
    .to_string()
}

/// Every reason, for whoever shows what can be refused.
fn reasons() -> Value {
    let row = |reason: Reason| {
        json!({ "name": reason.name(), "status": reason.status(), "code": reason.code(),
            "description": reason.description() })
    };
    Value::Array(Reason::ALL.into_iter().map(row).collect())
}

fn traffic(question: &Map<String, Value>) -> Traffic {
    let number = |name: &str| question.get(name).and_then(Value::as_u64).unwrap_or(0);
    Traffic {
        tokens: number("tokens"),
        counters: number("counters"),
        clients: number("clients"),
        once_per_s: number("once_per_s"),
        once_kept_s: number("once_kept_s"),
    }
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> &'a str {
    members.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn play(question: &Map<String, Value>) -> Result<Value, String> {
    let (name, file) = (text(question, "name"), text(question, "text"));
    let name = if name.is_empty() { "configuration" } else { name };
    let environment = question.get("env").and_then(Value::as_object);
    let variables = |variable: &str| {
        let value = environment?.get(variable)?.as_str()?;
        Some(value.to_owned()).filter(|value| !value.is_empty())
    };
    let asking = Question {
        host: HostKind::parse(text(question, "host")),
        strict: question.get("strict").and_then(Value::as_bool).unwrap_or(false),
        variables: &variables,
    };
    let request = match question.get("request") {
        Some(Value::Object(request)) => Some(Client::read(request, question)?),
        _ => None,
    };
    let mut out = Vec::new();
    for found in find::configurations(name, file)? {
        out.push(one(file, &found, &asking, request.as_ref()));
    }
    Ok(json!({ "configurations": out, "warnings": guard::warnings(file) }))
}

/// What is said of one configuration of a file.
fn one(file: &str, found: &Found, asking: &Question<'_>, client: Option<&Client>) -> Value {
    let report = Report::of(file, found, asking);
    let mut out = json!({
        "place": found.place,
        "host": report.host.name(),
        "warnings": report.warnings,
        "mistakes": [],
    });
    match &report.config {
        Err(mistakes) => {
            let row = |one: &ConfigError| json!({ "path": one.path, "message": one.message });
            put(&mut out, "mistakes", mistakes.iter().map(row).collect());
        }
        Ok(config) => {
            put(&mut out, "summary", json!(explain::summary(config)));
            put(&mut out, "sizes", sizing::sizes(config));
            if let Some(client) = client {
                put(&mut out, "request", json!(explain::request(config, &client.asked)));
                if !client.token.is_empty() {
                    let judged =
                        report::judge(config, Some(&client.asked), &client.token, client.now);
                    put(&mut out, "token", json!(judged.lines));
                }
                let again = Again { found, asking, host: report.host };
                put(&mut out, "decision", decision(&again, config, client));
            }
        }
    }
    out
}

/// Adds a member to an object.
fn put(object: &mut Value, name: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

/// How to read the configuration once more: one is used up by each run.
struct Again<'a> {
    found: &'a Found,
    asking: &'a Question<'a>,
    host: HostKind,
}

impl Again<'_> {
    fn config(&self) -> Option<Config> {
        report::load(self.found, self.asking, &mut BTreeSet::new()).ok()
    }
}

/// A client's request, and what surrounds it.
struct Client {
    asked: Asked,
    method: String,
    target: String,
    host: String,
    headers: Vec<Header>,
    body: String,
    address: Option<String>,
    route: Option<String>,
    token: String,
    now: Time,
    times: u64,
    documents: BTreeMap<String, Served>,
}

impl Client {
    fn read(request: &Map<String, Value>, question: &Map<String, Value>) -> Result<Client, String> {
        let or = |name: &str, other: &str| {
            let value = text(request, name).trim();
            if value.is_empty() { other.to_owned() } else { value.to_owned() }
        };
        let (method, target) = (or("method", "GET"), or("target", "/"));
        let host = or("host", "api.example");
        let asked = match target.starts_with('/') {
            true => Asked::parse(&format!("{method} https://{host}{target}"))?,
            false => Asked::parse(&format!("{method} {target}"))?,
        };
        let now = question.get("now_ms").and_then(Value::as_u64).unwrap_or(0);
        let times = question.get("times").and_then(Value::as_u64).unwrap_or(1);
        Ok(Client {
            asked,
            method,
            target,
            host,
            headers: headers(request.get("headers")),
            body: text(request, "body").to_owned(),
            address: Some(text(request, "address").to_owned()).filter(|text| !text.is_empty()),
            route: Some(text(request, "route").to_owned()).filter(|text| !text.is_empty()),
            token: text(question, "token").trim().to_owned(),
            now: Time::from_ms(now),
            times: times.clamp(1, TIMES_MAX),
            documents: documents(question.get("documents")),
        })
    }

    /// The request with its token where the configuration looks for one first.
    fn sent(&self, config: &Config) -> Sent {
        let mut target = self.target.clone();
        let mut further = self.headers.clone();
        let token = &self.token;
        let is_there = further.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        let has_scheme = ["bearer ", "dpop "]
            .iter()
            .any(|scheme| token.to_ascii_lowercase().starts_with(scheme));
        if !token.is_empty() && !is_there {
            match config.bearer_sources.first() {
                Some(BearerSource::Header(name)) => further.push((name.clone(), token.clone())),
                Some(BearerSource::Prefixed { header, prefix }) => {
                    further.push((header.clone(), format!("{prefix}{token}")));
                }
                Some(BearerSource::Cookie(name)) => {
                    further.push(("cookie".to_owned(), format!("{name}={token}")));
                }
                Some(BearerSource::Query(name)) => {
                    let mark = if target.contains('?') { '&' } else { '?' };
                    target.push_str(&format!("{mark}{name}={token}"));
                }
                Some(BearerSource::Authorization | BearerSource::Dpop) | None => {
                    let value = if has_scheme { token.clone() } else { format!("Bearer {token}") };
                    further.push(("authorization".to_owned(), value));
                }
            }
        }
        let pseudo = [
            (":method", &self.method),
            (":authority", &self.host),
            (":scheme", &"https".to_owned()),
            (":path", &target),
        ];
        let pseudo = pseudo.map(|(name, value)| (name.to_owned(), value.clone()));
        Sent {
            headers: pseudo.into_iter().chain(further).collect(),
            body: self.body.clone(),
            address: self.address.clone(),
            route: self.route.clone(),
        }
    }
}

/// Pairs in lower case, as HTTP/2 has them.
fn headers(value: Option<&Value>) -> Vec<Header> {
    let pairs = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    pairs
        .iter()
        .filter_map(|pair| {
            let name = pair.get(0)?.as_str()?.trim().to_ascii_lowercase();
            let value = pair.get(1)?.as_str()?.trim().to_owned();
            (!name.is_empty() && !name.starts_with(':')).then_some((name, value))
        })
        .collect()
}

fn documents(value: Option<&Value>) -> BTreeMap<String, Served> {
    let members = value.and_then(Value::as_object).into_iter().flatten();
    members
        .map(|(url, served)| {
            let status = served.get("status").and_then(Value::as_u64).unwrap_or(200);
            let body = match served.get("body") {
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => String::new(),
            };
            let status = u16::try_from(status).unwrap_or(200);
            (url.clone(), Served { status, headers: headers(served.get("headers")), body })
        })
        .collect()
}

/// What the filter does, in all dialects, and what it would do if nothing were in shadow.
fn decision(again: &Again<'_>, config: &Config, client: &Client) -> Value {
    let run = |change: &dyn Fn(&mut Config)| -> Option<(Outcome, Vec<(String, u64)>)> {
        let mut config = again.config()?;
        change(&mut config);
        Some(runs(again, config, client))
    };
    let Some((outcome, ends)) = run(&|_| {}) else { return Value::Null };
    let sent = client.sent(config);
    let way = Way {
        config,
        asked: &client.asked,
        target: sent
            .headers
            .iter()
            .find(|(name, _)| name == ":path")
            .map_or("", |(_, value)| value),
        sent: &sent,
        outcome: &outcome,
        now: client.now,
    };
    let mut out = drawn(again, &outcome, &sent);
    put(&mut out, "steps", json!(way.steps()));
    put(&mut out, "ends", ends.iter().map(|(end, times)| json!([end, times])).collect());
    put(&mut out, "dialects", dialects(&outcome, &|style| run(&|config| config.errors = style)));
    let is_shadowed = outcome.why.get("verdict").is_some_and(|verdict| verdict == "shadowed");
    if is_shadowed {
        let enforced = |style: Option<ErrorStyle>| {
            run(&|config| {
                enforce(config);
                config.errors = style.unwrap_or(config.errors);
            })
        };
        if let Some((outcome, _)) = enforced(None) {
            let mut told = drawn(again, &outcome, &sent);
            put(&mut told, "dialects", dialects(&outcome, &|style| enforced(Some(style))));
            put(&mut out, "enforced", told);
        }
    }
    out
}

/// Nothing is in shadow any more.
fn enforce(config: &mut Config) {
    config.mode = Mode::Enforce;
    config.rules.iter_mut().for_each(|rule| rule.shadow = false);
    config.rate_limits.iter_mut().for_each(|limit| limit.shadow = false);
}

/// Sends the request as often as is asked for, at one moment; gives the last one, and how all of
/// them ended.
fn runs(again: &Again<'_>, config: Config, client: &Client) -> (Outcome, Vec<(String, u64)>) {
    let sent = client.sent(&config);
    let world = World {
        documents: &client.documents,
        now: client.now,
        removes_headers: again.host != HostKind::Kong,
    };
    let worker = Worker::new(config, &world);
    let mut ends: Vec<(String, u64)> = Vec::new();
    let mut outcome = worker.run(&sent);
    for number in 1..=client.times {
        if number > 1 {
            outcome = worker.run(&sent);
        }
        let end = end(&outcome);
        match ends.last_mut() {
            Some((last, times)) if *last == end => *times += 1,
            _ => ends.push((end, 1)),
        }
    }
    (outcome, ends)
}

/// A request's end in a few words.
fn end(outcome: &Outcome) -> String {
    let reason = outcome.why.get("reason").map(|reason| format!(" ({reason})")).unwrap_or_default();
    match &outcome.end {
        End::Goes { .. } => format!("goes on{reason}"),
        End::Answered { status, .. } => format!("{status}{reason}"),
    }
}

fn drawn(again: &Again<'_>, outcome: &Outcome, sent: &Sent) -> Value {
    let fetched = outcome.fetched.iter();
    let fetched = fetched.map(|call| {
        json!({ "kind": call.kind, "method": call.method, "url": call.url, "status": call.status })
    });
    let api = match &outcome.end {
        End::Goes { removed, set, response } => {
            let removes = again.host != HostKind::Kong;
            json!({
                "headers": as_forwarded(&sent.headers, removed, set, removes),
                "removed": removed,
                "set": set,
                "response": response,
            })
        }
        End::Answered { .. } => Value::Null,
    };
    json!({
        "why": outcome.why,
        "is_open": outcome.fetched.iter().any(|call| call.status.is_none()),
        "fetched": fetched.collect::<Vec<_>>(),
        "counted": outcome.counted,
        "sent": sent.headers,
        "api_sees": api,
    })
}

type Run<'a> = dyn Fn(ErrorStyle) -> Option<(Outcome, Vec<(String, u64)>)> + 'a;

/// What a refused client hears in each dialect; nothing where it isn't answered here.
fn dialects(outcome: &Outcome, run: &Run<'_>) -> Value {
    if matches!(outcome.end, End::Goes { .. }) {
        return Value::Null;
    }
    let named = [
        ("oauth", ErrorStyle::Oauth),
        ("kong", ErrorStyle::Kong),
        ("problem", ErrorStyle::Problem),
    ];
    let answers = named.into_iter().filter_map(|(name, style)| match run(style)?.0.end {
        End::Answered { status, headers, body } => {
            Some((name.to_owned(), json!({ "status": status, "headers": headers, "body": body })))
        }
        End::Goes { .. } => None,
    });
    Value::Object(answers.collect())
}
