//! A client's request: its headers in one block, its path, the token in it, and what of a token's
//! claims it carries on to the API. Nothing here knows whether a token is good.

pub mod bearer;
pub mod forward;
mod headers;
pub mod path;

pub use headers::*;
