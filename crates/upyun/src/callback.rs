//! Whether a notification came from Upyun, and what it says.
//!
//! It decides nothing else: a receiver still has to be idempotent, since notifications are repeated and can arrive
//! out of order. Sources: `upyun/docs` api/authorization and api/form_api ("回调签名（旧）").
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use percent_encoding::percent_decode;
use serde_json::Value;
use thiserror::Error;

use crate::credentials::{FormKey, Operator, same};
use crate::date::{from_unix, parse_date};
use crate::sign::{Authorization, ToSign, content_md5};
use crate::{SIGNATURE_WINDOW, legacy};

/// Larger bodies are refused unread. Upyun's own are a few hundred bytes; no source states a limit.
pub const MAX_CALLBACK_BODY_BYTES: usize = 256 * 1024;
/// The old form notifications are retried for about a day, and `time` stays that of the upload.
const LEGACY_WINDOW: Duration = Duration::from_secs(25 * 3600);

/// A request to the notify URL, as it arrived. `path` is the raw path without its query.
#[derive(Debug, Clone, Copy)]
pub struct CallbackRequest<'a> {
    /// `POST`.
    pub method: &'a str,
    /// Path of the request target, as sent. Behind a proxy that rewrites paths, the one Upyun was told.
    pub path: &'a str,
    /// Header `Authorization`.
    pub authorization: Option<&'a str>,
    /// Header `Date`.
    pub date: Option<&'a str>,
    /// Header `Content-MD5`.
    pub content_md5: Option<&'a str>,
    /// The body, unchanged.
    pub body: &'a [u8],
}

/// Why a notification was refused. None of the messages repeats a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CallbackError {
    /// Unsigned, and the old scheme is not accepted.
    #[error("the callback has no Authorization header")]
    Unsigned,
    /// Upyun could not read the form secret, so it signed without one, which anybody can do.
    #[error(
        "the callback carries no-sign, which proves nothing; check the bucket's form API secret in the console"
    )]
    NoSign,
    /// Not a scheme that callbacks use.
    #[error("the callback's Authorization header is not `UPYUN operator:signature`")]
    BadAuthorization,
    /// Signed by another operator.
    #[error("the callback is signed by operator {operator:?}, not by the configured one")]
    WrongOperator {
        /// The name in the header.
        operator: String,
    },
    /// `Date` is missing or not RFC 1123.
    #[error("the callback's Date header is missing or not an RFC 1123 date in GMT")]
    BadDate,
    /// Too old, or from the future.
    #[error("the callback's date is {seconds} s away from this clock, more than the {window} s accepted")]
    OutsideWindow {
        /// Distance in seconds.
        seconds: u64,
        /// What was accepted.
        window: u64,
    },
    /// `Content-MD5` is missing: the body would be unprotected.
    #[error("the callback has no Content-MD5 header, so its body is not signed")]
    NoContentMd5,
    /// The body is not the one that was signed.
    #[error("the callback's body does not have the MD5 that was signed")]
    BodyChanged,
    /// The signature does not fit.
    #[error("the callback's signature does not fit; the password or the notify URL's path differs")]
    BadSignature,
    /// Too large to be a callback.
    #[error("the callback's body has {bytes} bytes, more than the {MAX_CALLBACK_BODY_BYTES} accepted")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Neither form nor JSON, or a field is missing, doubled or not a number.
    #[error("the callback's body is not understood: {why}")]
    BadBody {
        /// What is wrong with it.
        why: String,
    },
}

/// How a notification was proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallbackScheme {
    /// `Authorization` header over method, path, date and the body's MD5: every field is proved.
    Hmac,
    /// Field `sign`: `code`, `message`, `url`, `time` and `ext-param` are proved, nothing else.
    LegacyMd5,
}

/// What an image turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageInfo {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// More than one for animations.
    pub frames: u32,
    /// `JPEG`, `PNG`, ...
    pub kind: String,
}

