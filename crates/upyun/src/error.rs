//! What Upyun answers when it refuses: an HTTP status, an eight-digit code, a message.
//!
//! Source: `upyun/docs` api/errno and cdn/config.
use std::fmt;

use serde_json::Value;

/// An eight-digit code; its first three digits are the HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorCode(pub u32);

macro_rules! codes {
    ($($name:ident = $code:literal, $meaning:literal;)*) => {
        impl ErrorCode {
            $(#[doc = concat!("`", $code, "`: ", $meaning, ".")] pub const $name: Self = Self($code);)*

            /// Every code this crate has a name for.
            pub const KNOWN: &[Self] = &[$(Self::$name),*];

            /// The documented meaning, for codes that have a name here.
            pub fn meaning(self) -> Option<&'static str> {
                match self.0 { $($code => Some($meaning),)* _ => None }
            }
        }
    };
}

codes! {
    NEED_SAVE_KEY = 40000001, "need save-key";
    NEED_BUCKET = 40000003, "need bucket";
    NEED_EXPIRATION = 40000004, "need expiration";
    NEED_FILE = 40000005, "need file";
    NEED_POLICY = 40000007, "need policy";
    NEED_SIGNATURE = 40000008, "need signature";
    BAD_POLICY = 40000009, "the policy cannot be decoded";
    EXT_PARAM_TOO_LONG = 40000010, "ext-param is too long";
    BUCKET_MISMATCH = 40000036, "the bucket in the path is not the policy's";
    COPY_SOURCE_INVALID = 40000040, "the source of a copy or move is not valid";
    BAD_CONTENT_MD5 = 40001001, "the Content-MD5 is wrong";
    FILE_ALREADY_UPLOADED = 40011059, "the resumable upload is complete already";
    PART_ID_ERROR = 40011061, "the part's number is not the expected one";
    BUCKET_NOT_BOUND = 40010041, "the CDN serves no bucket under this host name";
    NEED_DATE = 40100001, "need the Date header";
    DATE_OFFSET = 40100002, "the date is more than 30 minutes off";
    NEED_AUTHORIZATION = 40100004, "need the Authorization header";
    SIGNATURE_ERROR = 40100005, "the signature is wrong";
    USER_NOT_EXISTS = 40100006, "no such operator";
    PASSWORD_ERROR = 40100009, "the password is wrong";
    BUCKET_NOT_EXIST = 40100012, "no such bucket";
    BUCKET_BLOCKED = 40100013, "the bucket is blocked";
    INVALID_DATE = 40100016, "the date cannot be read";
    NEED_PERMISSION = 40100017, "the operator lacks the right";
    OVERDUE = 40100021, "the account is overdue";
    DIRECTORY_NOT_EMPTY = 40300005, "the directory is not empty";
    AUTHORIZATION_EXPIRED = 40300006, "the authorization has expired";
    MD5_MISMATCH = 40300007, "the file does not have the stated MD5";
    TOO_SMALL = 40300008, "the file is smaller than allowed";
    TOO_LARGE = 40300009, "the file is larger than allowed";
    FILE_TYPE = 40300010, "the file's type is not allowed";
    NO_DELETE_RIGHT = 40300011, "no permission to delete";
    FORM_API_DISABLED = 40300013, "the form API is switched off";
    BAD_CONTENT_SECRET = 40300016, "the content secret has characters that are not allowed";
    NO_SUCH_STYLE = 40300017, "the bucket has no such style";
    NOT_AN_IMAGE = 40300018, "the file is not an image";
    IMAGE_WIDTH = 40300019, "the image's width is outside the range";
    IMAGE_HEIGHT = 40300020, "the image's height is outside the range";
    REQUEST_EXPIRED = 40300028, "the request has expired";
    TOKEN_REFUSED = 40310013, "the CDN refuses the token";
    REFERER_REFUSED = 40310014, "the CDN refuses the Referer";
    NOT_FOUND = 40400001, "file or directory not found";
    FOLDER_EXISTS = 40600002, "the folder exists already";
    BODY_TOO_LARGE = 41300001, "the body is too large";
    RATE_LIMITED = 42900001, "too many requests";
}

