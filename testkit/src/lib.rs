//! Test-beds that several crates share: traffic as users make it, and whole deploys with the real programs.

pub mod bed;
pub mod command;
pub mod hearing;
pub mod machine;
mod not_run;
pub mod pm2;
pub mod processes;
pub mod traffic;

pub use not_run::not_run;
