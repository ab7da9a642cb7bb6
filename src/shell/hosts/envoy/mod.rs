//! Envoy 1.40.

pub mod verify;
