//! Imports go down only: no module of `src` names one above it, and there is no circle.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod imports;
#[cfg(test)]
mod made_up;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use imports::{Files, Imports};

/// The modules of `src/lib.rs` from the top to the floor. Each may name those below it.
const ORDER: &[&str] = &[
    "testing",
    "shell",
    "exchange",
    "decide",
    "charging",
    "gateways",
    "facts",
    "metrics",
    "config",
    "token_endpoint",
    "revocation",
    "rate_limit",
    "shared",
    "retry_after",
    "request",
    "proof",
    "jwe",
    "jwt",
    "signature",
    "redis",
    "callout",
    "reply",
    "digest",
    "time",
    "sort",
];

/// Arrows that go up today: (file, the module that it names). Each that is gone must go from here
/// too.
const KNOWN: &[(&str, &str)] = &[];

/// Where a host may be named: in the shell's table of hosts, and where users configure one. `reply`
/// has a style of answers of that name.
const HOSTS_NAMED_IN: &[&str] = &["shell/hosts/", "config/", "reply/"];

/// What is wrong with these imports, as sentences; nothing if all is well.
fn faults(found: &Imports, order: &[&str], known: &[(&str, &str)]) -> Vec<String> {
    let mut out = found.unclear.clone();
    let level = |module: &str| order.iter().position(|&one| one == module);
    out.extend(
        found
            .modules
            .iter()
            .filter(|one| level(one).is_none())
            .map(|one| format!("{one} has no place in the order")),
    );
    out.extend(
        order
            .iter()
            .filter(|&&one| !found.modules.contains(one))
            .map(|one| format!("the order names {one}, which isn't there")),
    );
    let mut down: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut unused: BTreeSet<_> = known.iter().copied().collect();
    for (file, from, to) in &found.arrows {
        if known.contains(&(file, to)) && level(from) > level(to) {
            unused.remove(&(file, to));
            continue;
        }
        down.entry(from).or_default().insert(to);
        match (level(from), level(to)) {
            (_, None) => {
                out.push(format!("{file} names crate::{to}, which is no module of the order"))
            }
            (Some(from_level), Some(to_level)) if from_level > to_level => {
                out.push(format!("{file} imports {to}, which is above {from}"))
            }
            _ => {}
        }
    }
    out.extend(unused.iter().map(|(file, to)| {
        format!("{file} doesn't import {to} any more: take it from the known ones")
    }));
    out.extend(
        found
            .hosts
            .iter()
            .filter(|(file, _)| !HOSTS_NAMED_IN.iter().any(|folder| file.starts_with(folder)))
            .map(|(file, word)| format!("{file} names a host: {word}")),
    );
    out.extend(circle(&down).map(|modules| format!("a circle: {}", modules.join(" -> "))));
    out
}

/// The first circle that is found, with its first module once more at the end.
fn circle<'a>(arrows: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Option<Vec<&'a str>> {
    fn walk<'a>(
        at: &'a str,
        arrows: &BTreeMap<&'a str, BTreeSet<&'a str>>,
        way: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) -> bool {
        if let Some(start) = way.iter().position(|&one| one == at) {
            way.drain(..start);
            way.push(at);
            return true;
        }
        if done.contains(at) {
            return false;
        }
        way.push(at);
        if arrows.get(at).into_iter().flatten().any(|next| walk(next, arrows, way, done)) {
            return true;
        }
        way.pop();
        done.insert(at);
        false
    }
    let (mut way, mut done) = (Vec::new(), BTreeSet::new());
    arrows.keys().any(|start| walk(start, arrows, &mut way, &mut done)).then_some(way)
}

fn files_below(folder: &Path, prefix: &str, out: &mut Files) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            files_below(&path, &format!("{name}/"), out);
        } else if name.ends_with(".rs") {
            out.insert(name, std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn imports_go_down() {
    let mut files = Files::new();
    files_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut files);
    let found = imports::read(&files);
    // A reader that sees nothing would be content with everything.
    assert!(found.modules.len() > 10 && found.arrows.len() > 50, "{found:?}");
    let faults = faults(&found, ORDER, KNOWN);
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}
