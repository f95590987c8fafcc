//! Who is asking, and whether the request really comes from them.

pub mod origin;
pub mod password;
pub mod session;

/// Failed logins of one email from one address, in [`WINDOW_MS`].
pub const MAX_PER_ACCOUNT: u32 = 5;
/// Failed logins from one address, whatever the emails.
pub const MAX_PER_ADDRESS: u32 = 30;
/// Failed logins of one email from all addresses together: whoever has many of them does not have as many guesses. So
/// high that its owner's own mistakes never reach it.
pub const MAX_PER_EMAIL: u32 = 100;
/// Short links that lead nowhere, asked for from one address, in [`WINDOW_MS`].
pub const MAX_DEAD_LINKS: u32 = 30;
/// Reports of photos from one address, in [`WINDOW_MS`]: many people may share it.
pub const MAX_REPORTS: u32 = 20;
/// Over how long failed logins are counted, in ms.
pub const WINDOW_MS: i64 = 15 * 60 * 1000;
/// How long a session lasts, in ms.
pub const SESSION_MS: i64 = 14 * 24 * 3600 * 1000;
/// How long a set-up link works, in ms.
pub const SETUP_MS: i64 = 24 * 3600 * 1000;
