//! Upyun (又拍云) on loopback: enough of it to develop and test against, good and bad.
//!
//! It must not send anything off this machine unless it is told to. What it does follows the sources named in
//! [`safelight_upyun`]; where they leave a question open, the code says *unverified* and takes the likelier side.
//!
//! Three listeners on 127.0.0.1: the API (REST, form, purge), the CDN (domains by `Host` header) and a control API
//! with the same powers as the methods of [`Emulator`].
//!
//! The official SDKs for Node.js and Python and Apache OpenDAL's Upyun service work against it (see its tests), but for
//! two things in which OpenDAL 0.59 disagrees with the documentation: it takes the 201 that completes a resumable
//! upload to a *new* name for a failure (the file is stored), and its recursive deletion begins at the folder, which
//! has to be empty.
//!
//! Not emulated: TLS (put a proxy in front), GIF, watermarks, video, FTP, the console API.
//!
//! ```
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! use safelight_upyun::{Client, Operator, PutOptions};
//! use safelight_upyun_emulator::{Config, Emulator};
//!
//! let emulator = Emulator::start(Config::single("photos", "operator", "secret")).await?;
//! let client =
//!     Client::builder("photos", Operator::new("operator", "secret")?).endpoint(emulator.api_endpoint()).build()?;
//! client.put("/a.txt", "hello", &PutOptions::default()).await?;
//! assert_eq!(emulator.file("photos", "/a.txt").as_deref(), Some(&b"hello"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod admin;
mod auth;
mod cdn;
mod config;
mod control;
mod faults;
mod form;
mod image;
mod meta;
mod multi;
mod notify;
mod purge;
mod refusal;
mod rest;
mod server;
mod world;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub use admin::{BucketChange, EditError, OperatorChange};
pub use config::{BucketConfig, CallbackConfig, Config, DomainConfig, OperatorConfig, Rights};
pub use faults::{CallbackFaults, Faults, Forgery, Outage};
pub use notify::{CallbackRecord, Outcome};
pub use world::RequestRecord;

use server::Shared;
use world::World;

/// Why the emulator did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// A port is taken, or may not be used.
    #[error(
        "the {listener} listener cannot use 127.0.0.1:{port}: {source}; choose another port, or 0 for a free one"
    )]
    Bind {
        /// Which listener.
        listener: &'static str,
        /// The port.
        port: u16,
        /// Why.
        source: std::io::Error,
    },
    /// An empty secret or a name that cannot be sent.
    #[error("the configuration has unusable credentials: {0}")]
    Credentials(safelight_upyun::CredentialError),
    /// A bucket's name is part of paths; `purge` is taken by the purge API.
    #[error("{name:?} cannot be a bucket's name; use letters, digits, dot, hyphen or underscore")]
    BadBucket {
        /// The refused name.
        name: String,
    },
    /// The client that sends callbacks.
    #[error("the HTTP client for callbacks cannot be set up: {0}")]
    Http(reqwest::Error),
}

/// A running emulator. Dropping it stops it.
pub struct Emulator {
    shared: Arc<Shared>,
    api: SocketAddr,
    cdn: SocketAddr,
    control: SocketAddr,
    _servers: JoinSet<()>,
}

impl std::fmt::Debug for Emulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Emulator").field("api", &self.api).field("cdn", &self.cdn).finish_non_exhaustive()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

async fn listen(listener: &'static str, port: u16) -> Result<(TcpListener, SocketAddr), StartError> {
    let bind = |source| StartError::Bind { listener, port, source };
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(bind)?;
    let address = socket.local_addr().map_err(bind)?;
    Ok((socket, address))
}

