//! Drivers: everything that touches a machine, behind the traits of `safelight_engine::driver`.
//! They build commands and parse output; they judge nothing.

pub mod blocking;
pub mod database;
pub mod host;
pub mod net;
pub mod process;
pub mod source;

pub(crate) use safelight_engine::driver::env::hex;
