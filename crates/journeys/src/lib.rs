//! User journeys: [Hurl](https://hurl.dev) files run against any domain or port.
//!
//! A journey is what a user does: sign in, upload, look, delete. The same file runs against a release on a
//! private port, against the public name, and every few minutes after a deploy. The official parser
//! (`hurl_core`) reads it; the runner here keeps to Hurl's documented semantics on reqwest and rustls with ring,
//! so that a server needs neither libcurl nor libxml2 nor OpenSSL.
//!
//! ```no_run
//! # async fn example() -> Result<(), safelight_journeys::JourneyError> {
//! use safelight_journeys::{Journey, RunOptions, run};
//!
//! let journey = Journey::load("journeys/core.hurl")?;
//! let mut options = RunOptions::default();
//! options.variables.insert("base".into(), "https://photos.example.com".into());
//! options.secrets.insert("password".into(), "from the vault".into());
//! // The release under test listens on a private port; Host and TLS name stay those of the journey.
//! options.resolve.push(("photos.example.com".into(), 443, "127.0.0.1:8443".parse().expect("an address")));
//! let outcome = run(&journey, &options).await;
//! if let Some(failure) = &outcome.failure {
//!     eprintln!("{failure}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What is supported
//! Nothing of a file is skipped in silence. What is not run is refused by [`Journey::parse`], with line, column
//! and a way out.
//!
//! | part | runs | refused when parsing |
//! |---|---|---|
//! | methods | all, also unknown ones | |
//! | request sections | `[Query]` `[QueryStringParams]` `[Form]` `[FormParams]` `[Multipart]` `[MultipartFormData]` `[Cookies]` `[BasicAuth]` `[Options]` | two of `[Form]`, `[Multipart]` and a body in one entry |
//! | bodies | JSON, one line, fenced (plain, `json`, `xml`, `raw`, `graphql` with variables), `base64,` `hex,` `file,` | XML without fences |
//! | templates | variables, `newDate`, `newUuid` | |
//! | options | `cacert` `compressed` `connect-timeout` `connect-to` `delay` `header` `http1.0` `http1.1` `http2` `http2-prior-knowledge` `http3: false` `insecure` `ipv4` `ipv6` `location` `location-trusted` `max-redirs` `max-time` `no-jsonpath-coercion` `repeat` `resolve` `retry` `retry-interval` `skip` `user` `variable`; `verbose` `very-verbose` `verbosity` change nothing, as an outcome shows everything | `aws-sigv4` `cert` `key` `digest` `fail-with-body` `http3` `limit-rate` `negotiate` `netrc` `netrc-file` `netrc-optional` `no-header` `ntlm` `output` `path-as-is` `pinnedpubkey` `proxy` `repeat: -1` `tls-max` `tls-min` `unix-socket` |
//! | response line | `HTTP`, `HTTP/1.0`, `HTTP/1.1`, `HTTP/2`, `HTTP/3` (never holds), a status or `*` | |
//! | implicit checks | headers, body (letter by letter, as Hurl does) | XML without fences |
//! | queries | `status` `version` `url` `header` `cookie` with attributes, `body` `bytes` `rawbytes` `jsonpath` `regex` `variable` `duration` `sha256` `md5` `certificate` `ip` `redirects` | `xpath`; a `jsonpath` that is none (RFC 9535) |
//! | filters | all others | `xpath` |
//! | predicates | all, with `not` | |
//! | captures | all, with `redact` | |
//! | comments | | the experimental `@cookie_storage_...` commands |
//!
//! # Where the semantics come from
//! - Order in an entry: version and status; then captures; then headers, body and asserts. A wrong status ends
//!   the step. All asserts of a step are evaluated. A failed step ends the journey.
//! - `retry` sends an entry again until its checks hold, also when there is no answer; -1 means until the time
//!   of the journey is over. `delay` is waited before each `repeat`, not before a retry. Durations without unit
//!   are milliseconds.
//! - Redirects are followed with `location` only. 301, 302 and 303 turn every method into GET; other 3xx keep
//!   method and body. Credentials and `[Cookies]` stay with the first origin unless `location-trusted`.
//! - Cookies are kept from entry to entry and never from run to run; those of `[Cookies]` are sent besides.
//! - A JSONPath with one node yields the node, with several a list, with none nothing.
//! - A value of a type that a predicate does not take fails, also with `not`. Nothing at all fails every
//!   predicate, and so satisfies its `not`.
//! - A regular expression yields its first group. `count` takes lists and bytes; `isEmpty` takes strings too.
//! - A file is read below the file root only, which is the folder of the journey unless the run sets another.
//!
//! # Where it differs from Hurl
//! - `xpath`, as above. `certificate` reads the same attributes, in the notation of `x509-parser`:
//!   `CN=photos.example.com`, `DNS:a, DNS:b`.
//! - HTTP/2 is negotiated over TLS, but a host led to *another port* by [`RunOptions::resolve`] or `connect-to`
//!   is spoken to in HTTP/1.1, as the authority of HTTP/2 cannot be told apart from where it is sent.
//! - Integers in JSON bodies beyond 64 bits are compared as floats.
//! - Proxies of the environment are not used: a journey tests the service, not the way to it.
//! - Dates follow strftime as jiff implements it; `%+` stands for RFC 3339.
//! - A run has a time limit as a whole, and a limit on the size of a body, sent or decompressed.
//!
//! # Secrets
//! Everything in a [`JourneyOutcome`] and a [`TraceEvent`] is redacted: the value of each secret and of each
//! capture marked `redact` becomes `***`, plain as well as percent-encoded, escaped in JSON, in hexadecimal, and
//! in base64 wherever it stands in a longer text, and in HTML. A part of a secret, cut out by a filter, is not
//! recognised. A capture marked late is redacted in earlier steps of the
//! outcome too; a [`TraceEvent`] that was already told knows only the secrets of its time.

mod certificate;
mod check;
mod dates;
mod error;
mod files;
mod filter;
mod needs;
mod options;
mod outcome;
mod parse;
mod predicate;
mod query;
mod refuse;
mod request;
mod response;
mod run;
mod scope;
mod secret;
mod transport;
mod value;

pub use error::{Diagnostic, JourneyError};
pub use outcome::{AssertOutcome, Failure, JourneyOutcome, StepOutcome};
pub use parse::Journey;
pub use run::{DEFAULT_MAX_BODY_BYTES, RunOptions, TraceEvent, TraceSink, run};
pub use secret::{MASK, Secret};
pub use value::{Number, Value};
