//! Talks to a running proxy. One connection per call: a client may be kept across upgrades of the proxy.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::error::ControlError;
use crate::protocol::{
    CertificateState, ChangeReport, ErrorBody, Hold, MetricsReport, PutService, ReleaseHold, ReleaseReport,
    SetCandidate, SetShare, State, Switch,
};

/// Client of the control socket. Calls have no time limit of their own: a switch takes as long as its drain.
#[derive(Debug, Clone)]
pub struct ControlClient {
    socket: PathBuf,
}

impl ControlClient {
    /// A client for the proxy on this socket; connects with every call.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What runs and what is routed.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn state(&self) -> Result<State, ControlError> {
        self.call(Method::GET, "/v1/state", None::<&()>).await
    }

    /// Counters per service and version.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn metrics(&self) -> Result<MetricsReport, ControlError> {
        self.call(Method::GET, "/v1/metrics", None::<&()>).await
    }

    /// Adds or replaces a service and its routes.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn put(
        &self,
        app: &str,
        service: &str,
        put: &PutService,
    ) -> Result<ChangeReport, ControlError> {
        self.call(Method::PUT, &format!("/v1/services/{app}/{service}"), Some(put)).await
    }

    /// Moves users to a release; returns when the one that left may be stopped.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn switch(
        &self,
        app: &str,
        service: &str,
        switch: &Switch,
    ) -> Result<ChangeReport, ControlError> {
        self.post(app, service, "switch", switch).await
    }

    /// Sets or clears the candidate.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn candidate(
        &self,
        app: &str,
        service: &str,
        set: &SetCandidate,
    ) -> Result<ChangeReport, ControlError> {
        self.post(app, service, "candidate", set).await
    }

    /// Changes the share of users that reach the candidate.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn share(&self, app: &str, service: &str, share: f64) -> Result<ChangeReport, ControlError> {
        self.post(app, service, "share", &SetShare { share }).await
    }

    /// Holds new requests; returns when those in flight are done.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn hold(&self, app: &str, service: &str, hold: &Hold) -> Result<ChangeReport, ControlError> {
        self.post(app, service, "hold", hold).await
    }

    /// Lets held requests go.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn release(&self, app: &str, service: &str) -> Result<ReleaseReport, ControlError> {
        self.post(app, service, "release", &ReleaseHold {}).await
    }

    /// Removes a service with its routes; returns when its requests are done.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn delete_service(&self, app: &str, service: &str) -> Result<ChangeReport, ControlError> {
        self.call(Method::DELETE, &format!("/v1/services/{app}/{service}"), None::<&()>).await
    }

    /// Removes an app; returns when its requests are done.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn delete_app(&self, app: &str) -> Result<ChangeReport, ControlError> {
        self.call(Method::DELETE, &format!("/v1/apps/{app}"), None::<&()>).await
    }

    /// Makes the proxy read all certificates again.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn reload_certificates(&self) -> Result<Vec<CertificateState>, ControlError> {
        self.call(Method::POST, "/v1/certificates/reload", None::<&()>).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        app: &str,
        service: &str,
        verb: &str,
        body: &impl Serialize,
    ) -> Result<T, ControlError> {
        self.call(Method::POST, &format!("/v1/services/{app}/{service}/{verb}"), Some(body)).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ControlError> {
        let request_name = format!("{method} {path}");
        let broken = |reason: String| ControlError::Broken {
            socket: self.socket.clone(),
            request: request_name.clone(),
            reason,
        };
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|source| ControlError::Unreachable { socket: self.socket.clone(), source })?;
        let json = body.map(serde_json::to_vec).transpose().map_err(|e| broken(e.to_string()))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, "localhost")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(json.unwrap_or_default())))
            .map_err(|e| broken(e.to_string()))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|e| broken(e.to_string()))?;
        let driver = tokio::spawn(connection);
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            Ok::<_, hyper::Error>((status, response.into_body().collect().await?.to_bytes()))
        };
        let answer = answer.await;
        driver.abort();
        let (status, bytes) = answer.map_err(|e| broken(e.to_string()))?;
        if status.is_success() {
            return serde_json::from_slice(&bytes)
                .map_err(|e| broken(format!("its answer does not parse: {e}")));
        }
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| ErrorBody {
            code: "unknown".into(),
            message: String::from_utf8_lossy(&bytes).into_owned(),
        });
        Err(ControlError::Refused { request: request_name, status: status.as_u16(), body })
    }
}
