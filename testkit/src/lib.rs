//! Test-beds that several crates share: traffic as users make it, and whole deploys with the real programs.

pub mod bed;
pub mod command;
pub mod processes;
pub mod traffic;
