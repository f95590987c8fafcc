//! Test-beds that several crates share: traffic as users make it, and (in `tests/`) whole deploys with the real programs.

pub mod traffic;
