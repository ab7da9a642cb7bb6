//! Which top-level modules the files of a crate name, by reading them as text.
//!
//! Code that only tests see (`#[cfg(test)]`, and the files that it brings in) is left out: it may
//! look anywhere.

use std::collections::{BTreeMap, BTreeSet};

/// The files of `src` by their path below it, such as `facts/mod.rs`.
pub type Files = BTreeMap<String, String>;

/// What a crate's files say.
#[derive(Debug, Default)]
pub struct Imports {
    /// The modules that `lib.rs` declares, those for tests left out.
    pub modules: BTreeSet<String>,
    /// (file, the top-level module it belongs to, the other top-level module that it names).
    pub arrows: BTreeSet<(String, String, String)>,
    /// (file, the word by which it names a host).
    pub hosts: BTreeSet<(String, String)>,
    /// What can't be read, as sentences: a blind spot would be a way around the test.
    pub unclear: Vec<String>,
}

pub fn read(files: &Files) -> Imports {
    let mut found = Imports::default();
    let Some(root) = files.get("lib.rs") else {
        found.unclear.push("there is no lib.rs".to_owned());
        return found;
    };
    let mut open = vec![("lib.rs".to_owned(), Vec::new())];
    let declared = Scan::of(root, &[]).children;
    found.modules.extend(declared.iter().filter_map(|path| path.first().cloned()));
    while let Some((file, path)) = open.pop() {
        let Some(text) = files.get(&file) else { continue };
        let scan = Scan::of(text, &path);
        found.unclear.extend(scan.unclear.iter().map(|what| format!("{file}: {what}")));
        found.hosts.extend(scan.hosts.iter().map(|&word| (file.clone(), word.to_owned())));
        for child in scan.children {
            let stem = child.join("/");
            let place = [format!("{stem}.rs"), format!("{stem}/mod.rs")];
            match place.into_iter().find(|place| files.contains_key(place)) {
                Some(place) => open.push((place, child)),
                None => {
                    found.unclear.push(format!("{file}: no file of module {}", child.join("::")))
                }
            }
        }
        for target in scan.named {
            match path.first() {
                // The root may name what it declares.
                None => {}
                Some(own) if *own == target => {}
                Some(own) => {
                    found.arrows.insert((file.clone(), own.clone(), target));
                }
            }
        }
    }
    found
}

/// One file, read from left to right.
struct Scan<'a> {
    tokens: Vec<&'a str>,
    at: usize,
    /// The module that is being read, with the depth of braces at which each inline one began.
    path: Vec<String>,
    inline: Vec<usize>,
    depth: usize,
    children: Vec<Vec<String>>,
    named: BTreeSet<String>,
    hosts: BTreeSet<&'a str>,
    unclear: Vec<String>,
}

impl<'a> Scan<'a> {
    fn of(text: &'a str, path: &[String]) -> Self {
        let mut scan = Scan {
            tokens: tokens(text),
            at: 0,
            path: path.to_vec(),
            inline: Vec::new(),
            depth: 0,
            children: Vec::new(),
            named: BTreeSet::new(),
            hosts: BTreeSet::new(),
            unclear: Vec::new(),
        };
        scan.run();
        scan
    }

