//! The data plane of Safelight: a reverse proxy that moves users from one release to another without losing
//! a request. It runs alone in its process, so that nothing else that restarts takes requests with it.
//!
//! [`run`] is the server; [`ControlClient`] and the types in [`protocol`] talk to it over its unix socket;
//! [`RouteTable`] is what it routes by; [`repair`] brings a damaged table back.

mod accept;
mod activation;
mod client;
mod conn;
mod control;
mod error;
mod gate;
mod gateway;
mod handover;
mod headers;
mod listen;
mod live;
mod metrics;
mod ops;
mod options;
mod owner;
mod pages;
mod probe;
pub mod protocol;
mod replace;
mod router;
mod server;
mod split;
mod store;
pub mod table;
mod tls;
mod upgrade;
mod wire;
mod workers;
mod ws;

pub use client::ControlClient;
pub use error::{ControlError, ProxyError, StoreError, TableError};
pub use headers::{Network, NotANetwork};
pub use options::{Leave, Limits, ListenSpec, ProxyOptions};
pub use replace::{UpgradeError, Upgraded, upgrade};
pub use safelight_certs::CertificateFiles;
pub use server::run;
pub use split::{Sha256Splitter, Splitter};
pub use store::{Repaired, load, previous, repair, save};
pub use table::{Candidate, Release, RouteTable};

/// Locks a mutex whatever a panicking thread did: what is kept in them is valid after every step.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
