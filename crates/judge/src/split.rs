//! Owns the check that sessions really are split as announced.
//! Must not look at outcomes.

use serde::{Deserialize, Serialize};

use crate::ratio::{RatioGrid, RatioProcess};
use crate::sample::{Admission, SessionSample};
use crate::session::{SessionId, Share, Version};

/// Sessions between two looks. Looking less often never breaks the bound, and saves time on the hot path.
const LOOK_EVERY: u64 = 64;

/// The same e-process as for harm, on new sessions instead of failures and in both directions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SplitCheck {
    process: RatioProcess,
    sample: SessionSample<()>,
    share: Share,
    waiting_canary: u64,
    waiting_stable: u64,
    canary: u64,
    sessions: u64,
    expected: f64,
    mismatch: bool,
}

impl SplitCheck {
    pub(crate) fn new(max_sessions: usize) -> Self {
        SplitCheck {
            process: RatioProcess::new(RatioGrid::two_sided(), 1.0),
            sample: SessionSample::new(max_sessions),
            share: Share::NONE,
            waiting_canary: 0,
            waiting_stable: 0,
            canary: 0,
            sessions: 0,
            expected: 0.0,
            mismatch: false,
        }
    }

    /// Counts a session at its first request.
    pub(crate) fn observe(&mut self, session: SessionId, version: Version, share: Share, alpha: f64) {
        // With one version only there is no split; the session may still be new when there is one.
        if !share.splits() || !matches!(self.sample.admit(session.mark(), ()), Admission::New(())) {
            return;
        }
        if share != self.share {
            self.look(alpha);
            self.share = share;
        }
        self.sessions = self.sessions.saturating_add(1);
        self.expected += share.get();
        match version {
            Version::Canary => {
                self.canary = self.canary.saturating_add(1);
                self.waiting_canary = self.waiting_canary.saturating_add(1);
            }
            Version::Stable => self.waiting_stable = self.waiting_stable.saturating_add(1),
        }
        if self.waiting_canary.saturating_add(self.waiting_stable) >= LOOK_EVERY {
            self.look(alpha);
        }
    }

    fn look(&mut self, alpha: f64) {
        self.process.record(self.share, Version::Canary, std::mem::take(&mut self.waiting_canary));
        self.process.record(self.share, Version::Stable, std::mem::take(&mut self.waiting_stable));
        self.mismatch |= self.process.log_e() >= -alpha.ln();
    }

    pub(crate) fn mismatch(&self) -> bool {
        self.mismatch
    }

    /// New sessions on the canary, in all, and how many of them the share explains.
    pub(crate) fn tally(&self) -> (u64, u64, f64) {
        (self.canary, self.sessions, self.expected)
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.process.is_sound()
    }
}
