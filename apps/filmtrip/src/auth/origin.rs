//! Where a request comes from: the site that made it, and the address of the client.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};

/// Whether a changing request may come from where it says it comes from. A browser always sends
/// `Origin` with one; a client without it is no browser, and then the CSRF token decides alone.
#[must_use]
pub fn allowed(headers: &HeaderMap, public_origin: Option<&str>) -> bool {
    let text = |name| headers.get(name).and_then(|v: &axum::http::HeaderValue| v.to_str().ok());
    if let Some(value) = headers.get(header::ORIGIN) {
        let Ok(origin) = value.to_str() else { return false };
        if public_origin.is_some_and(|p| p.eq_ignore_ascii_case(origin)) {
            return true;
        }
        // A test host name in front of the same process: the browser's own Host is proof enough.
        let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        return authority.is_some() && authority == text(header::HOST);
    }
    !matches!(text(header::HeaderName::from_static("sec-fetch-site")), Some("cross-site" | "same-site"))
}

/// The client's address: the last one in `X-Forwarded-For` that no trusted proxy has, when the
/// request came through one.
#[must_use]
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpAddr]) -> IpAddr {
    let peer = peer.to_canonical();
    if !trusted.contains(&peer) {
        return peer;
    }
    let forwarded: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(str::trim)
        .collect();
    let mut client = peer;
    for text in forwarded.iter().rev() {
        let Ok(address) = text.parse::<IpAddr>() else { break };
        client = address.to_canonical();
        if !trusted.contains(&client) {
            break;
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (k.parse().expect("name"), v.parse().expect("value"))).collect()
    }

    #[test]
    fn other_sites_are_refused_and_the_site_itself_is_not() {
        let public = Some("https://example.com");
        let ok = |pairs: &[(&'static str, &'static str)]| allowed(&headers(pairs), public);
        assert!(ok(&[("origin", "https://example.com"), ("host", "10.0.0.1:3001")]));
        assert!(ok(&[("origin", "https://test.example.com"), ("host", "test.example.com")]));
        assert!(ok(&[("host", "example.com")]));
        assert!(!ok(&[("origin", "https://evil.example"), ("host", "example.com")]));
        assert!(!ok(&[("origin", "null"), ("host", "example.com")]));
        assert!(!ok(&[("sec-fetch-site", "cross-site"), ("host", "example.com")]));
    }

    #[test]
    fn forwarded_addresses_are_believed_from_trusted_proxies_only() {
        let proxy: IpAddr = "127.0.0.1".parse().expect("ip");
        let other: IpAddr = "192.0.2.9".parse().expect("ip");
        let forged = headers(&[("x-forwarded-for", "198.51.100.1, 192.0.2.7, 127.0.0.1")]);
        assert_eq!(client_address(proxy, &forged, &[proxy]).to_string(), "192.0.2.7");
        assert_eq!(client_address(other, &forged, &[proxy]), other);
        assert_eq!(client_address(proxy, &headers(&[]), &[proxy]), proxy);
    }
}
