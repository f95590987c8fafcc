//! Extractors: who is logged in, and whether a change may be made in their name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;

use super::Api;
use crate::auth::{origin, session};
use crate::db::accounts::{self, User};
use crate::db::visibility::Viewer;
use crate::error::ApiError;

/// A request with a valid session.
#[derive(Debug, Clone)]
pub struct Session {
    /// The account.
    pub user: User,
    /// The session's secret token.
    pub token: String,
}

impl Session {
    /// The viewer that this account is.
    #[must_use]
    pub fn viewer(&self) -> Viewer {
        Viewer::of(self.user.id, self.user.role)
    }
}

/// A request that may have a session.
#[derive(Debug, Clone)]
pub struct MaybeSession(pub Option<Session>);

impl MaybeSession {
    /// Who is looking.
    #[must_use]
    pub fn viewer(&self) -> Viewer {
        self.0.as_ref().map_or(Viewer::Anonymous, Session::viewer)
    }
}

/// A session whose request comes from this site and carries the CSRF token in `X-CSRF-Token`.
#[derive(Debug, Clone)]
pub struct Change(pub Session);

impl FromRequestParts<Arc<Api>> for MaybeSession {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, ApiError> {
        let name = session::cookie_name(api.config.secure());
        let Some(token) = session::cookie(&parts.headers, name).map(str::to_owned) else {
            return Ok(Self(None));
        };
        let hash = session::token_hash(&token);
        let user = api.db.call(move |sql| Ok(accounts::by_session(sql, &hash)?)).await?;
        Ok(Self(user.map(|user| Session { user, token })))
    }
}

impl FromRequestParts<Arc<Api>> for Session {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, ApiError> {
        MaybeSession::from_request_parts(parts, api).await?.0.ok_or(ApiError::Unauthenticated)
    }
}

impl FromRequestParts<Arc<Api>> for Change {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, ApiError> {
        let session = Session::from_request_parts(parts, api).await?;
        let from_here = origin::allowed(&parts.headers, api.config.public_origin.as_deref());
        let given = csrf_header(parts);
        if !from_here || !given.is_some_and(|t| session::csrf_matches(&session.token, t)) {
            return Err(ApiError::Csrf);
        }
        Ok(Self(session))
    }
}

/// The CSRF token in the request's headers.
pub(super) fn csrf_header(parts: &Parts) -> Option<&str> {
    parts.headers.get("x-csrf-token").and_then(|v| v.to_str().ok())
}

/// The client's address, for counting attempts.
pub(super) fn client(parts: &Parts, api: &Api) -> IpAddr {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip());
    network(origin::client_address(peer, &parts.headers, &api.config.trusted_proxies))
}

/// Whoever has one IPv6 address has a whole /64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}
