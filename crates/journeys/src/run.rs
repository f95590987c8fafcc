//! Runs a journey: entry after entry, with its options, until one fails or the time is over.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hurl_core::ast::Entry;
use hurl_core::reader::Pos;
use hurl_core::types::{Count, ToSource as _};
use percent_encoding::percent_decode_str;
use reqwest::Certificate;
use tokio::time::Instant;

use crate::check::{self, Check};
use crate::files::FileRoot;
use crate::options::{self, EntryOptions, Reroute};
use crate::outcome::{self, AssertOutcome, Failure, JourneyOutcome, StepOutcome};
use crate::parse::Journey;
use crate::query::Exchange;
use crate::refuse::MethodPosition as _;
use crate::request;
use crate::scope::{Fault, Scope};
use crate::secret::Secret;
use crate::transport::{Settings, Transport};
use crate::value::Value;

/// Bytes that the body of an answer may have, as sent and after decompression.
pub const DEFAULT_MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

/// Takes what happens while it happens. It is called between requests and must not block.
pub type TraceSink = Arc<dyn Fn(TraceEvent) + Send + Sync>;

/// One thing that happened in a run. All text is redacted with the secrets known at that moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TraceEvent {
    /// An entry begins.
    StepStarted {
        /// Number of the entry, from 1.
        step: usize,
        /// How many entries there are.
        of: usize,
        /// The method.
        method: String,
        /// The address as written in the file.
        url: String,
    },
    /// An entry failed and will be sent again.
    Retrying {
        /// Number of the entry, from 1.
        step: usize,
        /// How often it was sent.
        attempts: u32,
        /// How long until the next time.
        wait: Duration,
        /// Why the last attempt failed.
        why: String,
    },
    /// An entry is over.
    StepFinished(StepOutcome),
}

/// How a journey is run.
#[derive(Clone)]
pub struct RunOptions {
    /// Variables for `{{name}}`.
    pub variables: BTreeMap<String, Value>,
    /// Variables that are never shown. A secret wins over a variable of the same name.
    pub secrets: BTreeMap<String, Secret>,
    /// Leads a host and port to an address, as `curl --connect-to` does: the `Host` header and the name in the
    /// TLS handshake stay those of the journey. With another port HTTP/1.1 is spoken.
    pub resolve: Vec<(String, u16, SocketAddr)>,
    /// Sent with every request whose entry does not set the same header itself. A value with a secret in it does
    /// not follow a redirect to another origin.
    pub extra_headers: Vec<(String, String)>,
    /// The folder whose files the journey may send and compare. Without one it is the folder of the journey's
    /// own file; a journey parsed from text has none.
    pub file_root: Option<PathBuf>,
    /// Time for the whole journey, waits and retries included.
    pub timeout: Duration,
    /// Time for one request; an entry's `max-time` comes first.
    pub request_timeout: Duration,
    /// Accepts any certificate. Off by default; an entry's `insecure` does it for that entry.
    pub accept_invalid_certs: bool,
    /// Certificates in PEM of authorities that are trusted besides the system's.
    pub authorities_pem: Vec<Vec<u8>>,
    /// Bytes that the body of an answer may have.
    pub max_body_bytes: usize,
    /// Is told what happens.
    pub trace: Option<TraceSink>,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            variables: BTreeMap::new(),
            secrets: BTreeMap::new(),
            resolve: Vec::new(),
            extra_headers: Vec::new(),
            file_root: None,
            timeout: Duration::from_secs(120),
            request_timeout: Duration::from_secs(30),
            accept_invalid_certs: false,
            authorities_pem: Vec::new(),
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
            trace: None,
        }
    }
}

