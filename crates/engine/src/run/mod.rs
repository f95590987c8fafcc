//! A run: the journal of what was intended and what came of it, and the executor that carries a plan out.

pub mod executor;
pub mod journal;

use crate::text::Text;
use serde::{Deserialize, Serialize};

/// How a run ended. There is no fourth way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "end")]
pub enum RunEnd {
    /// The new release serves.
    Done {
        /// Tidying steps that failed.
        warnings: u32,
    },
    /// The old state is back (or nothing was ever changed).
    Undone {
        /// Why.
        reason: Text,
        /// True when no step that changes production had begun.
        untouched: bool,
    },
    /// A step could not be taken back.
    NeedsPerson {
        /// Why the run was being undone.
        reason: Text,
        /// The step that resists, and how.
        stuck: Text,
    },
}
