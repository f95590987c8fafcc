//! Argo Rollouts: an expression over a query, and counters.
//!
//! Emulated after release 1.8's documented analysis: one measurement a minute of the canary's success rate over the
//! last minute, success condition `result[0] >= 0.95`, failure limit 3 (both from its documentation's example),
//! consecutive error limit 4 (the default), and a retry every 10 s after an error. Before the canary's first request
//! the query returns no series, and indexing it is an error; later an empty minute is NaN, which fails the condition
//! unless the condition asks for `isNaN` first.

use super::{Minute, MinuteJudge};

const SUCCESS_NEEDED: f64 = 0.95;
const FAILURE_LIMIT: u32 = 3;
const CONSECUTIVE_ERROR_LIMIT: u32 = 4;
/// The retries that fit between two regular measurements, at one in 10 s.
const RETRIES_A_MINUTE: u32 = 6;

/// What the success condition makes of an empty minute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum OnNoData {
    /// `result[0] >= 0.95`: NaN compares false, the measurement fails.
    Fails,
    /// `isNaN(result[0]) || result[0] >= 0.95`, with the empty vector guarded likewise.
    Passes,
}

#[derive(Debug)]
pub(crate) struct Argo {
    on_no_data: OnNoData,
    seen_any: bool,
    failed: u32,
    consecutive_errors: u32,
}

impl Argo {
    pub(crate) fn new(on_no_data: OnNoData) -> Self {
        Argo { on_no_data, seen_any: false, failed: 0, consecutive_errors: 0 }
    }
}

impl MinuteJudge for Argo {
    fn look(&mut self, _number: u64, minute: Minute) -> bool {
        self.seen_any |= minute.canary.requests > 0;
        match (minute.canary.success_rate(), self.on_no_data) {
            (None, OnNoData::Fails) if !self.seen_any => {
                // The retries fall into the next minute. They fail for certain only if that is empty as well; if not,
                // Argo gets the benefit of the doubt.
                self.consecutive_errors += if self.consecutive_errors == 0 { 1 } else { RETRIES_A_MINUTE };
            }
            (None, OnNoData::Fails) => {
                self.failed += 1;
                self.consecutive_errors = 0;
            }
            (None, OnNoData::Passes) => self.consecutive_errors = 0,
            (Some(success), _) => {
                self.consecutive_errors = 0;
                self.failed += u32::from(success < SUCCESS_NEEDED);
            }
        }
        self.failed > FAILURE_LIMIT || self.consecutive_errors > CONSECUTIVE_ERROR_LIMIT
    }
}

#[cfg(test)]
mod tests {
    use super::super::Tally;
    use super::*;

    fn minutes_until_abort(on_no_data: OnNoData, minutes: &[(u64, u64)]) -> Option<usize> {
        let mut argo = Argo::new(on_no_data);
        let minute = |&(requests, bad)| Minute { canary: Tally { requests, bad }, ..Minute::default() };
        minutes.iter().position(|m| argo.look(0, minute(m))).map(|place| place + 1)
    }

    #[test]
    fn plain_harm_aborts_at_the_fourth_failed_measurement() {
        assert_eq!(minutes_until_abort(OnNoData::Fails, &[(60, 30); 10]), Some(4));
    }

    #[test]
    fn failures_count_though_they_are_far_apart() {
        let mut minutes = [(60, 0); 60];
        [5, 20, 35, 50].into_iter().for_each(|minute| minutes[minute] = (60, 30));
        assert_eq!(minutes_until_abort(OnNoData::Fails, &minutes), Some(51));
    }

    #[test]
    fn no_series_through_the_retries_aborts_by_errors() {
        assert_eq!(minutes_until_abort(OnNoData::Fails, &[(0, 0); 3]), Some(2));
        assert_eq!(minutes_until_abort(OnNoData::Fails, &[(0, 0), (5, 0), (5, 0)]), None);
    }

    #[test]
    fn quiet_minutes_fail_the_plain_condition_and_pass_the_guarded_one() {
        let minutes = [(5, 0), (0, 0), (0, 0), (0, 0), (0, 0)];
        assert_eq!(minutes_until_abort(OnNoData::Fails, &minutes), Some(5));
        assert_eq!(minutes_until_abort(OnNoData::Passes, &minutes), None);
    }
}
