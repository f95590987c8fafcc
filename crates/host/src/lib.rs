//! The host daemon: one per server. Owns releases, journal, backups and the watch, and answers on a unix socket.
//! It carries no traffic: the proxy does, in a process of its own that outlives this one.

mod active;
pub mod adapters;
pub mod api;
pub mod backup;
pub mod client;
pub mod context;
mod fault;
mod going_back;
mod guard;
mod inside;
mod keeping;
pub mod logs;
pub mod own;
pub mod paths;
mod project;
mod reserve;
mod revive;
pub mod runs;
pub mod server;
mod status;
pub mod store;
pub mod supervise;
pub mod trouble;
pub mod watching;
pub mod world;
