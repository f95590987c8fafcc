//! Request headers on their way to a release: who the client is, which host it asked for, and what must
//! not be forged. Hop-by-hop headers are pingora's.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::{HeaderMap, HeaderName, HeaderValue};
use pingora_core::protocols::http::authority::{
    RawTargetAuthority, is_http_family_scheme, raw_target_authority,
};
use pingora_core::{Error, ErrorType, OrErr as _};
use pingora_http::RequestHeader;
use serde::{Deserialize, Serialize};

/// Header with the secret that reaches a candidate; never forwarded.
pub(crate) const RELEASE_HEADER: &str = "x-safelight-release";

/// Headers in which clients like to say who they are: dropped unless they come from a trusted proxy.
const FORGEABLE: [&str; 8] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-real-ip",
    "x-original-host",
];

const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// A network such as `10.0.0.0/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// A text is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address or a network such as 10.0.0.0/8")]
pub struct NotANetwork(String);

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || NotANetwork(text.into());
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| fail())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |b| b.parse().map_err(|_| fail()))?;
        if bits > most { Err(fail()) } else { Ok(Self { address, bits }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = if self.address.is_ipv4() { 32 } else { 128 };
        if self.bits == most {
            return write!(f, "{}", self.address);
        }
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl TryFrom<String> for Network {
    type Error = NotANetwork;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl Network {
    /// Whether the address lies in the network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                (u32::from(a) ^ u32::from(b)).checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                (u128::from(a) ^ u128::from(b)).checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// Whether no line of a header ends with LF alone. Some parsers take that for the end of a line and some do not, and a
/// request is smuggled between two that differ.
pub(crate) fn ends_lines_with_crlf(header: &[u8]) -> bool {
    let mut lines = header.split(|b| *b == b'\n');
    // What follows the last line end is no line.
    lines.next_back();
    lines.all(|line| line.ends_with(b"\r"))
}

/// `GET http://example.com/x`: brings the address to where releases look for it, into path and Host. Pingora has refused
/// one that contradicts a Host header.
///
/// # Errors
/// When the target is neither a path, nor `*`, nor a whole address of http.
pub(crate) fn to_origin_form(request: &mut RequestHeader) -> pingora_core::Result<()> {
    let target = request.raw_path();
    if target.starts_with(b"/") || target == b"*" {
        return Ok(());
    }
    let (host, path) = match raw_target_authority(target) {
        RawTargetAuthority::Absolute { scheme, authority, path_and_query }
            if is_http_family_scheme(scheme) && !authority.is_empty() =>
        {
            let root: &[u8] = if path_and_query.starts_with(b"/") { b"" } else { b"/" };
            (HeaderValue::from_bytes(authority), [root, path_and_query].concat())
        }
        _ => return Error::e_explain(ErrorType::InvalidHTTPHeader, "a request target of no known form"),
    };
    let host = host.or_err(ErrorType::InvalidHTTPHeader, "a host that is no header")?;
    request.set_raw_path(&path)?;
    request.insert_header(http::header::HOST, host)
}

/// Sets what a release may believe. `scheme` is how this proxy was reached.
pub(crate) fn forward(
    request: &mut RequestHeader,
    peer: SocketAddr,
    scheme: &str,
    trusted: &[Network],
) -> pingora_core::Result<()> {
    let peer = peer.ip().to_canonical();
    // Most requests bring none of these: one look over the names is cheaper than asking for each.
    let claims = request.headers.keys().any(|n| FORGEABLE.contains(&n.as_str()));
    let believe = claims && trusted.iter().any(|n| n.contains(peer));
    let text = |headers: &HeaderMap, name: &str| {
        headers.get(name).filter(|_| believe).and_then(|v| v.to_str().ok()).map(str::to_owned)
    };
    let all = |headers: &HeaderMap, name: &str| {
        let values: Vec<&str> = headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).collect();
        if values.is_empty() { None } else { Some(values.join(", ")) }
    };
    let chain = if believe { all(&request.headers, "x-forwarded-for") } else { None };
    let proto = text(&request.headers, "x-forwarded-proto");
    let host = text(&request.headers, "x-forwarded-host");
    let real = text(&request.headers, "x-real-ip");
    let port = text(&request.headers, "x-forwarded-port");
    let asked = request.headers.get(http::header::HOST).cloned();
    if claims {
        for name in FORGEABLE {
            request.remove_header(name);
        }
    }
    if request.headers.contains_key(RELEASE_HEADER) {
        request.remove_header(RELEASE_HEADER);
    }

    let peer = peer.to_string();
    let client = chain.as_deref().and_then(|c| client_of(c, trusted));
    request.insert_header(X_REAL_IP, client.or(real.as_deref()).unwrap_or(&peer))?;
    let chain = chain.map_or_else(|| peer.clone(), |c| format!("{c}, {peer}"));
    request.insert_header(X_FORWARDED_FOR, chain)?;
    request.insert_header(X_FORWARDED_PROTO, proto.as_deref().unwrap_or(scheme))?;
    if let Some(port) = port {
        request.insert_header("x-forwarded-port", port)?;
    }
    match (host, asked) {
        (Some(host), _) => request.insert_header(X_FORWARDED_HOST, host)?,
        (None, Some(host)) => request.insert_header(X_FORWARDED_HOST, host)?,
        (None, None) => {}
    }
    Ok(())
}

/// The client that a chain of trusted proxies leads back to: the last address in it that is none of them. What stands
/// before that one is only what the client itself says.
fn client_of<'c>(chain: &'c str, trusted: &[Network]) -> Option<&'c str> {
    let is_proxy = |text: &str| text.parse().is_ok_and(|a| trusted.iter().any(|n| n.contains(a)));
    let mut addresses = chain.rsplit(',').map(str::trim);
    addresses.find(|a| !is_proxy(a)).or_else(|| chain.split(',').next().map(str::trim))
}

/// Whether a trusted proxy in front says that its client came over TLS.
pub(crate) fn came_over_tls(headers: &HeaderMap, peer: SocketAddr, trusted: &[Network]) -> bool {
    let peer = peer.ip().to_canonical();
    trusted.iter().any(|n| n.contains(peer))
        && headers.get("x-forwarded-proto").is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"https"))
}

