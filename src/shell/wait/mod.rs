//! How exchanges wait: for the root to wake them, or for calls that are answered after a while.

pub mod poll;
pub mod waiters;
