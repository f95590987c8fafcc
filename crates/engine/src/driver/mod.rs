//! What the engine asks of the world, as traits. Implemented in `safelight-drivers`; nothing here touches a machine.

pub mod database;
pub mod env;
pub mod host;
pub mod journey;
pub mod net;
pub mod process;
pub mod source;
pub mod state;
pub mod traffic;
