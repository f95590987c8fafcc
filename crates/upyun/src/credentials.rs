//! Who signs, and with what. Neither secret can be printed or compared with `==`.
use std::fmt;

use hmac::{Hmac, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::sign::ToSign;

/// Credentials that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// An empty value would produce signatures that anybody can make.
    #[error("the Upyun {what} is empty; set it to the value from the console")]
    Empty {
        /// Which value.
        what: &'static str,
    },
    /// The operator's name ends at a colon in the `Authorization` header.
    #[error(
        "the Upyun operator {name:?} contains a colon or a control character; check the name in the console"
    )]
    BadName {
        /// The refused name.
        name: String,
    },
    /// An MD5 digest has 32 hexadecimal digits.
    #[error(
        "the digest of the Upyun password is not 32 hexadecimal digits; pass the output of md5(password)"
    )]
    BadDigest,
}

/// An operator (操作员) and the key of its signatures.
///
/// The key of every scheme is the lower-case MD5 of the password, so the password itself is not kept.
/// `Debug` shows the name only.
#[derive(Clone)]
pub struct Operator {
    name: String,
    password_md5: String,
}

impl Operator {
    /// An operator with its password as set in the console.
    ///
    /// # Errors
    /// When the name or the password is empty, or the name could not be sent in a header.
    pub fn new(name: impl Into<String>, password: &str) -> Result<Self, CredentialError> {
        if password.is_empty() {
            return Err(CredentialError::Empty { what: "operator password" });
        }
        Self::build(name.into(), md5_hex(password.as_bytes()))
    }

    /// An operator with the MD5 of its password, for those who store only that.
    ///
    /// # Errors
    /// As [`Operator::new`], and when the digest is not 32 hexadecimal digits.
    pub fn from_password_md5(name: impl Into<String>, digest: &str) -> Result<Self, CredentialError> {
        if digest.len() != 32 || !digest.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(CredentialError::BadDigest);
        }
        Self::build(name.into(), digest.to_ascii_lowercase())
    }

    fn build(name: String, password_md5: String) -> Result<Self, CredentialError> {
        if name.is_empty() {
            return Err(CredentialError::Empty { what: "operator name" });
        }
        if name.contains(':') || name.chars().any(char::is_control) {
            return Err(CredentialError::BadName { name });
        }
        Ok(Self { name, password_md5 })
    }

    /// The operator's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The signature alone: base64 of HMAC-SHA1, keyed with the hexadecimal MD5 of the password.
    pub fn signature(&self, what: &ToSign<'_>) -> String {
        self.sign_text(&what.text())
    }

    /// The value of the `Authorization` header or of the form field `authorization`.
    pub fn authorization(&self, what: &ToSign<'_>) -> String {
        format!("UPYUN {}:{}", self.name, self.signature(what))
    }

    /// Whether `signature` is this operator's over `what`, in constant time.
    pub fn verifies(&self, what: &ToSign<'_>, signature: &str) -> bool {
        same(&self.signature(what), signature)
    }

    /// Whether `password` is this operator's, in constant time. Upyun accepts it by Basic auth on REST.
    pub fn has_password(&self, password: &str) -> bool {
        same(&self.password_md5, &md5_hex(password.as_bytes()))
    }

    pub(crate) fn sign_text(&self, text: &str) -> String {
        use base64::Engine as _;
        // HMAC takes keys of any length, so this cannot fail; an empty signature verifies nothing.
        let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(self.password_md5.as_bytes()) else {
            return String::new();
        };
        mac.update(text.as_bytes());
        base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
    }

    pub(crate) fn password_md5(&self) -> &str {
        &self.password_md5
    }
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator").field("name", &self.name).field("password_md5", &"[redacted]").finish()
    }
}

/// The form API secret (表单密钥) of a bucket. Only the old MD5 schemes use it; see [`crate::legacy`].
#[derive(Clone)]
pub struct FormKey(String);

impl FormKey {
    /// The secret as the console shows it.
    ///
    /// # Errors
    /// When it is empty: with an empty secret the old callback signature can be forged by anybody.
    pub fn new(secret: impl Into<String>) -> Result<Self, CredentialError> {
        let secret = secret.into();
        if secret.is_empty() {
            return Err(CredentialError::Empty { what: "form API secret" });
        }
        Ok(Self(secret))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for FormKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FormKey([redacted])")
    }
}

pub(crate) fn md5_hex(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// Constant in the content; the length is no secret.
pub(crate) fn same(left: &str, right: &str) -> bool {
    left.as_bytes().ct_eq(right.as_bytes()).into()
}
