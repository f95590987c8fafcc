//! The checks, one file each. A new one is its file and one line in [`all`].

use crate::check::Check;
use std::sync::Arc;

/// Every check, in the order of reports.
#[must_use]
pub fn all() -> Vec<Arc<dyn Check>> {
    vec![]
}
