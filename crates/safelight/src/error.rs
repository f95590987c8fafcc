//! What a command can fail with, and the one map from that to exit codes.

use safelight_engine::text::Text;
use safelight_host::api::{ApiError, ErrorKind};

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) struct CommandError {
    pub(crate) kind: Kind,
    pub(crate) message: Text,
    pub(crate) help: Option<Text>,
}

/// What an exit code stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Somebody else holds what was asked for.
    Busy,
    /// Nothing was changed, and what was asked did not come to be.
    Refused,
    /// The command line or the configuration is wrong.
    Usage,
    /// A run is open, and how it ends is not known here.
    Open,
}

impl CommandError {
    pub(crate) fn usage(message: Text) -> Self {
        Self { kind: Kind::Usage, message, help: None }
    }
    pub(crate) fn refused(message: Text) -> Self {
        Self { kind: Kind::Refused, message, help: None }
    }
    pub(crate) fn open(message: Text) -> Self {
        Self { kind: Kind::Open, message, help: None }
    }
    pub(crate) fn io(what: &str, e: &std::io::Error) -> Self {
        Self::refused(Text::same(format!("{what}: {e}")))
    }
    pub(crate) fn with_help(mut self, help: Text) -> Self {
        self.help = Some(help);
        self
    }
    /// As the daemon leaves it for whoever started it.
    pub(crate) fn as_api(&self) -> ApiError {
        let kind = match self.kind {
            Kind::Busy => ErrorKind::Busy,
            Kind::Usage => ErrorKind::Usage,
            Kind::Refused | Kind::Open => ErrorKind::Failed,
        };
        ApiError { kind, message: self.message.clone(), help: self.help.clone() }
    }
    pub(crate) fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Busy | Kind::Refused => 1,
            Kind::Usage => 2,
            Kind::Open => 4,
        }
    }
}

impl From<ApiError> for CommandError {
    fn from(e: ApiError) -> Self {
        let kind = match e.kind {
            ErrorKind::Config | ErrorKind::Usage | ErrorKind::NotFound => Kind::Usage,
            ErrorKind::Busy => Kind::Busy,
            ErrorKind::Failed => Kind::Refused,
        };
        Self { kind, message: e.message, help: e.help }
    }
}
