//! What the host knows of a request beside its headers.

use crate::proof::mtls;
use crate::request::Surroundings;

use super::abi;
use super::hosts::Dialect;

/// What the host knows beside the headers.
pub struct Around<'a> {
    /// The host that runs this worker.
    pub dialect: Dialect,
    /// The route, on a host that can't be asked for it at any time (Kong).
    pub route: Option<&'a str>,
}

impl Surroundings for Around<'_> {
    fn address(&self) -> Option<String> {
        self.dialect.address()
    }
    fn route(&self) -> Option<String> {
        match self.dialect.caps().tells_route_late {
            true => self.dialect.route(),
            false => self.route.map(str::to_owned),
        }
    }
    fn client_certificate(&self) -> bool {
        (self.dialect.caps().client_certificate)()
    }
    fn certificate_digest(&self) -> Option<[u8; 32]> {
        mtls::of_hex(&abi::property(self.dialect.caps().certificate_digest?)?)
    }
}
