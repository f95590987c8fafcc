//! The form API: what an upload may do (the policy), its signature, and the answer to it.
//!
//! Source: `upyun/docs` api/form_api and api/authorization.
use std::collections::BTreeMap;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::credentials::{FormKey, Operator};
use crate::date::{format_date, unix_seconds};
use crate::key::plain_bucket;
use crate::legacy;
use crate::sign::ToSign;

/// Longest `ext-param`, in bytes of UTF-8.
const MAX_EXT_PARAM_BYTES: usize = 255;
/// Longest life of a file with `x-upyun-meta-ttl`, in days.
const MAX_TTL_DAYS: u16 = 180;

/// A policy that Upyun would refuse, found before anybody uploads with it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The bucket is part of the path.
    #[error("the policy's bucket {bucket:?} is not a bucket name")]
    BadBucket {
        /// The refused name.
        bucket: String,
    },
    /// Required by the service.
    #[error(
        "the policy has no save-key; give the path to store under, for example `/{{year}}/{{random32}}{{.suffix}}`"
    )]
    NoSaveKey,
    /// The documentation forbids line breaks in parameters.
    #[error("the policy's {name} contains a line break, which Upyun does not accept")]
    LineBreak {
        /// The parameter.
        name: String,
    },
    /// A range's lower end lies above its upper end.
    #[error("the policy's {name} runs from {min} to {max}; swap them")]
    EmptyRange {
        /// The parameter.
        name: &'static str,
        /// Lower end.
        min: u64,
        /// Upper end.
        max: u64,
    },
    /// `ext-param` is limited to 255 bytes.
    #[error("the policy's ext-param has {bytes} bytes, but Upyun echoes at most 255; send an id instead")]
    ExtParamTooLong {
        /// Its length.
        bytes: usize,
    },
    /// A time to live is at most 180 days.
    #[error("the policy's x-upyun-meta-ttl is {days} days; Upyun keeps such files 1 to 180 days")]
    BadTtl {
        /// The refused number.
        days: u16,
    },
}

/// What a form upload may do. Build it, sign it, give the result to a browser.
///
/// The JSON lists its keys in alphabetical order, so the same policy always signs the same.
#[derive(Debug, Clone, PartialEq)]
pub struct FormPolicy {
    bucket: String,
    values: BTreeMap<String, Value>,
    problem: Option<PolicyError>,
}

impl FormPolicy {
    /// A policy for one bucket. `save_key` may use `{year}` `{mon}` `{day}` `{hour}` `{min}` `{sec}` (UTC),
    /// `{filemd5}`, `{random}` (16 characters), `{random32}`, `{filename}` (stem), `{suffix}` and `{.suffix}`.
    /// The documentation advises to let it expire after 30 minutes.
    pub fn new(bucket: impl Into<String>, save_key: impl Into<String>, expires: SystemTime) -> Self {
        let (bucket, save_key) = (bucket.into(), save_key.into());
        let problem = if !plain_bucket(&bucket) {
            Some(PolicyError::BadBucket { bucket: bucket.clone() })
        } else if save_key.is_empty() {
            Some(PolicyError::NoSaveKey)
        } else {
            None
        };
        let values = BTreeMap::from([
            ("bucket".to_owned(), Value::from(bucket.clone())),
            ("save-key".to_owned(), Value::from(save_key)),
            ("expiration".to_owned(), Value::from(unix_seconds(expires))),
        ]);
        Self { bucket, values, problem }
    }

    /// Any parameter by its name, for those that have no method here (`apps`, `callback-url`, ...).
    pub fn set(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.values.insert(name.into(), value.into());
        self
    }

    fn fail(mut self, problem: PolicyError) -> Self {
        self.problem.get_or_insert(problem);
        self
    }

    /// Date of the request. It becomes part of the signature.
    pub fn date(self, date: SystemTime) -> Self {
        self.set("date", format_date(date))
    }

    /// Hexadecimal MD5 the file must have. It becomes part of the signature.
    pub fn content_md5(self, md5: impl Into<String>) -> Self {
        self.set("content-md5", md5.into())
    }

    /// Where Upyun redirects the browser afterwards, with the answer as query.
    pub fn return_url(self, url: impl Into<String>) -> Self {
        self.set("return-url", url.into())
    }

    /// Where Upyun posts the answer, asynchronously. Use no query string: whether it is signed is *unverified*.
    pub fn notify_url(self, url: impl Into<String>) -> Self {
        self.set("notify-url", url.into())
    }

    /// The media type to store; by default it follows the extension.
    pub fn content_type(self, media_type: impl Into<String>) -> Self {
        self.set("content-type", media_type.into())
    }

    /// A secret without which the original cannot be fetched; see [`crate::CdnUrls::secret`].
    pub fn content_secret(self, secret: impl Into<String>) -> Self {
        self.set("content-secret", secret.into())
    }

    /// Extensions that may be uploaded, without dots.
    pub fn allow_file_types<I: IntoIterator<Item = S>, S: AsRef<str>>(self, extensions: I) -> Self {
        let list: Vec<String> = extensions.into_iter().map(|e| e.as_ref().to_owned()).collect();
        self.set("allow-file-type", list.join(","))
    }

    /// Size of the file in bytes, both ends included.
    pub fn content_length_range(self, min: u64, max: u64) -> Self {
        self.range("content-length-range", min, max)
    }

    /// Width of the image in pixels. A file that is no image is then refused (40300018).
    pub fn image_width_range(self, min: u64, max: u64) -> Self {
        self.range("image-width-range", min, max)
    }

