//! What kind of name a host of a URL is, and where a request to it goes from this host.

use crate::{
    check::CheckContext,
    config::value::{UrlParts, url_parts},
    driver::net::NetError,
    text::Text,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What a host name means before anybody is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::checks) enum Place {
    /// `localhost`, `*.localhost`, a loopback address.
    Loopback,
    /// An address that is not a loopback one.
    Literal(IpAddr),
    /// `*.test`: reserved, never in public DNS.
    Reserved,
    /// Anything else: DNS knows.
    Public,
}

/// Classifies a host as [`crate::config::value::url_parts`] returns it.
pub(in crate::checks) fn place(host: &str) -> Place {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if let Ok(ip) = host.parse::<IpAddr>() {
        return if ip.is_loopback() || ip.is_unspecified() { Place::Loopback } else { Place::Literal(ip) };
    }
    if host == "localhost" || host.ends_with(".localhost") {
        Place::Loopback
    } else if host == "test" || host.ends_with(".test") {
        Place::Reserved
    } else {
        Place::Public
    }
}

/// A DNS server as `resolvers` names it: `ip:port`, or an address alone for port 53.
pub(in crate::checks) fn dns_server(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 53)))
}

/// Why a name needs no DNS; `None` when it does.
pub(in crate::checks) fn needs_no_dns(host: &str) -> Option<Text> {
    match place(host) {
        Place::Loopback => Some(crate::text!(
            "{host} is this host itself: no DNS is involved",
            "{host} 就是本机，不经过 DNS"
        )),
        Place::Literal(_) => {
            Some(crate::text!("{host} is an address, not a name", "{host} 是 IP 地址，不是域名"))
        }
        Place::Reserved => Some(crate::text!(
            "{host} ends in .test, which is reserved and never in public DNS",
            "{host} 使用保留后缀 .test，不会出现在公共 DNS 中"
        )),
        Place::Public => None,
    }
}

/// Where a request goes that does not follow DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::checks) struct LocalTarget {
    /// The address to connect to.
    pub(in crate::checks) addr: SocketAddr,
    /// Safelight's own proxy listens there.
    pub(in crate::checks) proxied: bool,
}

/// The address in the environment's `connect`; for a URL whose host is this machine, the proxy's address, or the URL's
/// own port on the loopback interface when no proxy runs. `None` for hosts that DNS has to find.
pub(in crate::checks) fn local_target(ctx: &CheckContext, url: &UrlParts) -> Option<LocalTarget> {
    // What the user says beats what names say: `connect` belongs to the environment's main address.
    let main = url_parts(&ctx.env.url).is_some_and(|m| (&m.host, m.port) == (&url.host, url.port));
    if let Some(addr) = ctx.env.connect.as_ref().filter(|_| main).and_then(|c| c.parse::<SocketAddr>().ok()) {
        return Some(LocalTarget {
            addr,
            proxied: proxy(ctx, true).chain(proxy(ctx, false)).any(|l| l.port() == addr.port()),
        });
    }
    if place(&url.host) != Place::Loopback {
        return None;
    }
    // A proxy on the very port of the URL first: with several listeners only that one is what users reach.
    let at = proxy(ctx, url.tls).find(|a| a.port() == url.port).or_else(|| proxy(ctx, url.tls).next());
    if let Some(at) = at.or_else(|| proxy(ctx, false).next()) {
        let ip = match at.ip() {
            IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(v6) if v6.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        return Some(LocalTarget { addr: SocketAddr::new(ip, at.port()), proxied: true });
    }
    let ip = url.host.parse::<IpAddr>().ok().filter(IpAddr::is_loopback);
    let ip = ip.unwrap_or(Ipv4Addr::LOCALHOST.into());
    Some(LocalTarget { addr: SocketAddr::new(ip, url.port), proxied: false })
}

/// Where Safelight's own proxy listens, with TLS or without.
fn proxy(ctx: &CheckContext, tls: bool) -> impl Iterator<Item = &SocketAddr> {
    if tls { ctx.state.proxy_listen_tls.iter() } else { ctx.state.proxy_listen.iter() }
}

/// True when nobody can answer yet because nothing of this app was ever deployed here: no release is current, and the
/// connection to this very host is refused, or ends in a handshake for which the deploy brings the certificate.
pub(in crate::checks) fn nothing_deployed_yet(
    ctx: &CheckContext,
    target: Option<LocalTarget>,
    e: &NetError,
) -> bool {
    let here = target.is_some_and(|t| t.proxied || t.addr.ip().is_loopback());
    let not_yet = *e == NetError::Refused || (ctx.env.tls.is_some() && matches!(e, NetError::Protocol(_)));
    ctx.state.current.is_none() && here && not_yet
}

/// The words for [`nothing_deployed_yet`].
pub(in crate::checks) fn nothing_deployed_text() -> Text {
    Text::new(
        "nothing is deployed here yet, so nothing answers; the deploy itself verifies this address",
        "这里尚未部署过任何版本，无人应答属正常；部署时会再验证此地址",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_host_reserved_names_and_addresses_need_no_dns() {
        for (host, expected) in [
            ("localhost", Place::Loopback),
            ("film.LOCALHOST", Place::Loopback),
            ("127.0.0.2", Place::Loopback),
            ("::1", Place::Loopback),
            ("a.test", Place::Reserved),
            ("192.0.2.7", Place::Literal(IpAddr::from([192, 0, 2, 7]))),
            ("notlocalhost", Place::Public),
            ("contest", Place::Public),
            ("filmtrip.cn", Place::Public),
        ] {
            assert_eq!(place(host), expected, "{host}");
            assert_eq!(needs_no_dns(host).is_none(), expected == Place::Public, "{host}");
        }
    }
}
