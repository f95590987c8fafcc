//! The host's resources during the watch: what undoes a deploy, and what is only said.
//!
//! A host over its limits undoes nothing by itself: it may have been so before, or the nightly backup of another program
//! runs. It undoes the deploy when the release is what did it: the host is well above where it was before the release
//! was started, and the release's own processes account for that.

use super::Signal;
use crate::text::Text;
use serde::{Deserialize, Serialize};

/// Points in percent of the host by which it has to be worse than before, and that the release's own processes have to
/// take beyond what the old release took. Less is what hosts do by themselves.
const WORSE: f64 = 10.0;

/// A resource of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceKind {
    /// Time of its processors.
    Cpu,
    /// Memory that no new program could have.
    Memory,
    /// Room on the disk that holds releases and shared files.
    Disk,
}

impl ResourceKind {
    /// Its name.
    #[must_use]
    pub fn word(self) -> Text {
        match self {
            Self::Cpu => Text::new("cpu", "CPU"),
            Self::Memory => Text::new("memory", "内存"),
            Self::Disk => Text::new("disk", "磁盘"),
        }
    }
}

/// One resource in one look. All values are percent of the host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// Which.
    pub kind: ResourceKind,
    /// In use; memory without that of the old release, which ends with the watch.
    pub used: f64,
    /// This much is too much; 100 for no limit.
    pub limit: f64,
    /// In use before the release was started.
    pub before: Option<f64>,
    /// Used by the release's own processes beyond what the old one's used before.
    pub own: Option<f64>,
}

impl Resource {
    pub(super) fn judge(&self) -> Signal {
        if self.limit >= 100.0 || self.used < self.limit {
            return Signal::Good;
        }
        let caused =
            self.before.is_some_and(|b| self.used - b >= WORSE) && self.own.is_some_and(|o| o >= WORSE);
        let what = self.said();
        if caused { Signal::Bad(what) } else { Signal::Said(what) }
    }

    fn said(&self) -> Text {
        let (kind, used, limit) = (self.kind.word(), self.used, self.limit);
        let number = |v: Option<f64>| v.map_or_else(|| "?".to_owned(), |v| format!("{:.0} %", v.max(0.0)));
        let (before, own) = (number(self.before), number(self.own));
        let (en, zh) = (kind.en, kind.zh);
        crate::text!(
            "{en} of the host: {used:.0} % in use (limit {limit:.0} %), {before} before the deploy, {own} more by this release",
            "主机{zh}占用 {used:.0} %（上限 {limit:.0} %），部署前 {before}，本版本多占 {own}"
        )
    }
}
