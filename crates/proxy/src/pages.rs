//! The small pages that the proxy answers with itself: HTML for people, JSON for programs.

use bytes::Bytes;
use http::HeaderMap;
use pingora_http::ResponseHeader;

/// An answer of the proxy's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) status: u16,
    /// Stable word for programs, sent as `X-Safelight-Error` and in the JSON body.
    pub(crate) code: &'static str,
    pub(crate) text: &'static str,
    pub(crate) retry_after_s: Option<u32>,
}

const fn page(status: u16, code: &'static str, text: &'static str) -> Page {
    Page { status, code, text, retry_after_s: None }
}

const fn busy(code: &'static str, text: &'static str) -> Page {
    Page { status: 503, code, text, retry_after_s: Some(5) }
}

pub(crate) const BAD_REQUEST: Page = page(400, "bad_request", "The request cannot be understood.");
pub(crate) const NO_ROUTE: Page = page(404, "no_route", "Nothing is published at this path.");
pub(crate) const TIMEOUT_IN: Page = page(408, "request_timeout", "The request took too long to arrive.");
pub(crate) const UNKNOWN_HOST: Page = page(421, "unknown_host", "This server has no site of that name.");
pub(crate) const HEADER_TOO_LARGE: Page = page(431, "header_too_large", "The request header is too large.");
pub(crate) const REFUSED: Page =
    page(502, "upstream_refused", "The service cannot be reached at the moment.");
pub(crate) const BROKEN: Page = page(502, "upstream_broken", "The service broke off before it answered.");
pub(crate) const TIMEOUT_OUT: Page = page(504, "upstream_timeout", "The service did not answer in time.");
pub(crate) const QUEUE_FULL: Page = busy("held_queue_full", "The service is restarting. Please try again.");
pub(crate) const HELD_TOO_LONG: Page = busy("held_too_long", "The service is restarting. Please try again.");

impl Page {
    /// Header and body, in the form that the client prefers.
    pub(crate) fn render(&self, request: &HeaderMap) -> pingora_core::Result<(ResponseHeader, Bytes)> {
        let accept = request.get(http::header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
        let (kind, body) = if accept.contains("text/html") {
            let (status, text) = (self.status, self.text);
            let html = format!(
                "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
                 content=\"width=device-width\"><title>{status}</title><body style=\"font:1.1em system-ui;\
                 margin:20vh auto;max-width:30em;padding:0 1em\"><h1>{status}</h1><p>{text}</p></body></html>\n"
            );
            ("text/html; charset=utf-8", html)
        } else {
            let json = format!(
                "{{\"status\":{},\"error\":\"{}\",\"message\":\"{}\"}}\n",
                self.status, self.code, self.text
            );
            ("application/json", json)
        };
        let mut header = ResponseHeader::build(self.status, Some(6))?;
        header.insert_header(http::header::CONTENT_TYPE, kind)?;
        header.insert_header(http::header::CONTENT_LENGTH, body.len())?;
        header.insert_header(http::header::CACHE_CONTROL, "no-store")?;
        header.insert_header("x-safelight-error", self.code)?;
        if let Some(seconds) = self.retry_after_s {
            header.insert_header(http::header::RETRY_AFTER, seconds)?;
        }
        Ok((header, body.into()))
    }
}
