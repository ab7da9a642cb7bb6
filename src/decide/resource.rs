//! Protected resources (RFC 9728): requests for their metadata, and which one a request is for.

use super::{announced_method, is_announcement, rule_of};
use crate::config::{Config, CorsPreflight, Resource};
use crate::facts::Facts;
use crate::reply::{Asked, Metadata};
use crate::request::Request;
use crate::request::path::{self, Target};

/// The metadata that a request asks for, if it asks for some that this gateway has. Other methods,
/// and well-known paths of other resources, are left to the rules.
#[inline(never)]
pub(super) fn asked_for<'a>(
    config: &'a Config,
    request: &Request<'_>,
    host: &[u8],
    path: &[u8],
) -> Option<(&'a Metadata, Asked)> {
    let mut here = config.resources.iter().filter(|one| one.well_known.as_bytes() == path);
    let first = here.clone().next()?;
    let reads = |method: &[u8]| matches!(method, b"GET" | b"HEAD");
    let asked = match request.method {
        method if reads(method) => Asked::Itself,
        _ if config.cors_preflight == CorsPreflight::Pass
            && is_announcement(request)
            && announced_method(request).is_some_and(reads) =>
        {
            Asked::Preflight
        }
        _ => return None,
    };
    let name = path::host_name(host);
    let found = here.clone().find(|one| one.is_on(name)).or_else(|| {
        // Under a name that only a balancer knows.
        here.all(|one| std::ptr::eq(one, first) && one.hosts.is_empty()).then_some(first)
    })?;
    Some((&found.metadata, asked))
}

impl Resource {
    /// Whether it is reached under this host.
    fn is_on(&self, name: &[u8]) -> bool {
        let is_same = |host: &String| name.eq_ignore_ascii_case(host.as_bytes());
        is_same(&self.host) || self.hosts.iter().any(is_same)
    }
}

/// Where the metadata is of the resource that a request is for: that of the rule which covers it,
/// else the document's, as far as its path goes.
#[cold]
pub fn metadata_url<'a>(request: &Request<'_>, facts: &Facts<'a>) -> Option<&'a str> {
    let config: &'a Config = &facts.runtime.config;
    if config.resources.is_empty() {
        return None;
    }
    let of_rule = rule_of(request, facts).and_then(|(_, rule)| rule.resource);
    let of_document = || config.resource.filter(|index| is_under(config, *index, request));
    let index = of_rule.or_else(of_document)?;
    Some(config.resources.get(index)?.metadata.url.as_str())
}

fn is_under(config: &Config, index: usize, request: &Request<'_>) -> bool {
    let Some(under) = config.resources.get(index).and_then(|one| one.under.as_ref()) else {
        return true;
    };
    Target::parse(request.target, config.paths)
        .is_ok_and(|target| path::path_matches(under, &target.path).is_some())
}

#[cfg(test)]
mod tests;
