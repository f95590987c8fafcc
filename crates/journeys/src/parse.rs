//! From text to a [`Journey`]: the official parser, then a look for what this runner refuses.

use std::path::{Path, PathBuf};

use hurl_core::ast::HurlFile;
use hurl_core::error::DisplaySourceError as _;
use hurl_core::parser::{self, ParseError, ParseErrorKind};
use hurl_core::reader::Pos;
use hurl_core::text::Format;

use crate::error::{Diagnostic, JourneyError};
use crate::refuse;

/// A parsed Hurl file that this runner can run whole.
#[derive(Clone, Debug)]
pub struct Journey {
    name: String,
    lines: Vec<String>,
    folder: Option<PathBuf>,
    pub(crate) ast: HurlFile,
}

impl Journey {
    /// Parses `text`; `name` stands for the file in messages and outcomes.
    ///
    /// # Errors
    /// [`JourneyError::Syntax`] for the first syntax error, [`JourneyError::Unsupported`] with every construct
    /// that the table in the crate's documentation refuses: nothing of a journey is ever skipped in silence.
    pub fn parse(name: &str, text: &str) -> Result<Self, JourneyError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let ast = parser::parse_hurl_file(text)
            .map_err(|error| JourneyError::Syntax(syntax(name, &lines, &error)))?;
        let mut refused: Vec<Diagnostic> = refuse::look(&ast)
            .into_iter()
            .map(|refused| diagnostic(name, &lines, refused.at, refused.what, refused.hint))
            .collect();
        if ast.entries.is_empty() {
            // An empty journey would succeed without having proved anything.
            let message = "a journey needs at least one request".to_owned();
            refused.push(diagnostic(name, &lines, Pos::new(1, 1), message, None));
        }
        if !refused.is_empty() {
            refused.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
            return Err(JourneyError::Unsupported(refused));
        }
        Ok(Self { name: name.to_owned(), lines, folder: None, ast })
    }

    /// Reads and parses a file. Its folder is the journey's file root unless a run sets another.
    ///
    /// # Errors
    /// [`JourneyError::Read`], and those of [`Journey::parse`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, JourneyError> {
        let path = path.as_ref();
        let read = |source| JourneyError::Read { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(read)?;
        let mut journey = Self::parse(&path.display().to_string(), &text)?;
        journey.folder = Some(match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        });
        Ok(journey)
    }

    /// The name given to [`Journey::parse`], or the path given to [`Journey::load`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many entries (requests as written) the journey has.
    pub fn entries(&self) -> usize {
        self.ast.entries.len()
    }

    /// The folder of the file the journey was loaded from.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// The line as written, without indentation.
    pub(crate) fn line(&self, line: usize) -> &str {
        self.lines.get(line.saturating_sub(1)).map_or("", |text| text.trim())
    }
}

fn diagnostic(name: &str, lines: &[String], at: Pos, message: String, hint: Option<String>) -> Diagnostic {
    Diagnostic {
        file: name.to_owned(),
        line: at.line,
        column: at.column,
        message,
        hint,
        excerpt: lines.get(at.line.saturating_sub(1)).cloned().unwrap_or_default(),
    }
}

fn syntax(name: &str, lines: &[String], error: &ParseError) -> Diagnostic {
    if error.kind == ParseErrorKind::Xml {
        let message = "a bare XML body is not supported".to_owned();
        let hint = "put it between ```xml and ``` fences: it is sent and compared as text".to_owned();
        return diagnostic(name, lines, error.pos, message, Some(hint));
    }
    let content: Vec<&str> = lines.iter().map(String::as_str).collect();
    // The parser's own advice comes with a caret of its own in front.
    let advice = error.fixme(&content).to_string(Format::Plain);
    let advice = advice.trim().trim_start_matches('^').split_whitespace().collect::<Vec<_>>().join(" ");
    let message = match advice.is_empty() {
        true => error.description(),
        false => format!("{}: {advice}", error.description()),
    };
    diagnostic(name, lines, error.pos, message, None)
}
