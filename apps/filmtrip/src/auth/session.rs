//! Session tokens, their cookie and the CSRF token that belongs to each.

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A fresh random token of 256 bits, in URL-safe text.
#[must_use]
pub fn new_token() -> String {
    let mut bytes = [0u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What the database keeps of a token.
#[must_use]
pub fn token_hash(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

/// The CSRF token of a session: derived from its secret, so that every instance knows it.
#[must_use]
pub fn csrf_token(token: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"filmtrip csrf 1\0");
    hash.update(token.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.finalize())
}

/// Whether a CSRF token belongs to a session; compared in constant time.
#[must_use]
pub fn csrf_matches(session_token: &str, given: &str) -> bool {
    csrf_token(session_token).as_bytes().ct_eq(given.as_bytes()).into()
}

/// Name of the session cookie. `__Host-` pins it to this host and to https.
#[must_use]
pub fn cookie_name(secure: bool) -> &'static str {
    if secure { "__Host-filmtrip_session" } else { "filmtrip_session" }
}

/// The value of `Set-Cookie` that starts a session.
#[must_use]
pub fn set_cookie(secure: bool, token: &str) -> String {
    let max_age = super::SESSION_MS / 1000;
    format!(
        "{}={token}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax{}",
        cookie_name(secure),
        tail(secure)
    )
}

/// The value of `Set-Cookie` that ends it.
#[must_use]
pub fn clear_cookie(secure: bool) -> String {
    format!("{}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax{}", cookie_name(secure), tail(secure))
}

fn tail(secure: bool) -> &'static str {
    if secure { "; Secure" } else { "" }
}

/// The value of a cookie of the request.
#[must_use]
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csrf_token_belongs_to_one_session_and_does_not_reveal_it() {
        let (a, b) = (new_token(), new_token());
        assert!(csrf_matches(&a, &csrf_token(&a)));
        assert!(!csrf_matches(&a, &csrf_token(&b)));
        assert!(!csrf_matches(&a, ""));
        assert!(!csrf_matches(&a, &a));
    }

    #[test]
    fn https_sites_get_host_cookies() {
        let cookie = set_cookie(true, "t");
        assert!(cookie.starts_with("__Host-filmtrip_session=t; Path=/; "));
        assert!(cookie.ends_with("HttpOnly; SameSite=Lax; Secure"));
        assert!(!set_cookie(false, "t").contains("Secure"));
    }

    #[test]
    fn cookies_are_found_by_whole_name() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::COOKIE,
            "xfilmtrip_session=no; filmtrip_session=yes; z=1".parse().expect("value"),
        );
        assert_eq!(cookie(&headers, "filmtrip_session"), Some("yes"));
        assert_eq!(cookie(&headers, "session"), None);
    }
}