    fn peek(&self, ahead: usize) -> &'a str {
        self.tokens.get(self.at + ahead).copied().unwrap_or("")
    }

    fn run(&mut self) {
        while self.at < self.tokens.len() {
            match (self.peek(0), self.peek(1), self.peek(2)) {
                ("#", "[", "cfg") if self.is_for_tests() => {
                    self.skip_attribute();
                    self.skip_item();
                    continue;
                }
                ("mod", name, ";") => {
                    self.children.push([self.path.as_slice(), &[name.to_owned()]].concat())
                }
                ("mod", name, "{") => {
                    self.path.push(name.to_owned());
                    self.inline.push(self.depth);
                }
                ("{", ..) => self.depth += 1,
                ("}", ..) => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.inline.last() == Some(&self.depth) {
                        self.inline.pop();
                        self.path.pop();
                    }
                }
                ("crate", "::", _) => {
                    self.at += 2;
                    self.names_below(&[]);
                    continue;
                }
                ("crate", "as", name) => {
                    self.unclear.push(format!("the root is called {name} here"))
                }
                ("super", "::", _) => {
                    let mut base = self.path.clone();
                    while (self.peek(0), self.peek(1)) == ("super", "::") {
                        base.pop();
                        self.at += 2;
                    }
                    self.names_below(&base);
                    continue;
                }
                // What users have configured for a host, and a style of answers.
                ("config", ".", "kong") | ("ErrorStyle", "::", "Kong") => self.at += 2,
                (word, ..) if ["envoy", "kong"].iter().any(|host| contains(word, host)) => {
                    self.hosts.insert(word);
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    /// Notes what a path or a group of paths names, which starts at the module `base`.
    fn names_below(&mut self, base: &[String]) {
        // Below a top-level module it is that one which is named, whatever follows.
        if let Some(module) = base.first() {
            self.named.insert(module.clone());
            return;
        }
        if self.peek(0) != "{" {
            return self.name(self.peek(0));
        }
        // A group, such as `{bearer, facts::{Fact, Flight}}`: the first name of each part counts.
        let (mut depth, mut first) = (0_usize, true);
        while self.at < self.tokens.len() {
            match self.peek(0) {
                "{" => depth += 1,
                "}" => depth -= 1,
                "," if depth == 1 => first = true,
                word if depth == 1 && first => {
                    self.name(word);
                    first = false;
                }
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    fn name(&mut self, word: &str) {
        match word {
            "*" | "self" => self.unclear.push("everything of the root is imported".to_owned()),
            _ => {
                self.named.insert(word.to_owned());
            }
        }
    }

    /// Whether the attribute here is `cfg(test)` or `cfg(all(test, ...))`.
    fn is_for_tests(&self) -> bool {
        matches!(
            (self.peek(3), self.peek(4), self.peek(5), self.peek(6)),
            ("(", "test", ")", _) | ("(", "all", "(", "test")
        )
    }

    fn skip_attribute(&mut self) {
        self.at += 1;
        self.skip_group();
    }

    /// From an opening bracket to behind its partner.
    fn skip_group(&mut self) {
        let mut depth = 0_usize;
        while self.at < self.tokens.len() {
            match self.peek(0) {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    /// What an attribute stands before: an item, a statement, a field, a variant or an arm.
    fn skip_item(&mut self) {
        while self.peek(0) == "#" {
            self.skip_attribute();
        }
        let (mut until_semicolon, mut until_brace) = (false, false);
        while self.at < self.tokens.len() {
            match self.peek(0) {
                "use" | "static" | "type" | "let" => until_semicolon = true,
                "const" if self.peek(1) != "fn" => until_semicolon = true,
                "fn" | "mod" | "impl" | "struct" | "enum" | "trait" => until_brace = true,
                ";" => {
                    self.at += 1;
                    return;
                }
                "," if !until_semicolon && !until_brace => {
                    self.at += 1;
                    return;
                }
                // The end of what it stands in, which isn't skipped.
                "}" => return,
                "{" => {
                    self.skip_group();
                    if !until_semicolon {
                        return;
                    }
                    continue;
                }
                "(" | "[" => {
                    self.skip_group();
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
    }
}

fn contains(word: &str, lower: &str) -> bool {
    word.to_ascii_lowercase().contains(lower)
}

/// Words and signs, without comments, texts, characters and numbers' inner life.
fn tokens(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if first.is_whitespace() {
            rest.len() - rest.trim_start().len()
        } else if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            comment(rest)
        } else if let Some(length) = literal(rest) {
            length
        } else {
            let word = |found: char| found.is_alphanumeric() || found == '_';
            let length = match first {
                _ if rest.starts_with("::") => 2,
                _ if word(first) => rest.find(|found| !word(found)).unwrap_or(rest.len()),
                _ => first.len_utf8(),
            };
            out.extend(rest.get(..length));
            length
        };
        rest = rest.get(length..).unwrap_or("");
    }
    out
}

/// The length of a comment in slashes and stars, which may hold others.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of a text or a character that begins here, raw ones included.
fn literal(text: &str) -> Option<usize> {
    let bare = text.strip_prefix('b').or_else(|| text.strip_prefix('c')).unwrap_or(text);
    let prefix = text.len() - bare.len();
    if let Some(hashed) = bare.strip_prefix('r') {
        let quoted = hashed.trim_start_matches('#');
        let end = format!("\"{}", "#".repeat(hashed.len() - quoted.len()));
        let inner = quoted.strip_prefix('"')?;
        return Some(
            text.len() - inner.len() + inner.find(&end).map_or(inner.len(), |at| at + end.len()),
        );
    }
    if let Some(inner) = bare.strip_prefix('"') {
        return Some(prefix + 1 + closing(inner, '"'));
    }
    let inner = bare.strip_prefix('\'')?;
    // `'a'` is a character and `'a` a lifetime: one has a quote behind its first character.
    let first = inner.chars().next()?;
    let behind = inner.get(first.len_utf8()..).unwrap_or("");
    match first == '\\' || behind.starts_with('\'') {
        true => Some(prefix + 1 + closing(inner, '\'')),
        false => Some(prefix + 1),
    }
}

/// The length up to and with the closing quote; what follows a backslash is never that.
fn closing(inner: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, found) in inner.char_indices() {
        match found {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if found == quote => return at + 1,
            _ => {}
        }
    }
    inner.len()
}
