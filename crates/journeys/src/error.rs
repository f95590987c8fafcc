//! Why a journey cannot be run at all: its file cannot be read, parsed, or asks for what is refused.
//! What goes wrong during a run is not an error but a [`crate::Failure`] in the outcome.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// A journey that cannot be run. Nothing was sent.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JourneyError {
    /// The file cannot be read.
    #[error("cannot read the journey {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason the system gives.
        source: std::io::Error,
    },
    /// The text is no Hurl file.
    #[error("{0}")]
    Syntax(Diagnostic),
    /// The text is a Hurl file and asks for something this runner does not do. All such places are listed.
    #[error("{}", list(.0))]
    Unsupported(Vec<Diagnostic>),
}

impl JourneyError {
    /// The places in the file that this error is about; none for a file that cannot be read.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        match self {
            Self::Read { .. } => &[],
            Self::Syntax(diagnostic) => std::slice::from_ref(diagnostic),
            Self::Unsupported(diagnostics) => diagnostics,
        }
    }
}

fn list(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// One place in a journey's text and what is wrong there. Prints as `file:line:column: message`, the line of
/// the text, and a caret below the column.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Diagnostic {
    /// The journey's name, usually its file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// The line of the text.
    pub excerpt: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        let gutter = self.line.to_string();
        writeln!(f, "{gutter} | {}", self.excerpt)?;
        // The caret keeps the tabs of the line above it, so that it stands below its character in any terminal.
        let lead: String = self
            .excerpt
            .chars()
            .chain(std::iter::repeat(' '))
            .take(self.column.saturating_sub(1))
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        write!(f, "{} | {lead}^", " ".repeat(gutter.len()))?;
        if let Some(hint) = &self.hint {
            write!(f, "\n{} = {hint}", " ".repeat(gutter.len()))?;
        }
        Ok(())
    }
}