impl ErrorCode {
    /// The HTTP status in the code, if it is an eight-digit one.
    pub fn http_status(self) -> Option<u16> {
        (10_000_000..=99_999_999).contains(&self.0).then(|| u16::try_from(self.0 / 100_000).ok())?
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// What was asked, such as `PUT /photos/a.jpg`.
    pub operation: String,
    /// HTTP status.
    pub status: u16,
    /// The code, when the answer had one. Answers to HEAD have it in the header `X-Error-Code` only.
    pub code: Option<ErrorCode>,
    /// The service's own words, at most 300 characters.
    pub message: String,
    /// For Upyun's support.
    pub request_id: Option<String>,
}

impl ApiError {
    /// Reads a refusal from the parts of an HTTP answer: JSON with `code` (number or, from the CDN, text) and `msg`,
    /// else the headers, else the bare status.
    pub fn read(
        operation: impl Into<String>,
        status: u16,
        error_code_header: Option<&str>,
        request_id_header: Option<&str>,
        body: &[u8],
    ) -> Self {
        let json: Option<Value> = serde_json::from_slice(body).ok();
        let field = |names: &[&str]| {
            let value = names.iter().find_map(|name| json.as_ref()?.get(name))?;
            value.as_str().map(str::to_owned).or_else(|| value.as_u64().map(|number| number.to_string()))
        };
        let code = field(&["code"]).or_else(|| error_code_header.map(str::to_owned));
        let code = code.and_then(|text| text.trim().parse().ok()).map(ErrorCode);
        let raw = || String::from_utf8_lossy(body).into_owned();
        let message = field(&["msg", "message"]).unwrap_or_else(raw);
        Self {
            operation: operation.into(),
            status,
            code,
            message: message.chars().filter(|c| !c.is_control()).take(300).collect(),
            request_id: request_id_header.map(str::to_owned).or_else(|| field(&["id"])),
        }
    }

    /// Whether the same request may succeed later without a change: rate limits and faults of the service.
    pub fn is_retryable(&self) -> bool {
        self.status == 429 || self.status >= 500
    }

    /// Whether the file or folder is missing.
    pub fn is_not_found(&self) -> bool {
        self.status == 404
    }

    /// What to do about it, for the codes that have one answer.
    pub fn advice(&self) -> Option<&'static str> {
        Some(match self.code? {
            ErrorCode::DATE_OFFSET => "set this machine's clock (NTP): Upyun accepts 30 minutes",
            ErrorCode::SIGNATURE_ERROR | ErrorCode::PASSWORD_ERROR => "check the operator's password",
            ErrorCode::USER_NOT_EXISTS => "check the operator's name",
            ErrorCode::BUCKET_NOT_EXIST => "check the bucket's name",
            ErrorCode::NEED_PERMISSION | ErrorCode::NO_DELETE_RIGHT => {
                "give the operator read, write and delete rights on the bucket in the console"
            }
            ErrorCode::FORM_API_DISABLED => "switch the form API on for the bucket in the console",
            ErrorCode::NO_SUCH_STYLE => "make the style in the console, under image processing of the bucket",
            ErrorCode::BUCKET_NOT_BOUND => "bind the domain to the bucket in the console and check its CNAME",
            ErrorCode::OVERDUE => "top up the Upyun account",
            _ => return None,
        })
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upyun refused {}: HTTP {}", self.operation, self.status)?;
        if let Some(code) = self.code {
            write!(f, ", code {code}")?;
        }
        let said = if self.message.is_empty() {
            self.code.and_then(ErrorCode::meaning)
        } else {
            Some(&*self.message)
        };
        if let Some(said) = said {
            write!(f, ", {said}")?;
        }
        if let Some(advice) = self.advice() {
            write!(f, "; {advice}")?;
        }
        if let Some(id) = &self.request_id {
            write!(f, " (request {id})")?;
        }
        Ok(())
    }
}

impl std::error::Error for ApiError {}
