//! The HMAC-SHA1 scheme: what goes into the string to sign, and how an `Authorization` value is read.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::credentials::{Operator, md5_hex};

/// The lower-case hexadecimal MD5 that Upyun calls Content-MD5 (RFC 1864 would be base64).
pub fn content_md5(body: &[u8]) -> String {
    md5_hex(body)
}

/// The parts of a signature. Absent parts vanish with their `&`.
///
/// Source: `upyun/docs` api/authorization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToSign<'a> {
    /// `GET`, `PUT`, ... in upper case.
    pub method: &'a str,
    /// The path **as sent**, percent-encoded. Clients differ in which characters they encode, so a server must take
    /// the raw path. Node, Python and Go sign the query too (`/bucket/?usage`), PHP and Java do not; the service
    /// seems to accept both.
    pub uri: &'a str,
    /// RFC 1123 date. Required for REST, optional in a form policy.
    pub date: Option<&'a str>,
    /// The base64 policy of a form upload.
    pub policy: Option<&'a str>,
    /// Hexadecimal MD5 of the body.
    pub content_md5: Option<&'a str>,
}

impl<'a> ToSign<'a> {
    /// A method and a path; add the other parts with the methods below.
    pub fn new(method: &'a str, uri: &'a str) -> Self {
        Self { method, uri, date: None, policy: None, content_md5: None }
    }

    /// With the `Date` header (or the policy's `date`).
    pub fn date(mut self, date: &'a str) -> Self {
        self.date = Some(date);
        self
    }

    /// With a form's policy.
    pub fn policy(mut self, policy: &'a str) -> Self {
        self.policy = Some(policy);
        self
    }

    /// With the body's MD5.
    pub fn content_md5(mut self, md5: &'a str) -> Self {
        self.content_md5 = Some(md5);
        self
    }

    /// The string that is signed.
    pub fn text(&self) -> String {
        let optional = [self.date, self.policy, self.content_md5];
        let mut text = format!("{}&{}", self.method, self.uri);
        for part in optional.into_iter().flatten().filter(|part| !part.is_empty()) {
            text.push('&');
            text.push_str(part);
        }
        text
    }
}

/// A token for one device: uploads below a prefix, or with a postfix, until it expires. REST only.
///
/// Source: `upyun/docs` api/authorization, "token 认证".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceToken {
    /// The one method it is good for.
    pub method: String,
    /// Sent as `X-Upyun-Uri-Prefix`. At least one of prefix and postfix is required by the service.
    pub prefix: Option<String>,
    /// Sent as `X-Upyun-Uri-Postfix`.
    pub postfix: Option<String>,
    /// Unix seconds, sent as `X-Upyun-Expire`.
    pub expires_unix: u64,
}

impl DeviceToken {
    /// The `Authorization` value for the device; it must send the three headers along with it.
    pub fn authorization(&self, operator: &Operator) -> String {
        format!("UPYUN {}:{}", operator.name(), operator.sign_text(&self.text()))
    }

    /// Whether `signature` is this token's, in constant time.
    pub fn verifies(&self, operator: &Operator, signature: &str) -> bool {
        crate::credentials::same(&operator.sign_text(&self.text()), signature)
    }

    fn text(&self) -> String {
        let mut text = self.method.clone();
        for part in [&self.prefix, &self.postfix].into_iter().flatten().filter(|part| !part.is_empty()) {
            text.push('&');
            text.push_str(part);
        }
        format!("{text}&{}", self.expires_unix)
    }
}

/// A parsed `Authorization` value, of whichever scheme.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Authorization {
    /// HMAC-SHA1: 28 characters of base64. The realm is `UPYUN`, in the Go SDK `UpYun`.
    Hmac {
        /// The operator's name.
        operator: String,
        /// Base64.
        signature: String,
    },
    /// The old scheme: 32 hexadecimal digits, realm `UpYun`.
    Md5 {
        /// The operator's name; for purge `bucket:operator`.
        operator: String,
        /// Hexadecimal.
        signature: String,
    },
    /// HTTP Basic: REST only, and it reveals the password.
    Basic {
        /// The operator's name.
        operator: String,
        /// The password in clear.
        password: String,
    },
}

impl Authorization {
    /// Reads a header or form value. `None` when it is of no known scheme; it never panics.
    ///
    /// The realms do not tell the schemes apart (the Go SDK writes the old realm with the new signature), so the
    /// shape of the signature does.
    pub fn parse(value: &str) -> Option<Self> {
        let (realm, rest) = value.trim().split_once(' ')?;
        let rest = rest.trim();
        if realm.eq_ignore_ascii_case("basic") {
            let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
            let (operator, password) = decoded.split_once(':')?;
            return Some(Self::Basic { operator: operator.into(), password: password.into() });
        }
        if !realm.eq_ignore_ascii_case("upyun") {
            return None;
        }
        let (operator, signature) = rest.rsplit_once(':')?;
        if operator.is_empty() {
            return None;
        }
        let (operator, signature) = (operator.to_owned(), signature.to_owned());
        if signature.len() == 32 && signature.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Some(Self::Md5 { operator, signature });
        }
        let is_sha1 = STANDARD.decode(&signature).is_ok_and(|raw| raw.len() == 20);
        is_sha1.then_some(Self::Hmac { operator, signature })
    }
}

impl std::fmt::Debug for Authorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (scheme, operator) = match self {
            Self::Hmac { operator, .. } => ("Hmac", operator),
            Self::Md5 { operator, .. } => ("Md5", operator),
            Self::Basic { operator, .. } => ("Basic", operator),
        };
        // A signature can be replayed for half an hour, so it is kept out of logs like the password.
        f.debug_struct(scheme).field("operator", operator).finish_non_exhaustive()
    }
}
