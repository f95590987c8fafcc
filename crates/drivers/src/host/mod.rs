//! The machine itself: commands, files, processes, sockets, file systems.
//! Judges nothing: what a full disk or a taken port means is for the checks to say.

mod diag;
pub(crate) mod exec;
pub mod left;
pub mod local;
pub mod proc;
mod sockets;

pub use exec::leave_running;
pub use local::LocalHost;
