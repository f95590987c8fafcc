//! Finds what a parsed file asks for and this runner does not do. A construct that is not refused here is run;
//! none is ignored.

use hurl_core::ast::{
    Assert, BooleanOption, Bytes, Capture, CountOption, EntryOption, Filter, FilterValue, HurlFile,
    LineTerminator, OptionKind, Query, QueryValue, Request, Template, TemplateElement,
};
use hurl_core::reader::Pos;
use hurl_core::types::Count;
use serde_json_path::JsonPath;

/// One construct that is refused.
pub(crate) struct Refused {
    pub(crate) at: Pos,
    pub(crate) what: String,
    pub(crate) hint: Option<String>,
}

const XPATH_HINT: &str = "XPath needs libxml2, which a server's binary cannot ask for: use regex on the body, or ask \
                          the service for JSON and use jsonpath";

/// Every refused construct of the file.
pub(crate) fn look(file: &HurlFile) -> Vec<Refused> {
    let mut refused = Vec::new();
    for entry in &file.entries {
        look_at_request(&entry.request, &mut refused);
        let Some(response) = &entry.response else { continue };
        if let Some(body) = &response.body {
            look_at_body(&body.value, body.space0.source_info.end, &mut refused);
        }
        for Capture { query, filters, .. } in response.captures() {
            look_at_query(query, filters.iter().map(|(_, filter)| filter), &mut refused);
        }
        for Assert { query, filters, .. } in response.asserts() {
            look_at_query(query, filters.iter().map(|(_, filter)| filter), &mut refused);
        }
    }
    refused
}

fn refuse(refused: &mut Vec<Refused>, at: Pos, what: impl Into<String>, hint: Option<&str>) {
    refused.push(Refused { at, what: what.into(), hint: hint.map(str::to_owned) });
}

fn look_at_request(request: &Request, refused: &mut Vec<Refused>) {
    for LineTerminator { comment, .. } in &request.line_terminators {
        if let Some(comment) = comment
            && comment.value.trim_start().starts_with("@cookie_storage_")
        {
            let hint = "each run of a journey starts without cookies; set one with a [Cookies] section";
            refuse(
                refused,
                comment.source_info.start,
                "the experimental cookie commands are not supported",
                Some(hint),
            );
        }
    }
    let at = request.method_position();
    let bodies = [
        request.body.is_some(),
        !request.form_params().is_empty(),
        !request.multipart_form_data().is_empty(),
    ];
    if bodies.iter().filter(|present| **present).count() > 1 {
        let what = "a request has one body: of [Form], [Multipart] and a body, choose one";
        refuse(refused, at, what, None);
    }
    if let Some(body) = &request.body {
        look_at_body(&body.value, body.space0.source_info.end, refused);
    }
    for option in request.options() {
        look_at_option(option, refused);
    }
}

fn look_at_body(body: &Bytes, at: Pos, refused: &mut Vec<Refused>) {
    if matches!(body, Bytes::Xml(_)) {
        refuse(refused, at, "a bare XML body is not supported", Some("put it between ```xml and ``` fences"));
    }
}