impl fmt::Debug for RunOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunOptions")
            .field("variables", &self.variables)
            .field("secrets", &self.secrets)
            .field("resolve", &self.resolve)
            .field("extra_headers", &self.extra_headers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("file_root", &self.file_root)
            .field("timeout", &self.timeout)
            .field("request_timeout", &self.request_timeout)
            .field("accept_invalid_certs", &self.accept_invalid_certs)
            .field("max_body_bytes", &self.max_body_bytes)
            .finish_non_exhaustive()
    }
}

/// Runs the journey from its first entry, with no cookies, to its end or its first failure.
///
/// Never fails as such: whatever goes wrong is in the outcome. Needs a Tokio runtime with time and I/O. The
/// future may be dropped at any point; the request under way is then aborted.
pub async fn run(journey: &Journey, options: &RunOptions) -> JourneyOutcome {
    let started = Instant::now();
    let timeout = options.timeout;
    let rule = |(host, port, to): &(String, u16, SocketAddr)| Reroute {
        host: Some(host.trim_matches(['[', ']']).to_ascii_lowercase()),
        port: Some(*port),
        to_host: Some(to.ip().to_string()),
        to_port: Some(to.port()),
    };
    let mut settings = Settings {
        reroutes: options.resolve.iter().map(rule).collect(),
        headers: options.extra_headers.clone(),
        authorities: Vec::new(),
        insecure: options.accept_invalid_certs,
        max_body: options.max_body_bytes,
        request_timeout: options.request_timeout,
        // A time too long for the clock is no limit; a year is as good.
        deadline: started.checked_add(timeout).unwrap_or(started + Duration::from_secs(365 * 86_400)),
        timeout,
    };
    let mut unreadable = None;
    for pem in &options.authorities_pem {
        match Certificate::from_pem_bundle(pem) {
            Ok(certificates) => settings.authorities.extend(certificates),
            Err(error) => {
                unreadable = Some(Fault::new(Pos::new(1, 1), format!("an authority is no PEM: {error}")))
            }
        }
    }
    let mut run = Run {
        journey,
        scope: Scope::new(&options.variables, &options.secrets),
        files: FileRoot(options.file_root.clone().or_else(|| journey.folder().map(PathBuf::from))),
        transport: Transport::new(settings),
        trace: options.trace.clone(),
        steps: Vec::new(),
        captured: BTreeSet::new(),
    };
    let failure = match unreadable {
        Some(fault) => Some(run.failure_of(1, "set-up", fault)),
        None => run.entries().await.err(),
    };
    run.finish(failure, started)
}

struct Run<'a> {
    journey: &'a Journey,
    scope: Scope,
    files: FileRoot,
    transport: Transport,
    trace: Option<TraceSink>,
    steps: Vec<StepOutcome>,
    captured: BTreeSet<String>,
}

/// One sending of an entry: what there is to tell, and why it failed, if it did.
struct Attempt {
    step: StepOutcome,
    failure: Option<Failure>,
}

