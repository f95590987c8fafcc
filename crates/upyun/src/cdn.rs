//! URLs on the CDN: originals, styles, parameters, and `_upt` tokens.
//!
//! Sources: `upyun/docs` cloud/image, cdn/advanced, cdn/config.
use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use percent_encoding::percent_decode_str;
use thiserror::Error;

use crate::credentials::{CredentialError, md5_hex, same};
use crate::date::unix_seconds;
use crate::key::encode_path;

/// What stands between a file's URL and its processing; a setting of the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Separator {
    /// `!`, the default.
    #[default]
    Exclamation,
    /// `-`
    Hyphen,
    /// `_`
    Underscore,
}

impl Separator {
    /// All that the console offers.
    pub const ALL: [Self; 3] = [Self::Exclamation, Self::Hyphen, Self::Underscore];

    /// The character.
    pub fn as_char(self) -> char {
        match self {
            Self::Exclamation => '!',
            Self::Hyphen => '-',
            Self::Underscore => '_',
        }
    }
}

impl fmt::Display for Separator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_char())
    }
}

/// Refused separator.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not an Upyun separator; use `!`, `-` or `_` as set for the bucket in the console")]
pub struct BadSeparator(String);

impl FromStr for Separator {
    type Err = BadSeparator;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|separator| text == separator.as_char().encode_utf8(&mut [0; 4]))
            .ok_or_else(|| BadSeparator(text.to_owned()))
    }
}

/// Builds the URLs of one bucket's files on one of its domains.
///
/// ```
/// use safelight_upyun::CdnUrls;
/// let cdn = CdnUrls::new("https://img.example.com");
/// assert_eq!(cdn.style("/2026/a b.jpg", "thumb"), "https://img.example.com/2026/a%20b.jpg!thumb");
/// assert_eq!(cdn.process("a.jpg", "/fw/300"), "https://img.example.com/a.jpg!/fw/300");
/// ```
#[derive(Debug, Clone)]
pub struct CdnUrls {
    base: String,
    separator: Separator,
    token: Option<TokenKey>,
}

impl CdnUrls {
    /// `base` is scheme and host, such as `https://img.example.com`.
    pub fn new(base: impl Into<String>) -> Self {
        let mut base = base.into();
        base.truncate(base.trim_end_matches('/').len());
        Self { base, separator: Separator::default(), token: None }
    }

    /// With another separator than `!`.
    pub fn separator(mut self, separator: Separator) -> Self {
        self.separator = separator;
        self
    }

    /// With tokens, for a domain with hot-link protection. Only [`CdnUrls::signed`] uses it.
    pub fn token(mut self, key: TokenKey) -> Self {
        self.token = Some(key);
        self
    }

    /// The file as stored.
    pub fn original(&self, key: &str) -> String {
        format!("{}{}", self.base, path(key))
    }

    /// The file in a style (缩略图版本) that was made in the console.
    pub fn style(&self, key: &str, style: &str) -> String {
        format!("{}{}{}", self.original(key), self.separator, encode_path(style))
    }

    /// The file processed by parameters, such as `/fw/300/format/webp`.
    pub fn process(&self, key: &str, parameters: &str) -> String {
        let slash = if parameters.starts_with('/') { "" } else { "/" };
        format!("{}{}{slash}{}", self.original(key), self.separator, encode_path(parameters))
    }

    /// A style with parameters after it; they win over the style's own.
    pub fn style_with(&self, key: &str, style: &str, parameters: &str) -> String {
        let slash = if parameters.starts_with('/') { "" } else { "/" };
        format!("{}{slash}{}", self.style(key, style), encode_path(parameters))
    }

    /// The original of a file stored with a Content-Secret. A secret that equals a style's name wins over it.
    pub fn secret(&self, key: &str, secret: &str) -> String {
        self.style(key, secret)
    }

    /// Adds `_upt` to a URL made by the methods above. Without a token key the URL comes back as it is.
    pub fn signed(&self, url: &str, expires: SystemTime) -> String {
        let Some(key) = &self.token else { return url.to_owned() };
        let after_host = url.strip_prefix(&self.base).unwrap_or(url);
        let path = after_host.split(['?', '#']).next().unwrap_or(after_host);
        let joint = if url.contains('?') { '&' } else { '?' };
        format!("{url}{joint}_upt={}", key.token(path, expires))
    }
}

fn path(key: &str) -> String {
    format!("/{}", encode_path(key.strip_prefix('/').unwrap_or(key)))
}

/// Which spelling of a path with non-ASCII characters a token is made over.
///
/// For ASCII paths there is no difference. For others it is *unverified* what the CDN hashes; Cloudreve, which is used
/// in production, hashes the decoded path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenPath {
    /// `/照片.jpg`
    #[default]
    Decoded,
    /// `/%E7%85%A7%E7%89%87.jpg`
    Encoded,
}

/// A token that does not open a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Not eight hexadecimal digits and a time.
    #[error("the _upt token is not eight hexadecimal digits followed by unix seconds")]
    Malformed,
    /// Its time is over.
    #[error("the _upt token expired at {expired_unix} (unix seconds)")]
    Expired {
        /// When.
        expired_unix: u64,
    },
    /// Made for another path or with another key.
    #[error("the _upt token was made for another path or with another key")]
    Mismatch,
}

/// The key of a domain's hot-link protection (Token 防盗链).
#[derive(Clone)]
pub struct TokenKey {
    secret: String,
    path: TokenPath,
}

impl TokenKey {
    /// The key as set in the console.
    ///
    /// # Errors
    /// When it is empty.
    pub fn new(secret: impl Into<String>) -> Result<Self, CredentialError> {
        let secret = secret.into();
        if secret.is_empty() {
            return Err(CredentialError::Empty { what: "CDN token key" });
        }
        Ok(Self { secret, path: TokenPath::default() })
    }

    /// Hashes the other spelling of non-ASCII paths.
    pub fn path(mut self, path: TokenPath) -> Self {
        self.path = path;
        self
    }

    /// The value of the query parameter or cookie `_upt`: `md5(key & expiry & path)[12..20]` and the expiry.
    /// `path` is without query, with the style's suffix, and may be encoded.
    pub fn token(&self, path: &str, expires: SystemTime) -> String {
        let expires = unix_seconds(expires);
        format!("{}{expires}", self.digest(path, expires))
    }

    fn digest(&self, path: &str, expires: u64) -> String {
        let decoded = percent_decode_str(path).decode_utf8_lossy();
        let spelled = match self.path {
            TokenPath::Decoded => decoded.into_owned(),
            TokenPath::Encoded => path.to_owned(),
        };
        let digest = md5_hex(format!("{}&{expires}&{spelled}", self.secret).as_bytes());
        digest.get(12..20).unwrap_or_default().to_owned()
    }

    /// Checks a token as the CDN would.
    ///
    /// # Errors
    /// When the token is malformed, over, or for another path.
    pub fn verify(&self, path: &str, token: &str, now: SystemTime) -> Result<(), TokenError> {
        let (digest, expires) = token.split_at_checked(8).ok_or(TokenError::Malformed)?;
        if expires.is_empty() || !expires.bytes().all(|b| b.is_ascii_digit()) {
            return Err(TokenError::Malformed);
        }
        let expires: u64 = expires.parse().map_err(|_| TokenError::Malformed)?;
        if !same(&self.digest(path, expires), digest) {
            return Err(TokenError::Mismatch);
        }
        if unix_seconds(now) > expires {
            return Err(TokenError::Expired { expired_unix: expires });
        }
        Ok(())
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey").field("secret", &"[redacted]").field("path", &self.path).finish()
    }
}