fn look_at_option(option: &EntryOption, refused: &mut Vec<Refused>) {
    let at = option.space0.source_info.end;
    let name = option.kind.identifier();
    let why = match &option.kind {
        OptionKind::CaCertificate(_)
        | OptionKind::Compressed(_)
        | OptionKind::ConnectTo(_)
        | OptionKind::ConnectTimeout(_)
        | OptionKind::Delay(_)
        | OptionKind::FollowLocation(_)
        | OptionKind::FollowLocationTrusted(_)
        | OptionKind::Header(_)
        | OptionKind::Http10(_)
        | OptionKind::Http11(_)
        | OptionKind::Http2(_)
        | OptionKind::Http2PriorKnowledge(_)
        | OptionKind::Insecure(_)
        | OptionKind::IpV4(_)
        | OptionKind::IpV6(_)
        | OptionKind::MaxRedirect(_)
        | OptionKind::MaxTime(_)
        | OptionKind::NoJsonpathCoercion(_)
        | OptionKind::Resolve(_)
        | OptionKind::Retry(_)
        | OptionKind::RetryInterval(_)
        | OptionKind::Skip(_)
        | OptionKind::User(_)
        | OptionKind::Variable(_)
        | OptionKind::Verbose(_)
        | OptionKind::Verbosity(_)
        | OptionKind::VeryVerbose(_) => return,
        OptionKind::Repeat(CountOption::Literal(Count::Infinite)) => "an endless repeat never ends well",
        OptionKind::Repeat(_) => return,
        OptionKind::Http3(BooleanOption::Literal(false)) => return,
        OptionKind::Http3(_) => "there is no HTTP/3 client in this runner",
        OptionKind::Output(_) => "a journey writes no files",
        OptionKind::FailWithBody(_) => "a journey prints no bodies; its outcome shows what an assert saw",
        OptionKind::AwsSigV4(_) | OptionKind::Digest(_) | OptionKind::Negotiate(_) | OptionKind::Ntlm(_) => {
            "of the ways to authenticate there are [BasicAuth], user, and headers"
        }
        OptionKind::NetRc(_) | OptionKind::NetRcFile(_) | OptionKind::NetRcOptional(_) => {
            "a journey takes its credentials from the secrets of the run only"
        }
        OptionKind::NoHeader(_) => "the client always sends Host and Accept",
        OptionKind::ClientCert(_) | OptionKind::ClientKey(_) => {
            "there are no client certificates in this runner"
        }
        OptionKind::PinnedPublicKey(_) => "assert on the certificate query instead",
        OptionKind::TlsMax(_) | OptionKind::TlsMin(_) => {
            "this runner speaks TLS 1.2 and 1.3 and lets the server choose"
        }
        OptionKind::Proxy(_) => {
            "a journey reaches its hosts directly; resolve or connect-to lead it elsewhere"
        }
        OptionKind::UnixSocket(_) => "a journey speaks TCP",
        OptionKind::LimitRate(_) => "there is no rate limit in this runner",
        OptionKind::PathAsIs(_) => "paths are normalised as browsers do it",
    };
    refuse(refused, at, format!("the option {name} is not supported"), Some(why));
}

fn look_at_query<'a>(query: &Query, filters: impl Iterator<Item = &'a Filter>, refused: &mut Vec<Refused>) {
    match &query.value {
        QueryValue::Xpath { .. } => {
            refuse(refused, query.source_info.start, "the xpath query is not supported", Some(XPATH_HINT));
        }
        QueryValue::Jsonpath { expr, .. } => look_at_jsonpath(expr, refused),
        _ => {}
    }
    for filter in filters {
        match &filter.value {
            FilterValue::XPath { .. } => {
                refuse(
                    refused,
                    filter.source_info.start,
                    "the xpath filter is not supported",
                    Some(XPATH_HINT),
                );
            }
            FilterValue::JsonPath { expr, .. } => look_at_jsonpath(expr, refused),
            _ => {}
        }
    }
}

/// A path without placeholders can be judged before anything is sent.
fn look_at_jsonpath(expr: &Template, refused: &mut Vec<Refused>) {
    if expr.elements.iter().any(|element| matches!(element, TemplateElement::Placeholder(_))) {
        return;
    }
    let path = expr.to_string();
    if let Err(error) = JsonPath::parse(&path) {
        let what = format!("{path:?} is no JSONPath: {}", error.message());
        refuse(refused, expr.source_info.start, what, Some("paths follow RFC 9535, as in Hurl 8"));
    }
}

/// Where a request's method stands.
pub(crate) trait MethodPosition {
    fn method_position(&self) -> Pos;
}

impl MethodPosition for Request {
    fn method_position(&self) -> Pos {
        self.space0.source_info.end
    }
}
