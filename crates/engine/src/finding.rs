//! What a check found: an outcome with the evidence for it.
//! Never decides anything: risks and the verdict do.

use crate::{
    risk::{AppliedWaiver, RiskId},
    text::Text,
};
use serde::{Deserialize, Serialize};

/// How a check ended. Ordered from best to worst: an [`Outcome::Unknown`] is worse than a warning, because
/// "could not look" must never pass for "looked and found nothing".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Does not apply here; the evidence says why.
    Skipped,
    /// Looked, and all is well.
    Pass,
    /// Looked; it works but something wants attention.
    Warn,
    /// Could not look.
    Unknown,
    /// Looked, and it is not well.
    Fail,
}

impl Outcome {
    /// True for outcomes that keep a deploy from going.
    #[must_use]
    pub fn blocks(self) -> bool {
        matches!(self, Self::Unknown | Self::Fail)
    }

    /// A word for tables.
    #[must_use]
    pub fn word(self) -> Text {
        match self {
            Self::Skipped => Text::new("skipped", "跳过"),
            Self::Pass => Text::new("pass", "通过"),
            Self::Warn => Text::new("warn", "警告"),
            Self::Unknown => Text::new("unknown", "未知"),
            Self::Fail => Text::new("fail", "失败"),
        }
    }
}

/// One measured value next to what it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What was measured.
    pub label: Text,
    /// The value that was found, with its unit. Never a secret.
    pub value: Text,
    /// What it has to be, with its unit; `None` when it only informs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<Text>,
}

/// What one check found about one subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The check's id, `P1`.
    pub id: String,
    /// The check's title.
    pub title: Text,
    /// What was looked at: a host, a service, a domain, a path.
    pub subject: String,
    /// How it ended.
    pub outcome: Outcome,
    /// One sentence that says it.
    pub summary: Text,
    /// The values behind it.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
    /// What to do about it; empty for a pass.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub help: Option<Text>,
    /// The risks this finding speaks to.
    #[serde(default)]
    pub risks: Vec<RiskId>,
    /// The waiver that keeps this finding from blocking, if there is one in force.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub waiver: Option<AppliedWaiver>,
    /// How long the check took, in milliseconds.
    #[serde(default)]
    pub millis: u64,
}

impl Finding {
    /// A finding of `check` about `subject`; `with_*` methods add to it.
    #[must_use]
    pub fn new(
        check: &crate::check::CheckSpec,
        subject: impl Into<String>,
        outcome: Outcome,
        summary: Text,
    ) -> Self {
        Self {
            id: check.id.to_owned(),
            title: Text::new(check.title.0, check.title.1),
            subject: subject.into(),
            outcome,
            summary,
            evidence: Vec::new(),
            help: None,
            risks: check.risks.iter().map(|r| RiskId::from(*r)).collect(),
            waiver: None,
            millis: 0,
        }
    }

    /// Adds a value that only informs.
    #[must_use]
    pub fn with_fact(mut self, label: Text, value: impl Into<String>) -> Self {
        self.evidence.push(Evidence { label, value: Text::same(value), limit: None });
        self
    }

    /// Adds a value that is a sentence.
    #[must_use]
    pub fn with_note(mut self, label: Text, value: Text) -> Self {
        self.evidence.push(Evidence { label, value, limit: None });
        self
    }

    /// Adds a value next to its limit: `[84.2 %] < 80 %`.
    #[must_use]
    pub fn with_limit(mut self, label: Text, value: impl Into<String>, limit: impl Into<String>) -> Self {
        self.evidence.push(Evidence { label, value: Text::same(value), limit: Some(Text::same(limit)) });
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn with_help(mut self, help: Text) -> Self {
        self.help = Some(help);
        self
    }
}
