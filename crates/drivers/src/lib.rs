//! Drivers: everything that touches a machine, behind the traits of `safelight_engine::driver`.
//! They build commands and parse output; they judge nothing.

pub mod database;
pub mod host;
pub mod net;
pub mod process;
pub mod source;

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
