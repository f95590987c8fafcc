//! A client for Upyun (又拍云), the object store and CDN: what is signed, what is sent, and what comes back.
//!
//! It must not decide policy for its user: no retries, no caching, no hidden endpoint.
//!
//! # Parts
//! - [`Operator`], [`ToSign`]: the HMAC-SHA1 scheme for headers and forms; the old MD5 schemes in [`legacy`].
//! - [`FormPolicy`]: what a browser may upload without going through your server.
//! - [`CallbackVerifier`]: whether a notification really came from Upyun, in the new and the old scheme.
//! - [`CdnUrls`], [`TokenKey`]: image style URLs and `_upt` tokens against hot-linking.
//! - [`ErrorCode`]: the eight-digit codes.
//! - `Client` (feature `client`, on by default): the REST API, resumable uploads, forms and purge.
//!
//! Everything but `Client` is pure: it takes the time as an argument and does no I/O.
//!
//! # Sources
//! Statements are taken from the `upyun/docs` repository (folders `api`, `cdn`, `cloud`), from the beginnings of the
//! pages `form_api` and `rest_api` on help.upyun.com, and from the code of the official SDKs (Node 3.4.6, Python
//! 2.5.5, Go, PHP, Java). The golden values in `tests/vectors.json` were produced by those SDKs or are printed in
//! the documentation. **Nobody who wrote this crate could reach the service itself**: where no source settles a
//! question, the documentation of the item says *unverified*.
//!
//! # Example
//! ```
//! use std::time::{Duration, SystemTime};
//! use safelight_upyun::{FormPolicy, Operator};
//!
//! let operator = Operator::new("operator123", "password123")?;
//! let form = FormPolicy::new("photos", "/{year}/{random32}{.suffix}", SystemTime::now() + Duration::from_secs(1800))
//!     .notify_url("https://example.com/api/storage/callback")
//!     .allow_file_types(["jpg", "png"])
//!     .sign(&operator)?;
//! assert_eq!(form.path(), "/photos");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod callback;
mod cdn;
mod credentials;
mod date;
mod error;
mod key;
pub mod legacy;
mod policy;
mod sign;

#[cfg(feature = "client")]
mod client;

pub use callback::{
    Callback, CallbackError, CallbackRequest, CallbackScheme, CallbackVerifier, ImageInfo,
    MAX_CALLBACK_BODY_BYTES, TaskNotice, UploadNotice,
};
pub use cdn::{BadSeparator, CdnUrls, Separator, TokenError, TokenKey, TokenPath};
pub use credentials::{CredentialError, FormKey, Operator};
pub use date::{format_date, parse_date};
pub use error::{ApiError, ErrorCode};
pub use key::{KeyError, encode_path, resource_path};
pub use policy::{FormAnswer, FormPolicy, PolicyError, SignedForm, encode_policy};
pub use sign::{Authorization, DeviceToken, ToSign, content_md5};

#[cfg(feature = "client")]
pub use client::{
    Body, Client, ClientBuilder, CopyOptions, Delete, Download, Entry, EntryKind, Error, FileInfo,
    ListOptions, ListPage, MetadataChange, MultiUpload, Order, PartOutcome, PutOptions, PutOutcome,
    ResumableOptions,
};

/// The HTTP library whose client and errors are part of this crate's interface, in the version that it uses.
#[cfg(feature = "client")]
pub use reqwest;

/// The REST and form endpoint that picks a carrier by itself; `v1` to `v3` are Telecom, Unicom and Mobile.
pub const DEFAULT_ENDPOINT: &str = "https://v0.api.upyun.com";

/// Where CDN caches are purged. The documentation names it with plain HTTP only.
pub const DEFAULT_PURGE_ENDPOINT: &str = "http://purge.upyun.com";

/// How long a signed REST request is valid, and how old the documentation advises to accept a callback.
pub const SIGNATURE_WINDOW: std::time::Duration = std::time::Duration::from_secs(30 * 60);

/// The examples of the README are compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