impl Emulator {
    /// Starts it inside the current tokio runtime.
    ///
    /// # Errors
    /// When a port is taken or the configuration cannot be used.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let world = World::new(&config)?;
        let http = http(&config).map_err(StartError::Http)?;
        let (api_socket, api) = listen("API", config.api_port).await?;
        let (cdn_socket, cdn) = listen("CDN", config.cdn_port).await?;
        let (control_socket, control) = listen("control", config.control_port).await?;
        let shared = Arc::new(Shared::new(config, world, http));
        let mut servers = JoinSet::new();
        let routers = [
            (api_socket, server::api(&shared)),
            (cdn_socket, server::cdn(&shared)),
            (control_socket, control::router(&shared)),
        ];
        for (socket, router) in routers {
            servers.spawn(async move {
                // It serves until it is aborted; an error of accept is retried inside.
                let _ = axum::serve(socket, router).await;
            });
        }
        Ok(Self { shared, api, cdn, control, _servers: servers })
    }

    /// `http://127.0.0.1:port` of REST, form and purge API.
    pub fn api_endpoint(&self) -> String {
        format!("http://{}", self.api)
    }

    /// `http://127.0.0.1:port` of the CDN. With [`Config::single`] it serves the bucket under this very address.
    pub fn cdn_endpoint(&self) -> String {
        format!("http://{}", self.cdn)
    }

    /// `http://127.0.0.1:port` of the control API.
    pub fn control_endpoint(&self) -> String {
        format!("http://{}", self.control)
    }

    /// The faults that are switched on.
    pub fn faults(&self) -> Faults {
        self.shared.world().faults.clone()
    }

    /// Switches faults on and off.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.world().faults = faults;
    }

    /// Changes a bucket's settings.
    ///
    /// # Errors
    /// When there is no such bucket or a value cannot be used.
    pub fn change_bucket(&self, bucket: &str, change: BucketChange) -> Result<(), EditError> {
        self.shared.change_bucket(bucket, change)
    }

    /// Makes or changes a style.
    ///
    /// # Errors
    /// When there is no such bucket, or the parameters are not emulated.
    pub fn set_style(&self, bucket: &str, style: &str, parameters: &str) -> Result<(), EditError> {
        self.shared.set_style(bucket, style, parameters)
    }

    /// Removes a style.
    ///
    /// # Errors
    /// When there is no such bucket.
    pub fn remove_style(&self, bucket: &str, style: &str) -> Result<(), EditError> {
        self.shared.remove_style(bucket, style)
    }

    /// Makes or changes an operator: password, rights, blocking.
    ///
    /// # Errors
    /// When a new operator has no password.
    pub fn change_operator(&self, name: &str, change: OperatorChange) -> Result<(), EditError> {
        self.shared.change_operator(name, change)
    }

    /// Removes an operator: its key is revoked.
    pub fn revoke_operator(&self, name: &str) {
        self.shared.world().operators.remove(name);
    }

    /// Binds a domain to a bucket, with the key of its tokens if it has one. Its cache starts empty.
    ///
    /// # Errors
    /// When there is no such bucket or the key is empty.
    pub fn bind_domain(&self, host: &str, bucket: &str, token: Option<&str>) -> Result<(), EditError> {
        self.shared.bind_domain(host, bucket, token)
    }

    /// Unbinds a domain: requests for it get 400, code 40010041.
    pub fn unbind_domain(&self, host: &str) {
        self.shared.world().domains.remove(&host.to_ascii_lowercase());
    }

    /// Empties all caches of the CDN.
    pub fn flush_cdn(&self) {
        self.shared.flush_cdn();
    }

    /// A stored file's content.
    pub fn file(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        let mut world = self.shared.world();
        let file = world.bucket(bucket).ok()?.file(key.trim_matches('/')).ok()?;
        Some(file.data.to_vec())
    }

    /// All callbacks so far.
    pub fn callbacks(&self) -> Vec<CallbackRecord> {
        self.shared.callbacks.all()
    }

    /// Waits until at least `n` callbacks were delivered, lost, refused or given up. `None` after `timeout`.
    pub async fn settled_callbacks(&self, n: usize, timeout: Duration) -> Option<Vec<CallbackRecord>> {
        self.shared.callbacks.settled(n, timeout).await
    }

    /// Sends a forged callback of these fields to `url`, once, as if `operator` had signed it.
    pub async fn forge_callback(
        &self,
        url: &str,
        operator: &str,
        forgery: Forgery,
        fields: &Map<String, Value>,
    ) {
        notify::forge(&self.shared, url, operator, forgery, fields).await;
    }

    /// The last 10,000 requests to API and CDN.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.world().requests.iter().cloned().collect()
    }
}

fn http(config: &Config) -> Result<reqwest::Client, reqwest::Error> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // A race with another installer is harmless: either one serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let mut builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
    for (host, address) in &config.callback.hosts {
        builder = builder.resolve(host, *address);
    }
    builder.build()
}
