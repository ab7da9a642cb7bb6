//! Kong 3.9.

pub mod admitted;
pub mod latch;
