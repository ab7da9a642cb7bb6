//! Outages of token endpoints, as gateways tell each other: one that has found one tells it with
//! the pause that it makes, and others make that pause too ([`crate::token_endpoint::admission`]
//! has the bounds). Where gateways share answers they share this, since only then is it said that
//! an endpoint is the same server at all of them.

use crate::digest::{Digest, HostKey};
use crate::metrics::Metric;
use crate::revocation::told::Note;
use crate::shared::table::word;
use crate::token_endpoint::TokenEndpoint;
use crate::token_endpoint::admission::{Limits, Outage};
use crate::token_endpoint::outages::{Told, note_name};

use super::Facts;

impl Facts<'_> {
    /// Tells other gateways that the server of an endpoint is left alone for a while.
    pub(super) fn tell_outage(&self, endpoint: &TokenEndpoint, outage: Outage) {
        if !self.shares_answers() {
            return;
        }
        let key = &self.runtime.sync_key;
        let name = outage_name(key, endpoint);
        let told = Told { endpoint: name, gateway: self.this_gateway(), outage };
        let note = Note { name: note_name(&name), text: told.seal(key) };
        let has_room = self.runtime.worker.borrow_mut().outbox.leave(note);
        self.host.meter.count(match has_room {
            true => Metric::OutageTold,
            false => Metric::GatewaysBehind,
        });
    }

    /// Takes in what others have told under the secret of this key.
    pub(super) fn hear_outages(&self, key: &HostKey, notes: &[String]) {
        if !self.shares_answers() {
            return;
        }
        for text in notes {
            match Told::open(key, text) {
                Some(told) if told.gateway == self.this_gateway() => {}
                Some(told) => self.hear_outage(key, &told),
                None => self.host.meter.count(Metric::GatewaysForged),
            }
        }
    }

    fn hear_outage(&self, key: &HostKey, told: &Told) {
        for (index, endpoint) in self.runtime.config.token_endpoints.iter().enumerate() {
            if outage_name(key, endpoint) != told.endpoint {
                continue;
            }
            let (name, limits) = (self.endpoint_name(endpoint), Limits::of(endpoint));
            let heard = self.shared().update_admission(&name, |admission| {
                match admission.hear(&told.outage, self.now, &limits) {
                    Some(next) => (next, true),
                    None => (admission, false),
                }
            });
            if heard == Some(true) {
                self.host.meter.count(Metric::OutageHeard);
                self.note_outage_heard(index);
            }
        }
    }

    fn this_gateway(&self) -> u64 {
        word(&self.runtime.host_key.digest("gateway that tells", &[]), 0)
    }
}

/// What all gateways of a secret call an endpoint: by its address alone, as
/// [`Facts::endpoint_name`] does.
fn outage_name(key: &HostKey, endpoint: &TokenEndpoint) -> Digest {
    let host = endpoint.host.as_deref().unwrap_or_default();
    key.digest("outage", &[host.as_bytes(), endpoint.path.as_bytes()])
}

#[cfg(test)]
mod tests;
