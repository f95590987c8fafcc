//! The form API: fields, policy, checks, storage, answer, and what has to be notified.
use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Body;
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rand::Rng as _;
use rand::distr::Alphanumeric;
use safelight_upyun::{ErrorCode, content_md5, format_date, legacy};
use serde_json::{Map, Value};

use crate::auth::{self, FormProof, Right};
use crate::notify::{self, Notice};
use crate::refusal::{Refusal, random_hex};
use crate::rest::{secret, split, with_headers};
use crate::server::{Shared, unix};
use crate::world::{File, media_type};

const MAX_EXT_PARAM_BYTES: usize = 255;

/// The fields, in whatever order they came, each with or without a file name.
#[derive(Default)]
struct Fields {
    policy: Option<String>,
    authorization: Option<String>,
    signature: Option<String>,
    file: Option<(String, Bytes)>,
}

pub(crate) async fn handle(shared: &Arc<Shared>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let fields = match fields(request).await {
        Ok(fields) => fields,
        Err(refusal) => return refusal.into_response(),
    };
    let worker = Arc::clone(shared);
    // Checking an image decodes it, which would hold up other requests.
    let done = tokio::task::spawn_blocking(move || upload(&worker, &path, fields)).await;
    match done {
        Ok(Ok((response, notices))) => {
            for notice in notices {
                notify::schedule(shared, notice);
            }
            response
        }
        Ok(Err(refusal)) => refusal.into_response(),
        Err(_) => Refusal::outage(503).into_response(),
    }
}

async fn fields(request: Request) -> Result<Fields, Refusal> {
    let broken = |message: String| Refusal::because(ErrorCode(40000015), &message);
    let mut parts = Multipart::from_request(request, &()).await.map_err(|error| broken(error.body_text()))?;
    let mut fields = Fields::default();
    loop {
        let part = match parts.next_field().await {
            Ok(Some(part)) => part,
            Ok(None) => return Ok(fields),
            Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                return Err(Refusal::new(ErrorCode::BODY_TOO_LARGE));
            }
            Err(error) => return Err(broken(error.body_text())),
        };
        let name = part.name().unwrap_or_default().to_owned();
        let file_name = part.file_name().unwrap_or_default().to_owned();
        let data = part.bytes().await.map_err(|error| match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Refusal::new(ErrorCode::BODY_TOO_LARGE),
            _ => broken(error.body_text()),
        })?;
        let text = || String::from_utf8_lossy(&data).trim().to_owned();
        match name.as_str() {
            "policy" => fields.policy = Some(text()),
            "authorization" => fields.authorization = Some(text()),
            "signature" => fields.signature = Some(text()),
            "file" if fields.file.is_none() => fields.file = Some((file_name, data)),
            _ => {}
        }
    }
}

/// A decoded policy.
struct Policy(Map<String, Value>);

impl Policy {
    fn decode(text: &str) -> Result<Self, Refusal> {
        let bad = || Refusal::because(ErrorCode::BAD_POLICY, "decode policy error");
        let json = STANDARD.decode(text).map_err(|_| bad())?;
        serde_json::from_slice(&json).map(Self).map_err(|_| bad())
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// Numbers arrive as numbers and as text.
    fn number(&self, name: &str) -> Option<u64> {
        let value = self.0.get(name)?;
        value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
    }

    fn range(&self, name: &str, code: ErrorCode) -> Result<Option<(u64, u64)>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let parsed = text
            .split_once(',')
            .and_then(|(min, max)| Some((min.trim().parse().ok()?, max.trim().parse().ok()?)));
        parsed.map(Some).ok_or_else(|| Refusal::because(code, &format!("invalid {name}")))
    }
}

type Uploaded = (Response, Vec<Notice>);

