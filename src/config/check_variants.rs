//! Rules that go apart for requests which an API may take for the same: another letter-case of the
//! path, another method for the same thing.

use super::check::Check;
use super::{Access, Config, Rule};
use crate::request::path::{PathMatch, RuleMatch};

impl Check {
    /// Warns where a public rule stands beside a stricter one, and variants of its requests fall
    /// under the other.
    pub(super) fn variants(&mut self, config: &Config, paths: &[String]) {
        let rules: Vec<(&Rule, &String)> = config.rules.iter().zip(paths).collect();
        for (index, (public, at)) in rules.iter().enumerate() {
            if public.access != Access::Public || public.matches.path.is_none() {
                continue;
            }
            let (above, from_here) = rules.split_at(index);
            let stricter = |one: &&(&Rule, &String)| is_strict(one.0);
            // Safe, and a riddle to whoever looks for the reason of a 401.
            let below = from_here.iter().filter(stricter).find(|(below, _)| {
                is_named(&below.matches) && below.matches.covers(&of_all_methods(public))
            });
            if let Some((_, by)) = below {
                self.report.warn(at, other_spellings(public, by, "which needs a token"));
            }
            // What needs a token here is public there.
            let open = above.iter().filter(stricter).filter(|(above, _)| {
                !above.matches.ignore_case
                    && is_named(&above.matches)
                    && public.matches.path.as_ref().zip(above.matches.path.as_ref()).is_some_and(
                        |(wide, narrow)| wide.in_lower_case().covers(&narrow.in_lower_case()),
                    )
            });
            for (_, stricter_at) in open {
                self.report.warn(
                    stricter_at,
                    format_args!(
                        "paths in another letter-case fall under {at}, which is public: set \"ignore_case\": true if the API takes them for the same"
                    ),
                );
            }
        }
    }
}

fn is_strict(rule: &Rule) -> bool {
    rule.access == Access::Required
}

/// Whether it is about certain paths, and not a rule for all the rest.
fn is_named(matches: &RuleMatch) -> bool {
    matches!(&matches.path, Some(path) if *path != PathMatch::Prefix("/".to_owned()))
}

fn of_all_methods(rule: &Rule) -> RuleMatch {
    let RuleMatch { path, hosts, route, ignore_case, .. } = &rule.matches;
    RuleMatch {
        path: path.clone(),
        hosts: hosts.clone(),
        route: route.clone(),
        ignore_case: *ignore_case,
        methods: Vec::new(),
    }
}

fn other_spellings(rule: &Rule, by: &str, which: &str) -> String {
    let methods = &rule.matches.methods;
    let head = methods.iter().any(|one| one == "GET") && !methods.iter().any(|one| one == "HEAD");
    let what = match (rule.matches.ignore_case, head) {
        (false, true) => "HEAD, other methods and paths in another letter-case fall",
        (false, false) => "paths in another letter-case fall",
        (true, true) => "HEAD and other methods on its paths fall",
        (true, false) => "other methods on its paths fall",
    };
    format!("{what} under {by}, {which}")
}
