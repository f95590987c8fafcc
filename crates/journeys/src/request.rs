//! From an entry's request, as written, to what is sent.

use std::path::Path;

use bytes::Bytes;
use hurl_core::ast::{
    Bytes as AstBytes, KeyValue, MultilineStringKind, MultipartParam, Request as AstRequest,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, Url};

use crate::check::evaluate_body;
use crate::files::FileRoot;
use crate::refuse::MethodPosition as _;
use crate::scope::{Evaluated, Fault, Scope, random_bytes};
use crate::value::Value;

/// Forms and queries keep the unreserved characters of RFC 3986 only.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request, every template replaced.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// The address as text, without the slash that parsing adds to a bare host.
    pub(crate) address: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) cookies: Vec<(String, String)>,
    pub(crate) body: Bytes,
    /// Sent unless a header of the entry says otherwise.
    pub(crate) content_type: Option<String>,
}

impl Request {
    /// The first value of a header, whatever its case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Evaluates the request of an entry.
pub(crate) fn evaluate(ast: &AstRequest, scope: &Scope, files: &FileRoot) -> Evaluated<Request> {
    let name = ast.method.to_string();
    let method = Method::from_bytes(name.as_bytes())
        .map_err(|_| Fault::new(ast.method_position(), format!("{name:?} is no HTTP method")))?;
    let pairs = |items: &[KeyValue]| -> Evaluated<Vec<(String, String)>> {
        items.iter().map(|item| Ok((scope.text(&item.key)?, scope.text(&item.value)?))).collect()
    };

    let at = ast.url.source_info.start;
    let mut address = scope.text(&ast.url)?;
    let query = pairs(ast.querystring_params())?;
    if !query.is_empty() {
        let (before, fragment) = match address.split_once('#') {
            Some((before, fragment)) => (before.to_owned(), format!("#{fragment}")),
            None => (address, String::new()),
        };
        let joint = if before.contains('?') { '&' } else { '?' };
        address = format!("{before}{joint}{}{fragment}", encode_form(&query));
    }
    let url =
        Url::parse(&address).map_err(|error| Fault::new(at, format!("{address:?} is no URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(Fault::new(at, format!("{address:?} is no http:// or https:// address")));
    }

    let mut headers = pairs(&ast.headers)?;
    if let Some(credentials) = ast.basic_auth() {
        let pair = format!("{}:{}", scope.text(&credentials.key)?, scope.text(&credentials.value)?);
        headers.push(("Authorization".to_owned(), basic(&pair)));
    }
    let mut cookies = Vec::new();
    for cookie in ast.cookies() {
        cookies.push((scope.text(&cookie.name)?, scope.text(&cookie.value)?));
    }

    let form = pairs(ast.form_params())?;
    let (body, content_type) = if !form.is_empty() {
        (Bytes::from(encode_form(&form)), Some("application/x-www-form-urlencoded".to_owned()))
    } else if !ast.multipart_form_data().is_empty() {
        let boundary = format!("safelight-{:032x}", u128::from_be_bytes(random_bytes()));
        let body = multipart(ast.multipart_form_data(), &boundary, scope, files)?;
        (Bytes::from(body), Some(format!("multipart/form-data; boundary={boundary}")))
    } else if let Some(body) = &ast.body {
        let content_type = implicit_content_type(&body.value).map(str::to_owned);
        let bytes = match evaluate_body(body, scope, files)? {
            Value::Bytes(bytes) => bytes,
            other => other.to_string().into_bytes(),
        };
        (Bytes::from(bytes), content_type)
    } else {
        (Bytes::new(), None)
    };
    Ok(Request { method, url, address, headers, cookies, body, content_type })
}

/// The value of an `Authorization` header for `user:password`.
pub(crate) fn basic(pair: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

fn encode_form(pairs: &[(String, String)]) -> String {
    let encode = |text: &str| utf8_percent_encode(text, FORM).to_string();
    pairs
        .iter()
        .map(|(key, value)| format!("{}={}", encode(key), encode(value)))
        .collect::<Vec<_>>()
        .join("&")
}

fn implicit_content_type(body: &AstBytes) -> Option<&'static str> {
    match body {
        AstBytes::Json(_) => Some("application/json"),
        AstBytes::Xml(_) => Some("application/xml"),
        AstBytes::MultilineString(text) => match text.kind {
            MultilineStringKind::Json(_) | MultilineStringKind::GraphQl(_) => Some("application/json"),
            MultilineStringKind::Xml(_) => Some("application/xml"),
            MultilineStringKind::Text(_) | MultilineStringKind::Raw(_) => None,
        },
        AstBytes::OnelineString(_) | AstBytes::Base64(_) | AstBytes::File(_) | AstBytes::Hex(_) => None,
    }
}

fn multipart(
    params: &[MultipartParam],
    boundary: &str,
    scope: &Scope,
    files: &FileRoot,
) -> Evaluated<Vec<u8>> {
    let mut out = Vec::new();
    for param in params {
        out.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
        match param {
            MultipartParam::Param(param) => {
                let (name, value) = (scope.text(&param.key)?, scope.text(&param.value)?);
                let head = format!("Content-Disposition: form-data; name=\"{}\"\r\n\r\n", quoted(&name));
                out.extend_from_slice(head.as_bytes());
                out.extend_from_slice(value.as_bytes());
            }
            MultipartParam::FilenameParam(param) => {
                let name = scope.text(&param.key)?;
                let file = scope.text(&param.value.filename)?;
                let at = param.value.filename.source_info.start;
                let data = files
                    .read(&file)
                    .map_err(|error| Fault::new(at, error.to_string()).hint(error.hint()))?;
                let content_type = match &param.value.content_type {
                    Some(template) => scope.text(template)?,
                    None => content_type_of(&file).to_owned(),
                };
                if content_type.contains(['\r', '\n']) {
                    return Err(Fault::new(at, format!("{content_type:?} is no content type")));
                }
                let head = format!(
                    "Content-Disposition: form-data; name=\"{}\"; filename=\"{}\"\r\nContent-Type: {content_type}\r\n\r\n",
                    quoted(&name),
                    quoted(&file),
                );
                out.extend_from_slice(head.as_bytes());
                out.extend_from_slice(&data);
            }
        }
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok(out)
}

/// A name between quotes, as browsers write it (HTML standard, "multipart/form-data encoding algorithm").
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

/// The content type of a file part that names none (Hurl's "Multipart Form Data" has this list).
fn content_type_of(file: &str) -> &'static str {
    match Path::new(file).extension().and_then(|extension| extension.to_str()) {
        Some("gif") => "image/gif",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("png") => "image/png",
        Some("svg") => "image/svg+xml",
        Some("txt") => "text/plain",
        Some("htm" | "html") => "text/html",
        Some("pdf") => "application/pdf",
        Some("xml") => "application/xml",
        _ => "application/octet-stream",
    }
}