/// Bytes of all names and values, with what stands between them on the wire.
pub(crate) fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(n, v)| n.as_str().len() + v.len() + 4).sum()
}

/// Value of a cookie, from any of the cookie headers.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(http::header::COOKIE).iter().filter_map(|v| v.to_str().ok());
    lines.flat_map(|line| line.split(';')).find_map(|pair| {
        pair.trim().split_once('=').filter(|(n, _)| *n == name).map(|(_, v)| v.trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for (name, value) in headers {
            request.append_header(*name, *value).unwrap();
        }
        request
    }

    fn header<'a>(request: &'a RequestHeader, name: &str) -> Option<&'a str> {
        request.headers.get(name).map(|v| v.to_str().unwrap())
    }

    const FORGED: [(&str, &str); 6] = [
        ("host", "example.com"),
        ("x-forwarded-for", "192.0.2.66"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "other.example.com"),
        ("x-real-ip", "192.0.2.66"),
        ("forwarded", "for=192.0.2.66"),
    ];

    #[test]
    fn a_client_cannot_say_who_it_is() {
        let mut r = request(&FORGED);
        forward(&mut r, "192.0.2.1:5".parse().unwrap(), "http", &[]).unwrap();
        assert_eq!(header(&r, "x-forwarded-for"), Some("192.0.2.1"));
        assert_eq!(header(&r, "x-real-ip"), Some("192.0.2.1"));
        assert_eq!(header(&r, "x-forwarded-proto"), Some("http"));
        assert_eq!(header(&r, "x-forwarded-host"), Some("example.com"));
        assert_eq!(header(&r, "forwarded"), None);
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_added_to_the_chain() {
        let mut r = request(&FORGED);
        let trusted = ["192.0.2.0/24".parse().unwrap()];
        forward(&mut r, "192.0.2.1:5".parse().unwrap(), "http", &trusted).unwrap();
        assert_eq!(header(&r, "x-forwarded-for"), Some("192.0.2.66, 192.0.2.1"));
        assert_eq!(header(&r, "x-forwarded-proto"), Some("https"));
        assert_eq!(header(&r, "x-forwarded-host"), Some("other.example.com"));
    }

    #[test]
    fn the_client_is_whom_the_last_trusted_proxy_met_and_not_whom_a_client_names() {
        let trusted = ["127.0.0.1".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        for (chain, client) in [
            ("203.0.113.9", "203.0.113.9"),
            // Said by the client, met by nginx.
            ("192.0.2.66, 203.0.113.9", "203.0.113.9"),
            ("192.0.2.66, 203.0.113.9, 10.1.2.3", "203.0.113.9"),
            ("10.1.2.3", "10.1.2.3"),
        ] {
            let mut r = request(&[("x-forwarded-for", chain), ("x-real-ip", "192.0.2.66")]);
            forward(&mut r, "127.0.0.1:5".parse().unwrap(), "http", &trusted).unwrap();
            assert_eq!(header(&r, "x-real-ip"), Some(client), "{chain}");
            assert_eq!(header(&r, "x-forwarded-for"), Some(format!("{chain}, 127.0.0.1").as_str()));
        }
    }

    #[test]
    fn a_network_is_written_as_it_is_read() {
        for text in ["10.0.0.0/8", "127.0.0.1", "::1", "fd00::/8"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
        assert_eq!("127.0.0.1/32".parse::<Network>().unwrap().to_string(), "127.0.0.1");
    }

    #[test]
    fn networks_contain_what_lies_in_them() {
        let contains = |n: &str, a: &str| n.parse::<Network>().unwrap().contains(a.parse().unwrap());
        assert!(contains("10.0.0.0/8", "10.9.9.9") && !contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("0.0.0.0/0", "192.0.2.1") && !contains("0.0.0.0/0", "::1"));
        assert!(contains("192.0.2.1", "::ffff:192.0.2.1") && contains("::/0", "::1"));
        assert!("10.0.0.0/33".parse::<Network>().is_err() && "ten".parse::<Network>().is_err());
    }

    #[test]
    fn a_cookie_is_found_in_any_header_line_and_not_by_part_of_its_name() {
        let r = request(&[("cookie", "xid=1; a=2"), ("cookie", "id=\"3\"")]);
        assert_eq!(cookie(&r.headers, "id"), Some("3"));
        assert_eq!(cookie(&r.headers, "d"), None);
    }
}
