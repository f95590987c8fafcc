//! Owns the emulated judges of other tools and a home-made test, as they decide by default or in their own examples.
//! Must contain none of their code: each is written from its documented behaviour, with golden cases.

mod argo;
mod flagger;
mod kayenta;
mod mann_whitney;
mod z_test;

pub(crate) use argo::{Argo, OnNoData};
pub(crate) use flagger::Flagger;
pub(crate) use kayenta::Kayenta;
pub(crate) use z_test::ZTest;

/// What a metrics server would have counted in one minute.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Minute {
    pub(crate) canary: Tally,
    pub(crate) stable: Tally,
}

/// Requests and failures.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) bad: u64,
}

impl Tally {
    /// The part that succeeded; `None` is the NaN of a division by zero.
    pub(crate) fn success_rate(self) -> Option<f64> {
        (self.requests > 0).then(|| 1.0 - self.bad as f64 / self.requests as f64)
    }

    pub(crate) fn error_rate(self) -> Option<f64> {
        self.success_rate().map(|success| 1.0 - success)
    }

    pub(crate) fn plus(self, other: Tally) -> Tally {
        Tally { requests: self.requests + other.requests, bad: self.bad + other.bad }
    }
}

/// A judge that looks once a minute. `true` is an alarm: abort, roll back.
pub(crate) trait MinuteJudge {
    /// Takes the minute that just ended; `number` counts from 1.
    fn look(&mut self, number: u64, minute: Minute) -> bool;
}
