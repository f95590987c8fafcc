//! Owns the order of observations from several hosts.
//! Must never wait for ever: a host that falls silent delays verdicts only up to a bound.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::observation::Observation;

/// Merges the streams of several hosts into one in order of time, so that one judge sees every session once, whichever
/// hosts it touched, and the same observations give the same verdict however the network interleaved them.
///
/// All hosts must use the same [`SplitKey`](crate::SplitKey). An observation is released once every host has reached
/// its time, by an observation or a [`Self::heartbeat`]. At `max_waiting` the oldest is released regardless: order is
/// a convenience here, since no error bound depends on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamMerger {
    max_waiting: usize,
    waiting: usize,
    hosts: BTreeMap<String, HostStream>,
    out_of_order: u64,
    released_millis: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct HostStream {
    reached_millis: u64,
    gone: bool,
    waiting: VecDeque<Observation>,
}

impl StreamMerger {
    /// Starts with the hosts that will report; one that was not named joins with its first observation.
    #[must_use]
    pub fn new(hosts: impl IntoIterator<Item = impl Into<String>>, max_waiting: usize) -> Self {
        let hosts = hosts.into_iter().map(|host| (host.into(), HostStream::default())).collect();
        StreamMerger { max_waiting, waiting: 0, hosts, out_of_order: 0, released_millis: 0 }
    }

    /// Takes an observation of `host`.
    pub fn push(&mut self, host: &str, observation: Observation) {
        let stream = self.host(host);
        stream.gone = false;
        stream.reached_millis = stream.reached_millis.max(observation.at_millis);
        // Almost always the newest of its host; requests that finished together may arrive swapped.
        let place = stream.waiting.iter().rposition(|earlier| earlier.at_millis <= observation.at_millis);
        stream.waiting.insert(place.map_or(0, |place| place + 1), observation);
        self.waiting = self.waiting.saturating_add(1);
    }

    /// Notes that `host` has nothing older than this to report.
    pub fn heartbeat(&mut self, host: &str, at_millis: u64) {
        let stream = self.host(host);
        stream.gone = false;
        stream.reached_millis = stream.reached_millis.max(at_millis);
    }

    /// Stops waiting for a host; what it reported is kept.
    pub fn host_gone(&mut self, host: &str) {
        self.host(host).gone = true;
    }

    /// The next observation in order of time, or `None` until the hosts have caught up.
    pub fn next_ready(&mut self) -> Option<Observation> {
        let reached = self.hosts.values().filter(|h| !h.gone).map(|h| h.reached_millis).min();
        let first = |(name, stream): (&String, &HostStream)| {
            stream.waiting.front().map(|o| (o.at_millis, o.session, name.clone()))
        };
        let (at_millis, _, name) = self.hosts.iter().filter_map(first).min()?;
        let everyone_is_there = reached.is_none_or(|reached| at_millis <= reached);
        if !everyone_is_there && self.waiting <= self.max_waiting {
            return None;
        }
        let observation = self.hosts.get_mut(&name)?.waiting.pop_front()?;
        self.waiting = self.waiting.saturating_sub(1);
        if at_millis < self.released_millis {
            self.out_of_order = self.out_of_order.saturating_add(1);
        }
        self.released_millis = self.released_millis.max(at_millis);
        Some(observation)
    }

    /// Observations that were released after a later one, because their host was too far behind.
    #[must_use]
    pub fn out_of_order(&self) -> u64 {
        self.out_of_order
    }

    fn host(&mut self, host: &str) -> &mut HostStream {
        // `entry` would need an owned name on every call.
        if !self.hosts.contains_key(host) {
            self.hosts.insert(host.to_owned(), HostStream::default());
        }
        self.hosts.entry(host.to_owned()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MetricSet, SessionId, Share, Version};

    fn at(at_millis: u64) -> Observation {
        Observation {
            at_millis,
            session: SessionId::from_halves(at_millis, at_millis),
            version: Version::Stable,
            share: Share::NONE,
            bad: MetricSet::EMPTY,
            latency_micros: None,
        }
    }

    fn drain(merger: &mut StreamMerger) -> Vec<u64> {
        std::iter::from_fn(|| merger.next_ready()).map(|o| o.at_millis).collect()
    }

    #[test]
    fn observations_wait_until_every_host_has_caught_up() {
        let mut merger = StreamMerger::new(["a", "b"], 100);
        merger.push("a", at(5));
        merger.push("a", at(3));
        assert!(drain(&mut merger).is_empty());
        merger.push("b", at(4));
        assert_eq!(drain(&mut merger), [3, 4]);
        merger.heartbeat("b", 9);
        assert_eq!(drain(&mut merger), [5]);
        assert_eq!(merger.out_of_order(), 0);
    }

    #[test]
    fn silent_host_delays_only_up_to_the_bound() {
        let mut merger = StreamMerger::new(["a", "silent"], 2);
        for n in 1..=4 {
            merger.push("a", at(n));
        }
        assert_eq!(drain(&mut merger), [1, 2]);
        merger.push("silent", at(1));
        assert_eq!(drain(&mut merger), [1], "late, but not lost");
        assert_eq!(merger.out_of_order(), 1);
        merger.host_gone("silent");
        assert_eq!(drain(&mut merger), [3, 4]);
    }
}