    /// Height of the image in pixels. A file that is no image is then refused (40300018).
    pub fn image_height_range(self, min: u64, max: u64) -> Self {
        self.range("image-height-range", min, max)
    }

    fn range(self, name: &'static str, min: u64, max: u64) -> Self {
        if min > max {
            return self.fail(PolicyError::EmptyRange { name, min, max });
        }
        self.set(name, format!("{min},{max}"))
    }

    /// Exact size of the file in bytes: Upyun then streams it, provided `file` is the form's last field.
    /// Advised above 100 MB.
    pub fn content_length(self, bytes: u64) -> Self {
        self.set("content-length", bytes)
    }

    /// Processing before the file is stored, such as `/fw/1200`. It replaces the original.
    pub fn thumb(self, parameters: impl Into<String>) -> Self {
        self.set("x-gmkerl-thumb", parameters.into())
    }

    /// The file is sent as base64 and stored decoded.
    pub fn base64_encoded(self) -> Self {
        self.set("b64encoded", "on")
    }

    /// Text that comes back in the answer and in the callback, at most 255 bytes.
    pub fn ext_param(self, text: impl Into<String>) -> Self {
        let text = text.into();
        if text.len() > MAX_EXT_PARAM_BYTES {
            return self.fail(PolicyError::ExtParamTooLong { bytes: text.len() });
        }
        self.set("ext-param", text)
    }

    /// Days until Upyun deletes the file, 1 to 180.
    pub fn ttl_days(self, days: u16) -> Self {
        if !(1..=MAX_TTL_DAYS).contains(&days) {
            return self.fail(PolicyError::BadTtl { days });
        }
        self.set("x-upyun-meta-ttl", days)
    }

    /// The policy as JSON text.
    ///
    /// # Errors
    /// The first problem met while the policy was built, or a line break in a value.
    pub fn json(&self) -> Result<String, PolicyError> {
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        for (name, value) in &self.values {
            if value.as_str().is_some_and(|text| text.contains(['\n', '\r'])) {
                return Err(PolicyError::LineBreak { name: name.clone() });
            }
        }
        let object: Map<String, Value> = self.values.clone().into_iter().collect();
        Ok(Value::Object(object).to_string())
    }

    /// Signs with the operator's password. `date` and `content-md5` are signed as the documentation says; the Node
    /// and PHP SDKs leave the date out (PHP the MD5 too), which the service seems to accept as well.
    ///
    /// # Errors
    /// As [`FormPolicy::json`].
    pub fn sign(&self, operator: &Operator) -> Result<SignedForm, PolicyError> {
        let policy = encode_policy(&self.json()?);
        let path = format!("/{}", self.bucket);
        let part = |name: &str| self.values.get(name).and_then(Value::as_str);
        let what = ToSign {
            date: part("date"),
            content_md5: part("content-md5"),
            ..ToSign::new("POST", &path).policy(&policy)
        };
        let authorization = operator.authorization(&what);
        Ok(SignedForm { path, policy, proof: ("authorization", authorization) })
    }

    /// Signs in the old scheme, with the bucket's form secret. The callback then carries an old signature too.
    ///
    /// # Errors
    /// As [`FormPolicy::json`].
    pub fn sign_legacy(&self, key: &FormKey) -> Result<SignedForm, PolicyError> {
        let policy = encode_policy(&self.json()?);
        let signature = legacy::form_signature(&policy, key);
        Ok(SignedForm { path: format!("/{}", self.bucket), policy, proof: ("signature", signature) })
    }
}

/// Base64 of a policy's JSON, as it is signed and sent.
pub fn encode_policy(json: &str) -> String {
    STANDARD.encode(json)
}

/// What a browser needs for one kind of upload. Whoever has it can upload until the policy expires.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedForm {
    path: String,
    policy: String,
    proof: (&'static str, String),
}

impl SignedForm {
    /// `/<bucket>`, to be posted to at the endpoint.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The base64 policy.
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// `authorization` (or `signature` in the old scheme).
    pub fn proof(&self) -> &str {
        &self.proof.1
    }

    /// The form's fields. The field `file` has to follow them.
    pub fn fields(&self) -> [(&'static str, &str); 2] {
        [("policy", &self.policy), (self.proof.0, &self.proof.1)]
    }
}

impl std::fmt::Debug for SignedForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It authorises uploads, so a log line must not hand it out.
        f.debug_struct("SignedForm").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The answer to a form upload. Fields that later versions of the service added are in `other`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct FormAnswer {
    /// 200 when the file was stored.
    pub code: u32,
    /// `ok`, or what went wrong.
    #[serde(default)]
    pub message: String,
    /// The path it was stored under: the `save-key` filled in, without a slash added.
    #[serde(default)]
    pub url: String,
    /// Unix seconds.
    #[serde(default)]
    pub time: u64,
    /// Width in pixels, for images.
    #[serde(rename = "image-width")]
    pub image_width: Option<u32>,
    /// Height in pixels, for images.
    #[serde(rename = "image-height")]
    pub image_height: Option<u32>,
    /// Frames, for images.
    #[serde(rename = "image-frames")]
    pub image_frames: Option<u32>,
    /// `JPEG`, `PNG`, ..., for images.
    #[serde(rename = "image-type")]
    pub image_type: Option<String>,
    /// The policy's `ext-param`.
    #[serde(rename = "ext-param")]
    pub ext_param: Option<String>,
    /// Ids of the tasks started by the policy's `apps`.
    #[serde(default)]
    pub task_ids: Vec<String>,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}