impl<'a> Run<'a> {
    async fn entries(&mut self) -> Result<(), Failure> {
        let entries: &'a [Entry] = &self.journey.ast.entries;
        for (index, entry) in entries.iter().enumerate() {
            let step = index + 1;
            self.tell(|scope| TraceEvent::StepStarted {
                step,
                of: entries.len(),
                method: entry.request.method.to_string(),
                url: scope.redactor.redact(&entry.request.url.to_string()),
            });
            let mut times = 0;
            loop {
                // Evaluated each time, as each time may see other variables.
                let options = match options::evaluate(entry, &mut self.scope, &self.files) {
                    Ok(options) => options,
                    Err(fault) => return Err(self.fail_before_sending(step, entry, fault)),
                };
                if options.skip || options.repeat == 0 {
                    self.push(StepOutcome { skipped: true, ..blank(step, entry) });
                    break;
                }
                self.entry(step, entry, &options).await?;
                times += 1;
                if times >= options.repeat {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Sends one entry until its checks hold or its retries are used up.
    async fn entry(&mut self, step: usize, entry: &'a Entry, options: &EntryOptions) -> Result<(), Failure> {
        if !self.wait(options.delay).await {
            let fault = self.out_of_time(entry.request.method_position(), "the delay of this step");
            return Err(self.fail_before_sending(step, entry, fault));
        }
        let mut attempts = 0;
        loop {
            attempts += 1;
            let Attempt { step: mut outcome, failure } = self.attempt(step, entry, options).await;
            outcome.attempts = attempts;
            let Some(mut failure) = failure else {
                self.push(outcome);
                return Ok(());
            };
            let again = match options.retry {
                None => false,
                Some(Count::Infinite) => true,
                Some(Count::Finite(max)) => attempts as usize <= max,
            };
            if again {
                let wait = options.retry_interval;
                let why = failure.what.clone();
                self.tell(|scope| TraceEvent::Retrying {
                    step,
                    attempts,
                    wait,
                    why: scope.redactor.redact(&why),
                });
                if self.wait(wait).await {
                    continue;
                }
            }
            if options.retry.is_some() {
                let mut note = format!("tried {attempts} times");
                if again {
                    note = format!("{note}, until the journey's time of {:?} was over", self.limit());
                }
                failure.hint = Some(failure.hint.map_or(note.clone(), |hint| format!("{hint} ({note})")));
            }
            self.push(outcome);
            return Err(failure);
        }
    }

    async fn attempt(&mut self, step: usize, entry: &'a Entry, options: &EntryOptions) -> Attempt {
        let mut outcome = blank(step, entry);
        let request = match request::evaluate(&entry.request, &self.scope, &self.files) {
            Ok(request) => request,
            Err(fault) => return self.broken(outcome, fault),
        };
        if let Some(password) = request.url.password() {
            self.scope.redactor.add(&percent_decode_str(password).decode_utf8_lossy());
        }
        outcome.url = without_password(&request);
        let exchange = self.transport.exchange(&request, options, &self.scope.redactor).await;
        let (hops, last) = match exchange {
            Ok(responses) => responses,
            Err(error) => {
                let mut fault = Fault::new(entry.request.url.source_info.start, error.to_string());
                fault.hint = error.hint().map(str::to_owned);
                return self.broken(outcome, fault);
            }
        };
        outcome.status = Some(last.status);
        outcome.version = Some(last.version_text().to_owned());
        outcome.redirects = hops.len();
        outcome.duration = hops.iter().map(|hop| hop.duration).sum::<Duration>() + last.duration;
        let Some(spec) = &entry.response else { return Attempt { step: outcome, failure: None } };

        let mut checks = check::status(spec, &last);
        let mut broken = None;
        if checks.iter().all(|check| check.ok) {
            let exchange = Exchange { hops: &hops, last: &last, coerce: options.coerce };
            match check::captures(spec, exchange, &mut self.scope) {
                Ok(names) => {
                    self.captured.extend(names);
                    checks.extend(check::asserts(spec, exchange, &self.scope, &self.files));
                }
                Err(fault) => broken = Some(fault),
            }
        }
        outcome.asserts = checks.iter().map(|check| self.shown(check)).collect();
        if let Some(fault) = broken {
            return self.broken(outcome, fault);
        }
        let mut failed = checks.iter().zip(&outcome.asserts).filter(|(check, _)| !check.ok);
        let failure = failed.next().map(|(check, shown)| {
            let more = match failed.count() {
                0 => String::new(),
                n => format!(" (and {n} more)"),
            };
            Failure {
                file: self.journey.name().to_owned(),
                line: check.at.line,
                column: check.at.column,
                step,
                request: format!("{} {}", outcome.method, outcome.url),
                what: format!("`{}` does not hold{more}", shown.text),
                expected: Some(shown.expected.clone()),
                actual: Some(shown.actual.clone()),
                hint: check.hint.as_deref().map(|hint| self.keep(hint)),
            }
        });
        Attempt { step: outcome, failure }
    }

    fn shown(&self, check: &Check) -> AssertOutcome {
        AssertOutcome {
            text: self.keep(self.journey.line(check.at.line)),
            ok: check.ok,
            expected: self.keep(&check.expected),
            actual: self.keep(&check.actual),
            line: check.at.line,
        }
    }

    fn broken(&self, mut outcome: StepOutcome, fault: Fault) -> Attempt {
        let request = format!("{} {}", outcome.method, outcome.url);
        let failure = self.failure_of(outcome.step, &request, fault);
        outcome.error = Some(failure.what.clone());
        Attempt { step: outcome, failure: Some(failure) }
    }

    fn fail_before_sending(&mut self, step: usize, entry: &Entry, fault: Fault) -> Failure {
        let outcome = blank(step, entry);
        let failure = self.failure_of(step, &format!("{} {}", outcome.method, outcome.url), fault);
        self.push(StepOutcome { error: Some(failure.what.clone()), ..outcome });
        failure
    }

    fn failure_of(&self, step: usize, request: &str, fault: Fault) -> Failure {
        Failure {
            file: self.journey.name().to_owned(),
            line: fault.at.line,
            column: fault.at.column,
            step,
            request: self.keep(request),
            what: self.keep(&fault.what),
            expected: None,
            actual: None,
            hint: fault.hint.as_deref().map(|hint| self.keep(hint)),
        }
    }

    fn out_of_time(&self, at: Pos, during: &str) -> Fault {
        Fault::new(at, format!("the journey's time of {:?} ended during {during}", self.limit()))
            .hint("give the journey more time")
    }

    fn limit(&self) -> Duration {
        self.transport.settings().timeout
    }

    /// Waits; false if the journey's time is over before.
    async fn wait(&self, duration: Duration) -> bool {
        let deadline = self.transport.settings().deadline;
        let now = Instant::now();
        let Some(until) = now.checked_add(duration).filter(|until| *until < deadline) else {
            tokio::time::sleep_until(deadline).await;
            return false;
        };
        if until > now {
            tokio::time::sleep_until(until).await;
        }
        true
    }

    fn keep(&self, text: &str) -> String {
        outcome::keep(&self.scope.redactor, text)
    }

    fn push(&mut self, step: StepOutcome) {
        self.tell(|scope| TraceEvent::StepFinished(outcome::clean_step(&scope.redactor, &step)));
        self.steps.push(step);
    }

    fn tell(&self, event: impl FnOnce(&Scope) -> TraceEvent) {
        if let Some(trace) = &self.trace {
            trace(event(&self.scope));
        }
    }

    fn finish(self, failure: Option<Failure>, started: Instant) -> JourneyOutcome {
        let shown = |name: &String| Some((name.clone(), self.keep(&self.scope.get(name)?.to_string())));
        let captures = self.captured.iter().filter_map(shown).collect();
        let mut outcome = JourneyOutcome {
            name: self.journey.name().to_owned(),
            success: failure.is_none(),
            steps: self.steps,
            duration: started.elapsed(),
            failure,
            captures,
        };
        outcome::clean(&self.scope.redactor, &mut outcome);
        outcome
    }
}

/// A step of which nothing is known but what the file says.
fn blank(step: usize, entry: &Entry) -> StepOutcome {
    StepOutcome {
        step,
        line: entry.request.method_position().line,
        method: entry.request.method.to_string(),
        url: entry.request.url.to_source().to_string(),
        ..StepOutcome::default()
    }
}

/// The address to show: a password written into it is nobody's business, declared a secret or not.
fn without_password(request: &request::Request) -> String {
    if request.url.password().is_none() {
        return request.address.clone();
    }
    let mut url = request.url.clone();
    match url.set_password(Some(crate::secret::MASK)) {
        Ok(()) => url.to_string(),
        Err(()) => request.url.host_str().unwrap_or_default().to_owned(),
    }
}
