//! Go or no-go: a pure function of the findings and the register.
//! Does no probing and keeps no state.

use crate::{
    finding::{Finding, Outcome},
    risk::{RiskRegister, RiskState},
    text::Text,
};
use serde::{Deserialize, Serialize};

/// The decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// Nothing stands in the way.
    Go,
    /// Something does, and somebody took responsibility for it.
    GoWithWaivers,
    /// A check failed.
    NoGo,
    /// No check failed, but at least one could not look.
    Inconclusive,
}

/// The decision and what led to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The decision.
    pub decision: Decision,
    /// The findings that block, as `id subject`.
    pub blocking: Vec<String>,
    /// Findings of every outcome, counted: pass, warn, fail, unknown, skipped.
    pub counts: Counts,
}

/// How many findings ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Passed.
    pub pass: usize,
    /// Warned.
    pub warn: usize,
    /// Failed.
    pub fail: usize,
    /// Could not look.
    pub unknown: usize,
    /// Did not apply.
    pub skipped: usize,
}

impl Verdict {
    /// Decides, from the states of the risks alone; the findings are only counted and named. A register in which no
    /// risk was looked at is inconclusive: a check run that looked at nothing proves nothing.
    #[must_use]
    pub fn of(register: &RiskRegister, findings: &[Finding]) -> Self {
        let mut counts = Counts::default();
        for f in findings {
            *match f.outcome {
                Outcome::Pass => &mut counts.pass,
                Outcome::Warn => &mut counts.warn,
                Outcome::Fail => &mut counts.fail,
                Outcome::Unknown => &mut counts.unknown,
                Outcome::Skipped => &mut counts.skipped,
            } += 1;
        }
        let decision = match register.0.iter().map(|r| r.state).max() {
            Some(RiskState::Open) => Decision::NoGo,
            Some(RiskState::Waived) => Decision::GoWithWaivers,
            Some(RiskState::Mitigated) => Decision::Go,
            Some(RiskState::Unknown | RiskState::NotApplicable) | None => Decision::Inconclusive,
        };
        let blocking = findings
            .iter()
            .filter(|f| f.outcome.blocks() && f.waiver.is_none())
            .map(|f| format!("{} {}", f.id, f.subject))
            .collect();
        Self { decision, blocking, counts }
    }

    /// True when a deploy may begin.
    #[must_use]
    pub fn may_go(&self) -> bool {
        matches!(self.decision, Decision::Go | Decision::GoWithWaivers)
    }

    /// The decision in words.
    #[must_use]
    pub fn word(&self) -> Text {
        match self.decision {
            Decision::Go => Text::new("GO", "可以部署"),
            Decision::GoWithWaivers => Text::new("GO, with waivers", "可以部署（有豁免）"),
            Decision::NoGo => Text::new("NO-GO", "不可部署"),
            Decision::Inconclusive => {
                Text::new("NO-GO: not everything could be checked", "不可部署：有项目无法检查")
            }
        }
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
