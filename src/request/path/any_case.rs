//! Paths for an API that takes letters of either case for the same.

use super::{Captures, PathMatch, Segment};

/// As [`super::path_matches`], in any case of ASCII letters.
#[inline(never)]
pub fn matches<'a>(rule: &'a PathMatch, path: &'a [u8]) -> Option<Captures<'a>> {
    let whole = Captures { template: &[], path };
    match rule {
        PathMatch::Exact(exact) => path.eq_ignore_ascii_case(exact.as_bytes()).then_some(whole),
        PathMatch::Prefix(prefix) => {
            let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
            let (start, rest) = path.split_at_checked(prefix.len())?;
            let ends =
                matches!(rest.first(), Some(b'/')) || (rest.is_empty() && !prefix.is_empty());
            (ends && start.eq_ignore_ascii_case(prefix.as_bytes())).then_some(whole)
        }
        PathMatch::Template(template) => {
            let mut segments = path.strip_prefix(b"/")?.split(|byte| *byte == b'/');
            for expected in template {
                let segment = segments.next()?;
                let fits = match expected {
                    Segment::Literal(literal) => segment.eq_ignore_ascii_case(literal.as_bytes()),
                    Segment::Capture(_) => !segment.is_empty(),
                };
                if !fits {
                    return None;
                }
            }
            segments.next().is_none().then_some(Captures { template, path })
        }
    }
}

impl PathMatch {
    /// The same in lower case: what it covers in any case, another covers that is covered by this.
    pub fn in_lower_case(&self) -> PathMatch {
        match self {
            PathMatch::Exact(path) => PathMatch::Exact(path.to_ascii_lowercase()),
            PathMatch::Prefix(path) => PathMatch::Prefix(path.to_ascii_lowercase()),
            PathMatch::Template(segments) => PathMatch::Template(
                segments
                    .iter()
                    .map(|segment| match segment {
                        Segment::Literal(text) => Segment::Literal(text.to_ascii_lowercase()),
                        Segment::Capture(name) => Segment::Capture(name.clone()),
                    })
                    .collect(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::path::{self, PathPolicy, path_matches};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_what_lower_case_would_be(text in "/?[aAbB/]{0,7}", path in "/?[aAbB/]{0,7}") {
            let of = [
                path::exact(&text, PathPolicy::Lenient),
                path::prefix(&text, PathPolicy::Lenient),
                path::template(&text.replace('b', "{b}"), PathPolicy::Lenient),
            ];
            for rule in of.into_iter().flatten() {
                let lower = path.to_ascii_lowercase();
                prop_assert_eq!(
                    matches(&rule, path.as_bytes()).is_some(),
                    path_matches(&rule.in_lower_case(), lower.as_bytes()).is_some()
                );
            }
        }
    }
}