fn upload(shared: &Arc<Shared>, path: &str, fields: Fields) -> Result<Uploaded, Refusal> {
    // The order of these checks is unverified.
    let (bucket, _) = split(path)?;
    let encoded = fields.policy.ok_or_else(|| Refusal::because(ErrorCode::NEED_POLICY, "need policy"))?;
    let policy = Policy::decode(&encoded)?;
    let named = policy.text("bucket").or_else(|| policy.text("service"));
    let named = named.ok_or_else(|| Refusal::because(ErrorCode::NEED_BUCKET, "need bucket name"))?;
    if named != bucket {
        return Err(Refusal::because(ErrorCode::BUCKET_MISMATCH, "uri bucket not equal to param bucket"));
    }
    let save_key = policy.text("save-key");
    let save_key = save_key.ok_or_else(|| Refusal::because(ErrorCode::NEED_SAVE_KEY, "need save-key"))?;
    let expires = policy.number("expiration");
    let expires = expires.ok_or_else(|| Refusal::because(ErrorCode::NEED_EXPIRATION, "need expiration"))?;
    let now = shared.now();
    let operator = {
        let mut world = shared.world();
        let state = world.bucket(&bucket)?;
        // Whether the switch also stops uploads signed with HMAC is unverified; it does here.
        if !state.form_api {
            return Err(Refusal::because(ErrorCode::FORM_API_DISABLED, "form api disabled"));
        }
        let form_key = state.form_key.clone();
        match (&fields.authorization, &fields.signature) {
            (Some(authorization), _) => {
                let proof = FormProof {
                    bucket: &bucket,
                    policy: &encoded,
                    date: policy.text("date"),
                    content_md5: policy.text("content-md5"),
                };
                let operator = auth::form(&world, authorization, &proof)?;
                auth::allow(&world, &operator, &bucket, Right::Write)?;
                Some(operator)
            }
            (None, Some(signature)) if *signature == legacy::form_signature(&encoded, &form_key) => None,
            (None, Some(_)) => return Err(Refusal::because(ErrorCode::SIGNATURE_ERROR, "signature error")),
            (None, None) => return Err(Refusal::because(ErrorCode::NEED_SIGNATURE, "need signature")),
        }
    };
    if unix(now) > expires {
        // 40300006 is the other candidate: unverified.
        return Err(Refusal::because(ErrorCode::REQUEST_EXPIRED, "request has expired"));
    }
    let (file_name, sent) = fields.file.ok_or_else(|| Refusal::because(ErrorCode::NEED_FILE, "need file"))?;
    let data = content(shared, &bucket, &policy, &file_name, save_key, &sent)?;
    let url = fill(save_key, now, &data, &file_name);
    let key = url.trim_matches('/').to_owned();
    let content_type = policy.text("content-type").map_or_else(|| media_type(&key), str::to_owned);
    let mut file = File::new(data, content_type, unix(now));
    file.secret = secret(policy.text("content-secret"))?;
    file.meta = meta(&policy);
    let mut answer = answer(&policy, &url, &file, unix(now));
    let stored = file.data.clone();
    let (form_key, lost) = {
        let mut world = shared.world();
        let lost = world.faults.callbacks.lose_form_key;
        let state = world.bucket(&bucket)?;
        state.store(&key, file)?;
        (state.form_key.clone(), lost)
    };
    let mut notices = notify::run_apps(shared, &bucket, &policy.0, operator.as_deref(), &stored, &mut answer);
    if operator.is_none() {
        sign_legacy(&mut answer, (!lost).then_some(&form_key));
    }
    if let Some(to) = policy.text("notify-url") {
        notices.insert(0, Notice::form(to, operator.as_deref(), &answer));
    }
    let response = match policy.text("return-url") {
        Some(to) => {
            let joint = if to.contains('?') { '&' } else { '?' };
            let headers = [("location", format!("{to}{joint}{}", notify::urlencoded(&answer)))];
            with_headers(StatusCode::FOUND, &headers, Body::empty())
        }
        None => axum::Json(Value::Object(answer)).into_response(),
    };
    Ok((response, notices))
}

fn meta(policy: &Policy) -> std::collections::BTreeMap<String, String> {
    let pairs = policy.0.iter().filter_map(|(name, value)| {
        let name = name.strip_prefix("x-upyun-meta-")?;
        Some((name.to_owned(), notify::plain(value)))
    });
    pairs.collect()
}

/// Checks what was sent against the policy, and processes it.
fn content(
    shared: &Arc<Shared>,
    bucket: &str,
    policy: &Policy,
    file_name: &str,
    save_key: &str,
    sent: &Bytes,
) -> Result<Bytes, Refusal> {
    if policy.text("ext-param").is_some_and(|text| text.len() > MAX_EXT_PARAM_BYTES) {
        return Err(Refusal::because(ErrorCode::EXT_PARAM_TOO_LONG, "data too long for ext-param"));
    }
    // The Node SDK's own test states the MD5 of the base64 text, not of what it decodes to.
    if policy.text("content-md5").is_some_and(|md5| !md5.eq_ignore_ascii_case(&content_md5(sent))) {
        return Err(Refusal::because(ErrorCode::MD5_MISMATCH, "content md5 not match"));
    }
    let mut data = sent.clone();
    if policy.text("b64encoded") == Some("on") {
        let text: Vec<u8> = sent.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let decoded = STANDARD.decode(text);
        data = decoded.map_err(|_| Refusal::because(ErrorCode(40000015), "the file is not base64"))?.into();
    }
    let size = u64::try_from(data.len()).unwrap_or(u64::MAX);
    let exact = policy.number("content-length").map(|length| (length, length));
    for (min, max) in
        [policy.range("content-length-range", ErrorCode(40000015))?, exact].into_iter().flatten()
    {
        if size < min {
            return Err(Refusal::because(ErrorCode::TOO_SMALL, "file too small"));
        }
        if size > max {
            return Err(Refusal::because(ErrorCode::TOO_LARGE, "file too large"));
        }
    }
    if let Some(allowed) = policy.text("allow-file-type") {
        // A file without an extension is judged by the name it is stored under.
        let extension =
            extension(file_name).or_else(|| extension(save_key)).unwrap_or_default().to_ascii_lowercase();
        if !allowed.split(',').any(|one| one.trim().eq_ignore_ascii_case(&extension)) {
            return Err(Refusal::because(ErrorCode::FILE_TYPE, "file type error"));
        }
    }
    let widths = policy.range("image-width-range", ErrorCode(40300022))?;
    let heights = policy.range("image-height-range", ErrorCode(40300023))?;
    if widths.is_some() || heights.is_some() {
        let facts = crate::image::facts(&data);
        let facts = facts.ok_or_else(|| Refusal::because(ErrorCode::NOT_AN_IMAGE, "not an image"))?;
        let outside = |range: Option<(u64, u64)>, side: u32| {
            range.is_some_and(|(min, max)| !(min..=max).contains(&u64::from(side)))
        };
        if outside(widths, facts.width) {
            return Err(Refusal::because(ErrorCode::IMAGE_WIDTH, "image width too small or too big"));
        }
        if outside(heights, facts.height) {
            return Err(Refusal::because(ErrorCode::IMAGE_HEIGHT, "image height too small or too big"));
        }
    }
    match policy.text("x-gmkerl-thumb") {
        Some(thumb) => shared.preprocess(bucket, &data, thumb),
        None => Ok(data),
    }
}

