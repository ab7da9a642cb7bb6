//! What the filter changes in a request that goes on.

use std::rc::Rc;

use crate::facts::{Facts, Verified};
use crate::reply::Why;
use crate::request::bearer;
use crate::request::bearer::{BearerSource, same_header};
use crate::request::forward;
use crate::request::{HeaderBlock, Request};

/// What changes in the request that goes on. Most requests keep their headers but for the
/// identity's, and pay for no more than a look whether there are edits.
#[derive(Default)]
pub struct Changes {
    /// The verified token whose identity headers are set.
    pub identity: Option<Rc<Verified>>,
    edits: Option<Box<Edits>>,
}

/// Changes beyond the identity's headers.
#[derive(Default)]
pub struct Edits {
    /// Names to remove, as they stand in the request. A name may occur more than once in it.
    pub remove: Vec<String>,
    /// Headers to set, in place of any of that name.
    pub set: Vec<(String, String)>,
    /// Headers to set in the API's answer.
    pub response: Vec<(String, String)>,
    /// Whether the exchange wants to see the answer.
    pub watch: bool,
    /// What logs are told of the request.
    pub why: Option<Box<Why>>,
}

static NONE: Edits =
    Edits { remove: Vec::new(), set: Vec::new(), response: Vec::new(), watch: false, why: None };

impl Changes {
    /// Changes that set a verified token's identity headers.
    #[inline(always)]
    pub fn of_identity(identity: Option<Rc<Verified>>) -> Self {
        Changes { identity, edits: None }
    }

    /// The edits, to be read.
    #[inline(always)]
    pub fn edits(&self) -> &Edits {
        self.edits.as_deref().unwrap_or(&NONE)
    }

    /// The edits, to be added to.
    pub fn edit(&mut self) -> &mut Edits {
        self.edits.get_or_insert_default()
    }

    /// Whether there are edits.
    #[inline(always)]
    pub fn has_edits(&self) -> bool {
        self.edits.is_some()
    }

    /// All headers to set, in place of any of that name.
    #[inline(always)]
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let identity = self.identity.as_ref().map_or(&[][..], |verified| &verified.headers);
        self.edits().set.iter().chain(identity).map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Removes what only the filter may set. `vouched`: a plugin of the host has set its identity
    /// headers, or removed the client's.
    #[inline(never)]
    pub fn remove_reserved(&mut self, request: &Request<'_>, vouched: bool, facts: &Facts<'_>) {
        for (name, _) in request.headers.iter() {
            let is_reserved = forward::is_reserved(name, &facts.runtime.compiled.reserved_headers);
            if is_reserved && !(vouched && forward::is_set_by_plugins(name)) {
                self.edit().remove.push(text(name));
            }
        }
    }

    /// Removes the token from the source at `position`.
    #[inline(never)]
    pub fn remove_token(&mut self, request: &Request<'_>, position: usize, facts: &Facts<'_>) {
        let sources = &facts.runtime.config.bearer_sources;
        self.remove_tokens(request, sources.get(position).into_iter());
    }

    /// Removes whatever stands where a token may be.
    #[inline(never)]
    pub fn remove_all_tokens(&mut self, request: &Request<'_>, facts: &Facts<'_>) {
        let sources = facts.runtime.config.bearer_sources.iter();
        // The password of another scheme is no token.
        let stays = |source: &&BearerSource| bearer::is_elsewhere(source, request.authorization);
        self.remove_tokens(request, sources.filter(|source| !stays(source)));
    }

    fn remove_tokens<'a>(
        &mut self,
        request: &Request<'_>,
        sources: impl Iterator<Item = &'a BearerSource>,
    ) {
        let edits = self.edit();
        // Several sources may be in one field, which is set once.
        let (mut cookies, mut target) = (None, None);
        for source in sources {
            match source {
                BearerSource::Authorization => edits.remove.push("authorization".to_owned()),
                // Without its token a proof says nothing.
                BearerSource::Dpop => {
                    edits.remove.extend(["authorization".to_owned(), "dpop".to_owned()]);
                }
                BearerSource::Header(name) | BearerSource::Prefixed { header: name, .. } => {
                    // In every spelling that another reader takes for the same.
                    let spelt = request.headers.iter().map(|(known, _)| text(known));
                    let same = spelt.filter(|known| same_header(known.as_bytes(), name.as_bytes()));
                    for spelling in same {
                        if !edits.remove.contains(&spelling) {
                            edits.remove.push(spelling);
                        }
                    }
                }
                BearerSource::Cookie(name) => {
                    let before = cookies.take().unwrap_or_else(|| all_cookies(request));
                    cookies = Some(bearer::without_cookie(&before, name));
                }
                BearerSource::Query(name) => {
                    let before = target.take().unwrap_or_else(|| request.target.to_vec());
                    target = Some(bearer::without_query(&before, name));
                }
            }
        }
        match cookies {
            Some(rest) if rest.is_empty() => edits.remove.push("cookie".to_owned()),
            Some(rest) => edits.set.push(("cookie".to_owned(), text(&rest))),
            None => {}
        }
        if let Some(target) = target {
            edits.set.push((":path".to_owned(), text(&target)));
        }
    }

    /// Whether a request has a header twice, in any case of its letters, that is to be changed:
    /// where none can be removed, the second one would stay as it is.
    pub fn meet_one_twice(&self, headers: &HeaderBlock) -> bool {
        let mut changed = self
            .edits()
            .remove
            .iter()
            .map(String::as_str)
            .chain(self.headers().map(|(name, _)| name));
        changed.any(|name| {
            headers.iter().filter(|(there, _)| there.eq_ignore_ascii_case(name.as_bytes())).count()
                > 1
        })
    }

    /// The changes of a call whose answer is to be seen.
    pub fn watching() -> Self {
        let mut changes = Changes::default();
        changes.edit().watch = true;
        changes
    }

    /// These changes of a token call beside those of every request.
    pub fn beside(mut self, mut usual: Changes) -> Changes {
        let Edits { remove, mut set, why, .. } = std::mem::take(usual.edit());
        let edits = self.edit();
        set.append(&mut edits.set);
        (edits.remove, edits.set) = (remove, set);
        edits.why = edits.why.take().or(why);
        self
    }
}

/// Several fields are one (RFC 9113, section 8.2.3), and one takes the place of all.
fn all_cookies(request: &Request<'_>) -> Vec<u8> {
    let fields = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"cookie"));
    fields.map(|(_, value)| value).collect::<Vec<_>>().join(&b"; "[..])
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
