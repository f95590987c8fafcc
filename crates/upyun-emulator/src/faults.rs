//! What can be made to go wrong, switched on and off while the emulator runs.
use serde::{Deserialize, Serialize};

/// All faults. The default is a service that works.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Seconds that the service's clock is ahead of this machine's (negative: behind).
    pub clock_offset_seconds: i64,
    /// Requests a second to the API; more get 42900001.
    pub requests_per_second: Option<u32>,
    /// Synchronous deletions a second; more get 42900001.
    pub deletes_per_second: Option<u32>,
    /// REST, form and purge API.
    pub api: Outage,
    /// Purge API alone, besides what `api` does to it.
    pub purge: Outage,
    /// CDN.
    pub cdn: Outage,
    /// Callbacks.
    pub callbacks: CallbackFaults,
}

/// A part of the service that is slow or fails.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Outage {
    /// Pause before every answer.
    pub delay_millis: u64,
    /// Status instead of an answer.
    pub fail_status: Option<u16>,
    /// How many requests fail; absent means all. Counts down.
    pub fail_next: Option<u32>,
    /// Answers with a body break off in its middle.
    pub cut_bodies: bool,
}

/// What happens to callbacks on their way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallbackFaults {
    /// How many of the next callbacks never arrive. Counts down.
    pub lose_next: u32,
    /// Pause before each.
    pub delay_millis: u64,
    /// Additional copies of each.
    pub duplicates: u32,
    /// Holds this many callbacks and sends them in reverse order; 0 and 1 hold none.
    pub reorder: usize,
    /// Sends a forgery in place of each.
    pub forge: Option<Forgery>,
    /// Form uploads in the old scheme are signed as if the form secret could not be read: `no-sign`.
    pub lose_form_key: bool,
}

/// Ways to forge a callback. A receiver has to refuse each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forgery {
    /// Signed with another password.
    BadSignature,
    /// Genuine headers, another body.
    TamperedBody,
    /// A genuine signature, two hours old.
    StaleDate,
    /// Signed by an operator of another name.
    WrongOperator,
    /// No signature at all.
    Unsigned,
    /// The field `no-sign`, which anybody can compute.
    NoSign,
}

impl Forgery {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::BadSignature,
        Self::TamperedBody,
        Self::StaleDate,
        Self::WrongOperator,
        Self::Unsigned,
        Self::NoSign,
    ];
}

impl Outage {
    /// The status to fail with, if this request fails.
    pub(crate) fn strike(&mut self) -> Option<u16> {
        let status = self.fail_status?;
        match &mut self.fail_next {
            None => Some(status),
            Some(0) => None,
            Some(left) => {
                *left -= 1;
                Some(status)
            }
        }
    }
}