fn extension(name: &str) -> Option<&str> {
    let base = name.rsplit('/').next().unwrap_or(name);
    base.rsplit_once('.').map(|(_, extension)| extension).filter(|e| !e.is_empty() && !e.contains('}'))
}

/// Fills the placeholders of a save-key.
fn fill(save_key: &str, now: SystemTime, data: &[u8], file_name: &str) -> String {
    let base = file_name.rsplit(['/', '\\']).next().unwrap_or(file_name);
    let suffix = extension(base).unwrap_or_default();
    let stem = base.strip_suffix(suffix).map_or(base, |stem| stem.strip_suffix('.').unwrap_or(stem));
    // `Wed, 09 Nov 2016 14:26:58 GMT`
    let date = format_date(now);
    let cut = |from: usize, to: usize| date.get(from..to).unwrap_or_default().to_owned();
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|month| *month == cut(8, 11)).map_or(0, |at| at + 1);
    let random =
        |n: usize| -> String { rand::rng().sample_iter(Alphanumeric).take(n).map(char::from).collect() };
    let values = [
        ("{year}", cut(12, 16)),
        ("{mon}", format!("{month:02}")),
        ("{day}", cut(5, 7)),
        ("{hour}", cut(17, 19)),
        ("{min}", cut(20, 22)),
        ("{sec}", cut(23, 25)),
        ("{filemd5}", content_md5(data)),
        ("{random32}", random(32).to_ascii_lowercase()),
        ("{random}", random(16).to_ascii_lowercase()),
        ("{.suffix}", if suffix.is_empty() { String::new() } else { format!(".{suffix}") }),
        ("{suffix}", suffix.to_owned()),
        // Last, so that braces in a file's name are not taken for placeholders.
        ("{filename}", stem.to_owned()),
    ];
    values.iter().fold(save_key.to_owned(), |key, (name, value)| key.replace(name, value))
}

fn answer(policy: &Policy, url: &str, file: &File, now_unix: u64) -> Map<String, Value> {
    let mut answer = Map::new();
    answer.insert("code".into(), 200.into());
    answer.insert("message".into(), "ok".into());
    answer.insert("url".into(), url.into());
    answer.insert("time".into(), now_unix.into());
    answer.insert("file_size".into(), file.data.len().into());
    answer.insert("mimetype".into(), file.content_type.as_str().into());
    if let Some(image) = &file.image {
        answer.insert("image-width".into(), image.width.into());
        answer.insert("image-height".into(), image.height.into());
        answer.insert("image-frames".into(), 1.into());
        answer.insert("image-type".into(), image.kind().into());
    }
    if let Some(ext_param) = policy.text("ext-param") {
        answer.insert("ext-param".into(), ext_param.into());
    }
    answer
}

/// The old scheme signs the answer itself; `no-sign` when the secret could not be read.
fn sign_legacy(answer: &mut Map<String, Value>, key: Option<&safelight_upyun::FormKey>) {
    let text = |name: &str| answer.get(name).map(notify::plain).unwrap_or_default();
    let (code, message, url, time) = (text("code"), text("message"), text("url"), text("time"));
    let ext_param = answer.get("ext-param").and_then(Value::as_str);
    let (name, sign) = match key {
        Some(key) => ("sign", legacy::callback_sign(&code, &message, &url, &time, key, ext_param)),
        None => ("no-sign", legacy::callback_no_sign(&code, &message, &url, &time, ext_param)),
    };
    answer.insert(name.into(), sign.into());
}

pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

pub(crate) fn task_id() -> String {
    random_hex()
}
