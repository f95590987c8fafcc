//! User journeys: Hurl files run against any domain or port.
mod certificate;
mod check;
mod dates;
mod error;
mod files;
mod filter;
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
