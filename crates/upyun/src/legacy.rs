//! The MD5 schemes that came before HMAC and are still met. New code should not choose them.
//!
//! Sources: `upyun/docs` api/rest_api, api/form_api ("签名认证（旧）"), api/purge.
use crate::credentials::{FormKey, Operator, md5_hex};

/// REST: `UpYun operator:md5(METHOD&PATH&DATE&LENGTH&md5(password))`. The length is 0 without a body.
pub fn rest_authorization(
    operator: &Operator,
    method: &str,
    path: &str,
    date: &str,
    content_length: u64,
) -> String {
    format!("UpYun {}:{}", operator.name(), rest_signature(operator, method, path, date, content_length))
}

/// The signature of [`rest_authorization`] alone.
pub fn rest_signature(
    operator: &Operator,
    method: &str,
    path: &str,
    date: &str,
    content_length: u64,
) -> String {
    let text = format!("{method}&{path}&{date}&{content_length}&{}", operator.password_md5());
    md5_hex(text.as_bytes())
}

/// Form upload: the field `signature`, `md5(policy&secret)`.
pub fn form_signature(policy: &str, key: &FormKey) -> String {
    md5_hex(format!("{policy}&{}", key.expose()).as_bytes())
}

/// Callback: the field `sign`, `md5(code&message&url&time&secret[&ext-param])` over decoded values.
///
/// `image-*` and `task_ids` are not part of it, so a receiver must not trust them.
pub fn callback_sign(
    code: &str,
    message: &str,
    url: &str,
    time: &str,
    key: &FormKey,
    ext_param: Option<&str>,
) -> String {
    callback_text(code, message, url, time, Some(key), ext_param)
}

/// Callback: the field `no-sign`, which Upyun sends when it could not read the secret. Anybody can compute it:
/// [`crate::CallbackVerifier`] refuses it. It is here for tests and for emulators.
pub fn callback_no_sign(code: &str, message: &str, url: &str, time: &str, ext_param: Option<&str>) -> String {
    callback_text(code, message, url, time, None, ext_param)
}

fn callback_text(
    code: &str,
    message: &str,
    url: &str,
    time: &str,
    key: Option<&FormKey>,
    ext_param: Option<&str>,
) -> String {
    let mut text = format!("{code}&{message}&{url}&{time}");
    for part in [key.map(FormKey::expose), ext_param].into_iter().flatten() {
        text.push('&');
        text.push_str(part);
    }
    md5_hex(text.as_bytes())
}

/// Purge: `UpYun bucket:operator:md5(urls&bucket&Date&md5(password))`, with the URLs joined by line feeds.
///
/// This scheme is not old: the purge API knows no other.
pub fn purge_authorization(operator: &Operator, bucket: &str, urls: &str, date: &str) -> String {
    let text = format!("{urls}&{bucket}&{date}&{}", operator.password_md5());
    format!("UpYun {bucket}:{}:{}", operator.name(), md5_hex(text.as_bytes()))
}
