//! Owns the bounded memory of sessions: which ones were seen, and a value for each.
//! Must never forget a session that it still counts, because a session counted twice is a false alarm in waiting.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use serde::{Deserialize, Serialize};

/// Room made in advance; a configuration that asks for more gets it as it fills.
const RESERVED_AT_MOST: usize = 16_384;

/// A set of sessions that cannot outgrow its capacity.
///
/// **At the bound** it keeps a random half: from then on only sessions whose mark starts with one more zero bit take
/// part, and the others are dropped and ignored for good (Wegman's adaptive sampling). No session is ever counted
/// twice, and which sessions take part is independent of the version they see, so every error bound still holds
/// exactly. What is lost is speed: each halving doubles the number of *new* bad sessions that a detection needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    into = "SampleState<V>",
    from = "SampleState<V>",
    bound(serialize = "V: Clone + Serialize", deserialize = "V: Deserialize<'de>")
)]
pub(crate) struct SessionSample<V> {
    capacity: usize,
    /// Leading zero bits that a mark needs to take part.
    level: u32,
    entries: HashMap<u64, V, BuildHasherDefault<MarkHasher>>,
}

/// What became of a session that asked to be let in.
#[derive(Debug, PartialEq)]
pub(crate) enum Admission<'a, V> {
    /// Not seen before, and now part of the sample.
    New(&'a mut V),
    /// Part of the sample already.
    Known(&'a mut V),
    /// Outside the sample.
    Ignored,
}

impl<V> SessionSample<V> {
    pub(crate) fn new(capacity: usize) -> Self {
        // Growing step by step would rehash everything in the middle of an incident.
        let entries =
            HashMap::with_capacity_and_hasher(capacity.min(RESERVED_AT_MOST), BuildHasherDefault::default());
        SessionSample { capacity: capacity.max(1), level: 0, entries }
    }

    /// Looks the session up and adds it with `value` if it is new.
    pub(crate) fn admit(&mut self, mark: u64, value: V) -> Admission<'_, V> {
        if !takes_part(mark, self.level) {
            return Admission::Ignored;
        }
        // Two look-ups for a known session would be one too many on the hot path; a full sample is the rare case.
        if self.entries.len() >= self.capacity && !self.entries.contains_key(&mark) {
            self.halve();
            if !takes_part(mark, self.level) || self.entries.len() >= self.capacity {
                return Admission::Ignored;
            }
        }
        match self.entries.entry(mark) {
            std::collections::hash_map::Entry::Occupied(entry) => Admission::Known(entry.into_mut()),
            std::collections::hash_map::Entry::Vacant(entry) => Admission::New(entry.insert(value)),
        }
    }

    pub(crate) fn get_mut(&mut self, mark: u64) -> Option<&mut V> {
        self.entries.get_mut(&mark)
    }

    /// One session in this many takes part.
    pub(crate) fn one_in(&self) -> u64 {
        1_u64.checked_shl(self.level).unwrap_or(u64::MAX)
    }

    fn halve(&mut self) {
        while self.entries.len() >= self.capacity && self.level < u64::BITS - 1 {
            self.level += 1;
            let level = self.level;
            self.entries.retain(|mark, _| takes_part(*mark, level));
        }
    }
}

fn takes_part(mark: u64, level: u32) -> bool {
    mark.leading_zeros() >= level
}

/// The stored form: a list, since a map with numeric keys is not JSON.
#[derive(Serialize, Deserialize)]
struct SampleState<V> {
    capacity: usize,
    level: u32,
    entries: Vec<(u64, V)>,
}

impl<V> From<SessionSample<V>> for SampleState<V> {
    fn from(sample: SessionSample<V>) -> Self {
        let mut entries: Vec<(u64, V)> = sample.entries.into_iter().collect();
        entries.sort_by_key(|(mark, _)| *mark);
        SampleState { capacity: sample.capacity, level: sample.level, entries }
    }
}

impl<V> From<SampleState<V>> for SessionSample<V> {
    fn from(state: SampleState<V>) -> Self {
        let level = state.level.min(u64::BITS - 1);
        let entries = state.entries.into_iter().filter(|(mark, _)| takes_part(*mark, level)).collect();
        SessionSample { capacity: state.capacity.max(1), level, entries }
    }
}

/// Marks are already well mixed by a keyed hash; one multiplication spreads what sampling makes equal.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MarkHasher(u64);

impl Hasher for MarkHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, mark: u64) {
        self.0 = mark.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(n: u64) -> u64 {
        crate::SplitKey::new([7; 16]).session(&n.to_le_bytes()).mark()
    }

    #[test]
    fn session_is_new_once_and_known_afterwards() {
        let mut sample = SessionSample::new(8);
        assert_eq!(sample.admit(mark(1), 5), Admission::New(&mut 5));
        assert_eq!(sample.admit(mark(1), 9), Admission::Known(&mut 5));
    }

    #[test]
    fn full_sample_halves_and_never_counts_a_session_twice() {
        let mut sample = SessionSample::new(64);
        let mut counted = vec![0_u32; 10_000];
        for _round in 0..3 {
            for (n, count) in counted.iter_mut().enumerate() {
                if matches!(sample.admit(mark(n as u64), ()), Admission::New(())) {
                    *count += 1;
                }
            }
        }
        assert!(counted.iter().all(|count| *count <= 1));
        assert!(sample.entries.len() <= 64);
        // 10,000 sessions in 64 places: one in 256 or so takes part.
        assert!((128..=1024).contains(&sample.one_in()), "one in {}", sample.one_in());
    }

    #[test]
    fn stored_sample_comes_back_the_same() {
        let mut sample = SessionSample::new(16);
        for n in 0..100 {
            sample.admit(mark(n), n);
        }
        let text = serde_json::to_string(&sample).unwrap();
        assert_eq!(serde_json::from_str::<SessionSample<u64>>(&text).unwrap(), sample);
    }

    #[test]
    fn equal_marks_that_no_key_would_produce_do_not_loop_for_ever() {
        let mut sample = SessionSample::new(1);
        assert_eq!(sample.admit(0, ()), Admission::New(&mut ()));
        assert_eq!(sample.admit(1, ()), Admission::Ignored);
        assert_eq!(sample.admit(u64::MAX, ()), Admission::Ignored);
    }
}
