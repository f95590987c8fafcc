//! What went wrong, in a form that each reader says in their own language.

use serde::{Deserialize, Serialize};

/// A code that the pages have words for, and what belongs to the one case: a file, numbers, the words of a library. It is
/// stored as one line, `code: detail`, which a release that knows nothing of codes shows as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coded {
    /// Stable code; `other` when the line has none that is known.
    pub code: String,
    /// Perhaps empty.
    #[serde(default)]
    pub detail: String,
}

/// Codes of what is wrong with the files of a photo.
pub const FAULTS: [&str; 8] = [
    "original_missing",
    "original_size",
    "original_replaced",
    "original_damaged",
    "file_missing",
    "file_empty",
    "not_shown",
    "unreadable",
];

/// Codes of why a job failed: those of the API's errors that a job can meet, and two of the queue's own.
pub const JOB_ERRORS: [&str; 16] = [
    "killed",
    "panicked",
    "bad_request",
    "forbidden",
    "not_found",
    "no_roll",
    "no_album",
    "too_large",
    "unsupported_type",
    "bad_image",
    "busy",
    "database",
    "given_up",
    "not_there",
    "store",
    "internal",
];

impl Coded {
    /// A code with what belongs to the case.
    #[must_use]
    pub fn new(code: &str, detail: impl Into<String>) -> Self {
        Self { code: code.to_owned(), detail: detail.into() }
    }

    /// As it is stored.
    #[must_use]
    pub fn line(&self) -> String {
        let detail = self.detail.replace(['\n', '\r'], " ");
        if detail.is_empty() { self.code.clone() } else { format!("{}: {detail}", self.code) }
    }

    /// Reads a stored line. One of an older release, or with a code of a newer one, is all detail.
    #[must_use]
    pub fn parse(line: &str, known: &[&str]) -> Self {
        let (code, detail) = line.split_once(": ").unwrap_or((line, ""));
        if known.contains(&code) { Self::new(code, detail) } else { Self::new("other", line) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_back_as_it_was_and_an_old_one_is_all_detail() {
        for fault in [Coded::new("file_missing", "thumb.jpg"), Coded::new("original_missing", "")] {
            assert_eq!(Coded::parse(&fault.line(), &FAULTS), fault);
        }
        assert_eq!(Coded::new("store", "two\nlines: here").line(), "store: two lines: here");
        let old = "the original is missing; thumb.jpg is missing";
        assert_eq!(Coded::parse(old, &FAULTS), Coded::new("other", old));
        assert_eq!(Coded::parse("database: gone", &FAULTS).code, "other", "a code of another list");
    }
}