/// A form upload is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadNotice {
    /// 200 when the file was stored.
    pub code: u32,
    /// `ok`, or what went wrong.
    pub message: String,
    /// The stored path.
    pub url: String,
    /// When it was stored, unix seconds.
    pub time_unix: u64,
    /// The policy's `ext-param`.
    pub ext_param: Option<String>,
    /// The image's properties, if they were signed. In the old scheme they are not: see `unsigned_image`.
    pub image: Option<ImageInfo>,
    /// The image's properties as claimed by a notification in the old scheme. Anybody on the way can change them.
    pub unsigned_image: Option<ImageInfo>,
}

/// A task of the policy's `apps` is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskNotice {
    /// As in the upload's `task_ids`.
    pub task_id: String,
    /// 200 when it succeeded, if stated.
    pub status_code: Option<u32>,
}

/// A proved notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// How it was proved.
    pub scheme: CallbackScheme,
    /// About an upload.
    pub upload: Option<UploadNotice>,
    /// About a task.
    pub task: Option<TaskNotice>,
    /// Every field as text, JSON values in JSON notation. In the old scheme most of them are not proved.
    pub fields: BTreeMap<String, String>,
}

/// Checks notifications. Make one and share it.
#[derive(Debug, Clone)]
pub struct CallbackVerifier {
    operator: Operator,
    window: Duration,
    legacy: Option<(FormKey, Duration)>,
}

impl CallbackVerifier {
    /// Accepts the new scheme only, signed by `operator`, at most 30 minutes old or ahead.
    pub fn new(operator: Operator) -> Self {
        Self { operator, window: SIGNATURE_WINDOW, legacy: None }
    }

    /// With another window around `Date`. Whether a retry gets a new `Date` is *unverified*.
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Accepts the old scheme too, for uploads that were signed with the form secret. Its only time is that of the
    /// upload, and retries go on for about a day, so it is accepted for 25 hours.
    pub fn accept_legacy(mut self, key: FormKey) -> Self {
        self.legacy = Some((key, LEGACY_WINDOW));
        self
    }

    /// Proves a notification and reads it. Never panics, whatever arrives.
    ///
    /// # Errors
    /// Says what does not fit; answer 401 or 403 and log it.
    pub fn verify(&self, request: &CallbackRequest<'_>, now: SystemTime) -> Result<Callback, CallbackError> {
        if request.body.len() > MAX_CALLBACK_BODY_BYTES {
            return Err(CallbackError::TooLarge { bytes: request.body.len() });
        }
        match request.authorization {
            Some(header) => {
                self.verify_hmac(request, header, now)?;
                read(CallbackScheme::Hmac, fields(request.body)?)
            }
            None => {
                let fields = match fields(request.body) {
                    Err(_) if self.legacy.is_none() => return Err(CallbackError::Unsigned),
                    other => other?,
                };
                self.verify_legacy(&fields, now)?;
                read(CallbackScheme::LegacyMd5, fields)
            }
        }
    }

    fn verify_hmac(
        &self,
        request: &CallbackRequest<'_>,
        header: &str,
        now: SystemTime,
    ) -> Result<(), CallbackError> {
        let Some(Authorization::Hmac { operator, signature }) = Authorization::parse(header) else {
            return Err(CallbackError::BadAuthorization);
        };
        if operator != self.operator.name() {
            return Err(CallbackError::WrongOperator { operator });
        }
        let date = request.date.ok_or(CallbackError::BadDate)?;
        let when = parse_date(date).ok_or(CallbackError::BadDate)?;
        let md5 = request.content_md5.ok_or(CallbackError::NoContentMd5)?;
        // The signature covers the header only, so the body has to be hashed; the Python SDK forgets that.
        let what = ToSign::new(request.method, request.path).date(date).content_md5(md5);
        if !self.operator.verifies(&what, &signature) {
            return Err(CallbackError::BadSignature);
        }
        if !same(&content_md5(request.body), md5) {
            return Err(CallbackError::BodyChanged);
        }
        within(when, now, self.window)
    }

