//! Safelight's engine: `Config -> Facts -> Findings -> RiskRegister -> Verdict -> Plan -> Run -> Events -> Report`.
//! It does no I/O of its own; it asks the drivers, whose traits are in [`driver`].

pub mod check;
pub mod checks;
pub mod config;
pub mod driver;
pub mod event;
pub mod finding;
pub mod plan;
pub mod report;
pub mod risk;
pub mod run;
pub mod text;
pub mod verdict;
pub mod watch;
