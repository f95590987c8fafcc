//! User journeys: what a user does, run against any address.

use super::host::HostError;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

/// Where and how to run journeys.
#[derive(Clone)]
pub struct JourneyRun {
    /// The files.
    pub files: Vec<PathBuf>,
    /// Base URL, given to the journey as `base_url`.
    pub base_url: String,
    /// Reach the host of `base_url` at this address.
    pub connect_to: Option<SocketAddr>,
    /// Other variables.
    pub variables: BTreeMap<String, String>,
    /// Variables that must never be shown.
    pub secrets: BTreeMap<String, String>,
    /// For one whole journey.
    pub timeout: Duration,
}

/// How one journey ended. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JourneyResult {
    /// File stem.
    pub name: String,
    /// All steps passed.
    pub ok: bool,
    /// Steps that ran.
    pub steps: usize,
    /// Requests that it sent, with retries and redirects.
    #[serde(default)]
    pub requests: u64,
    /// Milliseconds in all.
    pub millis: u64,
    /// `file:line`, what was expected and what came, when it failed.
    pub failure: Option<String>,
}

/// Runs journeys.
#[async_trait]
pub trait Journeys: Send + Sync {
    /// Runs all files one after the other. A journey that fails is a result, not an error; a file that cannot be read
    /// or understood is an error.
    async fn run(&self, run: &JourneyRun) -> Result<Vec<JourneyResult>, HostError>;
}
