//! The command line's side of the host's socket.

use crate::api::{ApiError, AppDetail, ErrorKind, RunOrder, RunRequest, RunStarted, RunSummary, Status};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Incoming},
};
use hyper_util::rt::TokioIo;
use safelight_engine::{event::Event, plan::Plan, text::Text};
use serde::{Serialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// Speaks to the daemon at a socket.
#[derive(Clone, Debug)]
pub struct HostClient {
    socket: PathBuf,
}

/// Events of a run as they come.
pub struct EventStream {
    body: Incoming,
    buffer: Vec<u8>,
}

impl EventStream {
    /// The next event; `None` when the run has ended or the daemon is gone.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                if line.len() > 1 {
                    match serde_json::from_slice(&line) {
                        Ok(e) => return Some(e),
                        Err(e) => tracing::warn!("an event could not be read: {e}"),
                    }
                }
                continue;
            }
            let frame = self.body.frame().await?.ok()?;
            if let Some(data) = frame.data_ref() {
                self.buffer.extend_from_slice(data);
            }
        }
    }
}

impl HostClient {
    /// Speaks to the daemon at `socket`.
    pub fn new(socket: impl AsRef<Path>) -> Self {
        Self { socket: socket.as_ref().to_path_buf() }
    }

    async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Response<Incoming>, ApiError> {
        let s = self.socket.display();
        let gone = |e: &dyn std::fmt::Display| {
            ApiError::new(
                ErrorKind::Failed,
                safelight_engine::text!(
                    "the host daemon does not answer at {s}: {e}",
                    "主机守护进程在 {s} 没有响应：{e}"
                ),
            )
            .with_help(Text::new("start it with `safelight host start`", "用 `safelight host start` 启动"))
        };
        let stream = UnixStream::connect(&self.socket).await.map_err(|e| gone(&e))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| gone(&e))?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "safelight")
            .header("content-type", "application/json")
            .body(Full::<Bytes>::from(body))
            .map_err(ApiError::failed)?;
        sender.send_request(request).await.map_err(|e| gone(&e))
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ApiError> {
        let bytes = match body {
            Some(b) => serde_json::to_vec(b).map_err(ApiError::failed)?,
            None => Vec::new(),
        };
        let response = self.send(method, path, bytes).await?;
        let ok = response.status().is_success();
        let body = response.into_body().collect().await.map_err(ApiError::failed)?.to_bytes();
        if ok {
            serde_json::from_slice(&body).map_err(ApiError::failed)
        } else {
            Err(serde_json::from_slice(&body)
                .unwrap_or_else(|_| ApiError::failed(String::from_utf8_lossy(&body).into_owned())))
        }
    }

    /// What runs on the host.
    pub async fn status(&self) -> Result<Status, ApiError> {
        self.call(Method::GET, "/v1/status", None::<&()>).await
    }
    /// What a run would do.
    pub async fn plan(&self, req: &RunRequest) -> Result<Plan, ApiError> {
        self.call(Method::POST, "/v1/plan", Some(req)).await
    }
    /// Begins a run.
    pub async fn begin(&self, req: &RunRequest) -> Result<RunStarted, ApiError> {
        self.call(Method::POST, "/v1/runs", Some(req)).await
    }
    /// Runs, newest first.
    pub async fn runs(&self) -> Result<Vec<RunSummary>, ApiError> {
        self.call(Method::GET, "/v1/runs", None::<&()>).await
    }
    /// Goes on with a run.
    pub async fn resume(&self, run: &str, order: &RunOrder) -> Result<(), ApiError> {
        self.call(Method::POST, &format!("/v1/runs/{run}/resume"), Some(order)).await
    }
    /// Takes a run back.
    pub async fn abort(&self, run: &str, order: &RunOrder) -> Result<(), ApiError> {
        self.call(Method::POST, &format!("/v1/runs/{run}/abort"), Some(order)).await
    }
    /// One app in one environment.
    pub async fn app(&self, app: &str, env: &str) -> Result<AppDetail, ApiError> {
        self.call(Method::GET, &format!("/v1/apps/{app}/{env}"), None::<&()>).await
    }
    /// Ends the daemon; with `proxy`, the proxy too.
    pub async fn shutdown(&self, proxy: bool) -> Result<(), ApiError> {
        self.call(Method::POST, &format!("/v1/shutdown?proxy={proxy}"), None::<&()>).await
    }
    /// All events of a run after position `after`; with `follow`, also those to come.
    pub async fn events(&self, run: &str, after: u64, follow: bool) -> Result<EventStream, ApiError> {
        let response = self
            .send(Method::GET, &format!("/v1/runs/{run}/events?after={after}&follow={follow}"), Vec::new())
            .await?;
        if response.status().is_success() {
            return Ok(EventStream { body: response.into_body(), buffer: Vec::new() });
        }
        let body = response.into_body().collect().await.map_err(ApiError::failed)?.to_bytes();
        Err(serde_json::from_slice(&body)
            .unwrap_or_else(|_| ApiError::failed("the events could not be read")))
    }
}
