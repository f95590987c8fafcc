//! Names of buckets and objects, and the path under which they are requested and signed.
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use thiserror::Error;

/// RFC 3986 unreserved characters and the slash stay; the Python SDK encodes the same way.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// A bucket or key that cannot be requested.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The bucket's name goes into the path unencoded.
    #[error("the bucket name {bucket:?} is not made of letters, digits, dot, hyphen or underscore")]
    BadBucket {
        /// The refused name.
        bucket: String,
    },
    /// `.` and `..` are resolved by URL libraries before the request is sent, so the signature would not fit.
    #[error("the key {key:?} has a `.` or `..` segment, which HTTP clients remove; write the key without it")]
    DotSegment {
        /// The refused key.
        key: String,
    },
    /// Operations on files need a name.
    #[error("the key is empty or the bucket's root, which {operation} cannot be applied to")]
    Root {
        /// What was tried.
        operation: &'static str,
    },
}

/// Percent-encodes a decoded path; slashes stay.
pub fn encode_path(path: &str) -> String {
    utf8_percent_encode(path, PATH).to_string()
}

/// `/<bucket>/<key>` encoded as it has to be sent and signed. A leading slash of the key is not doubled; an empty
/// key is the bucket's root.
///
/// # Errors
/// When the bucket's name is not plain, or the key has dot segments.
pub fn resource_path(bucket: &str, key: &str) -> Result<String, KeyError> {
    if !plain_bucket(bucket) {
        return Err(KeyError::BadBucket { bucket: bucket.into() });
    }
    let key = key.strip_prefix('/').unwrap_or(key);
    if key.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(KeyError::DotSegment { key: key.into() });
    }
    Ok(format!("/{bucket}/{}", encode_path(key)))
}

pub(crate) fn plain_bucket(bucket: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !bucket.is_empty() && bucket != "." && bucket != ".." && bucket.bytes().all(plain)
}
