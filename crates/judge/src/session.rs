//! Owns who sees which version: sessions, the canary's share, and the keyed split between them.
//! Must not keep state: the split is a pure function of key, session and share.

use std::fmt;
use std::hash::Hasher as _;

use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128 as _, SipHasher13};

/// Which release served a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Version {
    /// The release that was there before.
    Stable,
    /// The release on trial.
    Canary,
}

/// The part of all sessions that is sent to the canary: a finite number from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Share(f64);

/// A canary share that is not a number from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("canary share {0} is not a number from 0 to 1; give 0.1 for ten percent")]
pub struct ShareError(f64);

impl Share {
    /// Nobody sees the canary.
    pub const NONE: Share = Share(0.0);
    /// Everybody sees the canary.
    pub const ALL: Share = Share(1.0);

    /// Checks that `share` lies in 0..=1.
    ///
    /// # Errors
    /// When `share` is outside that range or not a number.
    pub fn new(share: f64) -> Result<Self, ShareError> {
        // `+ 0.0` turns -0.0 into 0.0, so equal shares have equal bits.
        if (0.0..=1.0).contains(&share) { Ok(Share(share + 0.0)) } else { Err(ShareError(share)) }
    }

    /// The share as a number from 0 to 1.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }

    /// Whether both versions receive sessions, so that they can be compared at all.
    #[must_use]
    pub fn splits(self) -> bool {
        self.0 > 0.0 && self.0 < 1.0
    }
}

impl TryFrom<f64> for Share {
    type Error = ShareError;

    fn try_from(share: f64) -> Result<Self, ShareError> {
        Share::new(share)
    }
}

impl From<Share> for f64 {
    fn from(share: Share) -> f64 {
        share.0
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}%", self.0 * 100.0)
    }
}

/// The secret of one deploy's split. A new key for each deploy draws the users anew, and nobody outside can
/// choose a side by choosing a session name.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitKey([u8; 16]);

impl SplitKey {
    /// Takes 128 random bits. Drawing them is the caller's task: this crate has no source of randomness.
    #[must_use]
    pub const fn new(key: [u8; 16]) -> Self {
        SplitKey(key)
    }

    /// Hashes a session's name (a cookie's value, or an address where there is no cookie) with SipHash-1-3 at 128
    /// bits. The result is the same on every host and in every release of this program.
    #[must_use]
    pub fn session(&self, name: &[u8]) -> SessionId {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write(name);
        let hash = hasher.finish128();
        SessionId { split: hash.h1, mark: hash.h2 }
    }
}

impl fmt::Debug for SplitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SplitKey(..)")
    }
}

/// A session as the judge knows it: two independent 64-bit halves of one keyed hash, and no name.
///
/// One half decides the version, the other one recognises the session again. That they are independent is what keeps
/// bounded memory harmless: which sessions are forgotten says nothing about which version they saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionId {
    split: u64,
    mark: u64,
}

impl SessionId {
    /// Builds a session from hash halves that were computed elsewhere; both must be well mixed and independent.
    #[must_use]
    pub const fn from_halves(split: u64, mark: u64) -> Self {
        SessionId { split, mark }
    }

    /// The session's fixed place in 0..1.
    #[must_use]
    pub fn position(self) -> f64 {
        // 53 bits fill the mantissa of an f64 exactly, so every place is equally likely.
        (self.split >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// The version this session belongs to at `share`: the canary's if its place lies below the share. Raising the
    /// share therefore never moves a session off the canary.
    #[must_use]
    pub fn version_at(self, share: Share) -> Version {
        if self.position() < share.get() { Version::Canary } else { Version::Stable }
    }

    pub(crate) const fn mark(self) -> u64 {
        self.mark
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_the_same_in_every_release() {
        // Computed with an independent implementation of SipHash-1-3-128 as well.
        let session = SplitKey::new(*b"0123456789abcdef").session(b"session-1");
        let known = SessionId::from_halves(7_612_169_204_126_247_498, 14_319_558_503_349_028_377);
        assert_eq!(session, known);
    }

    #[test]
    fn short_and_similar_names_spread_evenly_over_the_share() {
        for w in [0.01, 0.1, 0.5, 0.9] {
            let (key, share, n) = (SplitKey::new([5; 16]), Share::new(w).unwrap(), 100_000_u32);
            let on_canary =
                |n: &u32| key.session(n.to_string().as_bytes()).version_at(share) == Version::Canary;
            let seen = (0..n).filter(on_canary).count() as f64;
            let deviations = (seen - w * f64::from(n)) / (f64::from(n) * w * (1.0 - w)).sqrt();
            assert!(deviations.abs() < 4.0, "share {w}: {seen} of {n}");
        }
    }

    #[test]
    fn mark_says_nothing_about_the_version() {
        let (key, share) = (SplitKey::new([6; 16]), Share::new(0.5).unwrap());
        let sessions = (0..100_000_u32).map(|n| key.session(&n.to_le_bytes()));
        let sampled: Vec<SessionId> = sessions.filter(|s| s.mark().leading_zeros() >= 3).collect();
        let canary = sampled.iter().filter(|s| s.version_at(share) == Version::Canary).count() as f64;
        let n = sampled.len() as f64;
        assert!((canary - 0.5 * n).abs() < 4.0 * (0.25 * n).sqrt(), "{canary} of {n}");
    }

    #[test]
    fn new_key_draws_the_sessions_anew() {
        let (one, other) = (SplitKey::new([1; 16]), SplitKey::new([2; 16]));
        assert_ne!(one.session(b"a"), other.session(b"a"));
        assert_eq!(format!("{one:?}"), "SplitKey(..)", "a key is a secret");
    }

    #[test]
    fn share_outside_its_range_is_refused_everywhere() {
        for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(Share::new(wrong).is_err());
        }
        assert!(serde_json::from_str::<Share>("1.5").is_err());
        assert_eq!(serde_json::from_str::<Share>("0.25").unwrap(), Share::new(0.25).unwrap());
        assert_eq!(Share::new(0.1).unwrap().to_string(), "10.0%");
    }
}
