//! FilmTrip, a photo service for people who shoot film.
//! One binary: `serve` does all, or `api` (JSON and images) and `web` (pages) run apart.

pub mod auth;
pub mod capacity;
pub mod cli;
pub mod config;
pub mod db;
pub mod error;
pub mod health;
pub mod i18n;
pub mod intake;
pub mod log;
pub mod model;
pub mod routes;
pub mod server;
pub mod storage;
pub mod templates;
pub mod work;
pub mod zip;

pub use filmtrip_images as images;

/// The version of this build, from the crate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
