//! Every way in which the proxy, its route table or its control socket can fail.
//! Messages say what failed, where, why, and what to do about it; nothing here prints.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::protocol::ErrorBody;

/// Why the proxy could not start or had to stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The route table on disk could not be used or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A listen address could not be bound.
    #[error("cannot listen on {address}: {reason}{}", owner.as_deref().map(|o| format!("; it is taken by {o}")).unwrap_or_default())]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        reason: std::io::Error,
        /// The process that holds the port, when `/proc` tells.
        owner: Option<String>,
    },
    /// Another live proxy owns the control socket.
    #[error(
        "another proxy is running on {socket}{}; stop it, or start this one with take-over to upgrade it",
        pid.map(|p| format!(" (pid {p})")).unwrap_or_default()
    )]
    AlreadyRunning {
        /// The control socket.
        socket: PathBuf,
        /// Process id written by the owner, when readable.
        pid: Option<u32>,
    },
    /// The control socket, or the files beside it, could not be set up.
    #[error("cannot set up the control socket {path}: {source}")]
    ControlSocket {
        /// The file concerned.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The running proxy did not hand its sockets over.
    #[error("cannot take over from the running proxy at {socket}: {reason}; it goes on serving")]
    TakeOver {
        /// The hand-over socket.
        socket: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// The options contradict each other or are empty.
    #[error("proxy options: {0}")]
    Options(String),
    /// The system refused something that the proxy cannot do without.
    #[error("{what}: {source}")]
    System {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Why the route table on disk could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file is there and cannot be trusted.
    #[error(
        "the route table {path} is damaged: {reason}. The proxy does not start without its routes. \
         Run `safelight proxy repair` to go back to the previous generation ({path}.prev), then start again"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is sound and of a schema that this version does not know.
    #[error(
        "the route table {path} has schema `{found}`, this version reads `{expected}`. \
         Start the version of safelight that wrote it, or run `safelight proxy repair` to go back to the previous generation ({path}.prev)"
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// Schema named by the file.
        found: String,
        /// Schema that this version reads.
        expected: &'static str,
    },
    /// The system refused to read or write it.
    #[error("cannot {what} the route table {path}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Neither the table nor its previous generation can be used.
    #[error(
        "cannot repair {path}: {reason}. Restore it from a backup, or move it away to start with an empty table"
    )]
    Beyond {
        /// The file.
        path: PathBuf,
        /// What is wrong with both generations.
        reason: String,
    },
}

/// Why a table, or a change to it, makes no sense. Nothing has been changed when one is returned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The app or the service does not exist.
    #[error(
        "there is no service `{service}` in app `{app}`; put it first (PUT /v1/services/{app}/{service})"
    )]
    NoService {
        /// App name.
        app: String,
        /// Service name.
        service: String,
    },
    /// The app does not exist.
    #[error("there is no app `{0}`")]
    NoApp(String),
    /// A field has a value that cannot be used.
    #[error("{field}: {reason}")]
    Invalid {
        /// Which field, with the names around it.
        field: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// Two routes answer the same requests.
    #[error("route `{route}` belongs to both {first} and {second}; give one of them another host or prefix")]
    Conflict {
        /// Host and prefix.
        route: String,
        /// One owner, as app/service.
        first: String,
        /// The other owner.
        second: String,
    },
}

/// Why a call over the control socket failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Nobody answers on the socket.
    #[error("no proxy answers on {socket}: {source}; is `safelight proxy` running?")]
    Unreachable {
        /// The control socket.
        socket: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The connection broke before the answer was complete: the change may or may not have been made.
    #[error(
        "the proxy at {socket} broke the connection during {request}: {reason}; read the state before trying again"
    )]
    Broken {
        /// The control socket.
        socket: PathBuf,
        /// Method and path.
        request: String,
        /// What went wrong.
        reason: String,
    },
    /// The proxy answered and refused.
    #[error("the proxy refused {request}: {}", body.message)]
    Refused {
        /// Method and path.
        request: String,
        /// HTTP status.
        status: u16,
        /// What it said.
        body: ErrorBody,
    },
}
