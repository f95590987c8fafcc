//! Owns what the judge is told: one finished request.
//! Must not decide anything about it.

use serde::{Deserialize, Serialize};

use crate::session::{SessionId, Share, Version};

/// A set of metrics by their place in [`JudgeConfig::metrics`](crate::JudgeConfig::metrics).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MetricSet(u32);

impl MetricSet {
    /// How many metrics a set can hold.
    pub const CAPACITY: usize = 32;
    /// No metric.
    pub const EMPTY: MetricSet = MetricSet(0);

    /// The set of one metric. A place beyond [`Self::CAPACITY`] gives the empty set.
    #[must_use]
    pub fn only(metric: usize) -> Self {
        MetricSet::EMPTY.with(metric)
    }

    /// This set and one metric more.
    #[must_use]
    pub fn with(self, metric: usize) -> Self {
        let bit = u32::try_from(metric).ok().and_then(|place| 1_u32.checked_shl(place)).unwrap_or(0);
        MetricSet(self.0 | bit)
    }

    /// Whether the metric is in the set.
    #[must_use]
    pub fn contains(self, metric: usize) -> bool {
        metric < Self::CAPACITY && self.0 >> metric & 1 == 1
    }

    /// Whether no metric is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The metrics that are in this set and not in `other`.
    #[must_use]
    pub const fn without(self, other: MetricSet) -> Self {
        MetricSet(self.0 & !other.0)
    }

    /// The metrics that are in either set.
    #[must_use]
    pub const fn union(self, other: MetricSet) -> Self {
        MetricSet(self.0 | other.0)
    }

    /// The places in ascending order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            if rest == 0 {
                return None;
            }
            let place = rest.trailing_zeros();
            rest &= rest - 1;
            Some(place as usize)
        })
    }
}

/// One finished request, as the proxy saw it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// When it finished, in milliseconds since any fixed instant that all hosts share.
    pub at_millis: u64,
    /// The session it belongs to.
    pub session: SessionId,
    /// The version that served it.
    pub version: Version,
    /// The canary's share at the moment the request was routed. It must have been chosen before the request.
    pub share: Share,
    /// The metrics on which this request was bad: a 5xx, a refused connection, a time-out.
    pub bad: MetricSet,
    /// How long it took, if that was measured; compared with each metric's frozen limit.
    pub latency_micros: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_holds_what_was_put_in_and_ignores_places_beyond_its_end() {
        let set = MetricSet::only(3).with(31).with(0).with(32).with(usize::MAX);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 3, 31]);
        assert!(set.contains(31) && !set.contains(1) && !set.contains(32) && !set.contains(usize::MAX));
        assert_eq!(set.without(MetricSet::only(3)).iter().collect::<Vec<_>>(), [0, 31]);
        assert!(MetricSet::only(99).is_empty());
    }
}
