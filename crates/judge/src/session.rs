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