    fn verify_legacy(&self, fields: &BTreeMap<String, String>, now: SystemTime) -> Result<(), CallbackError> {
        let get = |name: &str| fields.get(name).map(String::as_str);
        let Some((key, window)) = &self.legacy else {
            return Err(if get("no-sign").is_some() {
                CallbackError::NoSign
            } else {
                CallbackError::Unsigned
            });
        };
        let Some(sign) = get("sign") else {
            return Err(if get("no-sign").is_some() {
                CallbackError::NoSign
            } else {
                CallbackError::Unsigned
            });
        };
        let need = |name: &'static str| get(name).ok_or_else(|| missing(name));
        let (code, message, url, time) = (need("code")?, need("message")?, need("url")?, need("time")?);
        let expected = legacy::callback_sign(code, message, url, time, key, get("ext-param"));
        if !same(&expected, sign) {
            return Err(CallbackError::BadSignature);
        }
        let when = time.parse().ok().and_then(from_unix).ok_or_else(|| not_a_number("time"))?;
        within(when, now, *window)
    }
}

fn within(when: SystemTime, now: SystemTime, window: Duration) -> Result<(), CallbackError> {
    let distance = now.duration_since(when).unwrap_or_else(|ahead| ahead.duration());
    if distance > window {
        return Err(CallbackError::OutsideWindow { seconds: distance.as_secs(), window: window.as_secs() });
    }
    Ok(())
}

fn missing(name: &str) -> CallbackError {
    CallbackError::BadBody { why: format!("field {name:?} is missing") }
}

fn not_a_number(name: &str) -> CallbackError {
    CallbackError::BadBody { why: format!("field {name:?} is not a number in range") }
}

fn fields(body: &[u8]) -> Result<BTreeMap<String, String>, CallbackError> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'{') { json_fields(body) } else { form_fields(body) }
}

/// Documents before 2017 show JSON, and results of `apps` still are.
fn json_fields(body: &[u8]) -> Result<BTreeMap<String, String>, CallbackError> {
    let object: BTreeMap<String, Value> =
        serde_json::from_slice(body).map_err(|error| CallbackError::BadBody { why: error.to_string() })?;
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(object.into_iter().map(|(name, value)| (name, text(value))).collect())
}

fn form_fields(body: &[u8]) -> Result<BTreeMap<String, String>, CallbackError> {
    let mut fields = BTreeMap::new();
    for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let name = decode(halves.next().unwrap_or_default())?;
        let value = decode(halves.next().unwrap_or_default())?;
        // Two values for one name are read differently by different parsers: a classic way round a signature.
        if fields.insert(name.clone(), value).is_some() {
            return Err(CallbackError::BadBody { why: format!("field {name:?} appears twice") });
        }
    }
    Ok(fields)
}

fn decode(text: &[u8]) -> Result<String, CallbackError> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    let decoded = percent_decode(&spaced).decode_utf8();
    decoded
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| CallbackError::BadBody { why: "a field is not UTF-8".into() })
}

fn read(scheme: CallbackScheme, fields: BTreeMap<String, String>) -> Result<Callback, CallbackError> {
    let get = |name: &str| fields.get(name).map(String::as_str);
    let number = |name: &'static str| -> Result<Option<u32>, CallbackError> {
        get(name).map(|text| text.parse().map_err(|_| not_a_number(name))).transpose()
    };
    if let (Some(task_id), None) = (get("task_id"), get("url")) {
        let task = TaskNotice { task_id: task_id.to_owned(), status_code: number("status_code")? };
        return Ok(Callback { scheme, upload: None, task: Some(task), fields });
    }
    let (width, height) = (number("image-width")?, number("image-height")?);
    let claimed = match (width, height) {
        (Some(width), Some(height)) => Some(ImageInfo {
            width,
            height,
            frames: number("image-frames")?.unwrap_or(1),
            kind: get("image-type").unwrap_or_default().to_owned(),
        }),
        _ => None,
    };
    let (image, unsigned_image) = match scheme {
        CallbackScheme::Hmac => (claimed, None),
        CallbackScheme::LegacyMd5 => (None, claimed),
    };
    let upload = UploadNotice {
        code: number("code")?.ok_or_else(|| missing("code"))?,
        message: get("message").unwrap_or_default().to_owned(),
        url: get("url").ok_or_else(|| missing("url"))?.to_owned(),
        time_unix: get("time").ok_or_else(|| missing("time"))?.parse().map_err(|_| not_a_number("time"))?,
        ext_param: get("ext-param").map(str::to_owned),
        image,
        unsigned_image,
    };
    Ok(Callback { scheme, upload: Some(upload), task: None, fields })
}
