//! Flagger: an absolute threshold, and a counter that never goes back.
//!
//! Emulated after its documented canary analysis: interval 1 m, threshold 5, `request-success-rate` with minimum 99
//! (its documentation's example). A minute without values counts as failed. Each run first compares the counter of the
//! earlier ones with the threshold, so the rollback comes one interval after the fifth failed check.

use super::{Minute, MinuteJudge};

const THRESHOLD: u32 = 5;
const SUCCESS_NEEDED: f64 = 0.99;

#[derive(Debug, Default)]
pub(crate) struct Flagger {
    failed_checks: u32,
}

impl MinuteJudge for Flagger {
    fn look(&mut self, _number: u64, minute: Minute) -> bool {
        if self.failed_checks >= THRESHOLD {
            return true;
        }
        let passes = minute.canary.success_rate().is_some_and(|success| success >= SUCCESS_NEEDED);
        self.failed_checks += u32::from(!passes);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::Tally;
    use super::*;

    fn minutes_until_rollback(minutes: &[(u64, u64)]) -> Option<usize> {
        let mut flagger = Flagger::default();
        let minute = |&(requests, bad)| Minute { canary: Tally { requests, bad }, ..Minute::default() };
        minutes.iter().position(|m| flagger.look(0, minute(m))).map(|place| place + 1)
    }

    #[test]
    fn plain_harm_rolls_back_one_interval_after_the_fifth_failed_check() {
        assert_eq!(minutes_until_rollback(&[(60, 30); 10]), Some(6));
    }

    #[test]
    fn silence_counts_as_failure() {
        assert_eq!(minutes_until_rollback(&[(0, 0); 10]), Some(6));
    }

    #[test]
    fn counter_never_goes_back() {
        let mut minutes = [(600, 0); 60];
        [3, 13, 23, 33, 43].into_iter().for_each(|minute| minutes[minute] = (10, 1));
        assert_eq!(minutes_until_rollback(&minutes), Some(45));
    }
}
