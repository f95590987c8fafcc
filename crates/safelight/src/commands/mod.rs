//! The commands, one file each: arguments, help and function together.

pub(crate) mod abort;
pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod deploy;
pub(crate) mod doctor;
pub(crate) mod history;
pub(crate) mod host;
pub(crate) mod init;
pub(crate) mod logs;
pub(crate) mod plan;
pub(crate) mod proxy;
pub(crate) mod report;
pub(crate) mod resume;
pub(crate) mod rollback;
pub(crate) mod status;
pub(crate) mod verify;
pub(crate) mod watch;
