//! Tells the host's access log why a request got its answer.

use crate::reply::{Answer, Why};

use super::abi;
use super::hosts::Dialect;

/// Answers the client, and says why.
pub fn respond(answer: &Answer, dialect: Dialect) -> bool {
    answer.why.iter().for_each(|why| tell(why, dialect));
    let details = format!("herdgate_{}", answer.details);
    abi::respond(answer.status, &answer.headers, &answer.body, &details)
}

/// Sets what access logs and other filters read.
pub fn tell(why: &Why, dialect: Dialect) {
    for (name, value) in why.parts() {
        if !(dialect.caps().tell)(name, value) {
            return;
        }
    }
}
