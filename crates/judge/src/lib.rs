//! The judge of a canary: sequential tests that may be watched continuously. No I/O, no clock, no global state.
//!
//! A proxy gives every session a fixed place with a [`SplitKey`], sends those below the canary's [`Share`] to the new
//! version, and reports each finished request as an [`Observation`]. After each one [`Judge::observe`] says what to do:
//!
//! * [`Verdict::Rollback`]: sessions on the canary go bad more often than the canary's share explains. A harmless
//!   canary is ever rolled back with probability at most [`JudgeConfig::rollback_alpha`], no matter how often one
//!   looks and when one stops.
//! * [`Verdict::Promote`]: on every certified metric the claim "the canary fails this often" is refuted.
//! * [`Verdict::Inconclusive`]: neither, with what is missing and how long that takes at the present rate.
//!
//! [`PlanInput::plan`] forecasts all of this before any traffic, [`HoldBackWatch`] and [`BurnRateWatch`] go on after
//! the promotion, [`LatencyBaseline`] freezes what "slow" means, and [`StreamMerger`] joins several hosts.
//!
//! The mathematics is in `docs/judge.md`; the conditional argument is that of Lindon and Malek, "Anytime-valid
//! inference for multinomial count data" (NeurIPS 2022, arXiv 2011.03567).
//!
//! ```
//! use safelight_judge::{Judge, JudgeConfig, MetricSet, Observation, Share, SplitKey, Verdict, Version};
//!
//! let key = SplitKey::new([42; 16]); // 16 random bytes, new for each deploy
//! let share = Share::new(0.1)?;
//! let mut judge = Judge::new(JudgeConfig::default())?;
//! let errors = judge.config().metric("errors").map(MetricSet::only).unwrap_or_default();
//!
//! for second in 0..100_u64 {
//!     let session = key.session(format!("visitor {second}").as_bytes());
//!     let version = session.version_at(share);
//!     // Everything fails on the canary, nothing on stable.
//!     let bad = if version == Version::Canary { errors } else { MetricSet::EMPTY };
//!     let at_millis = second * 1000;
//!     let observation = Observation { at_millis, session, version, share, bad, latency_micros: None };
//!     if let Verdict::Rollback(harm) = judge.observe(&observation) {
//!         assert_eq!(harm.evidence.canary_bad, 3);
//!         return Ok(());
//!     }
//! }
//! unreachable!("three failures on a tenth of the traffic and none elsewhere are no chance");
//! # #[allow(unreachable_code)]
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
mod judge;
mod latency;
mod merge;
mod observation;
mod plan;
mod ratio;
mod safety;
mod sample;
mod session;
mod split;
mod trial;
mod verdict;
mod watch;

pub use config::{ConfigError, JudgeConfig, MetricConfig};
pub use judge::{Judge, StateError};
pub use latency::{LatencyBaseline, LatencyError};
pub use merge::StreamMerger;
pub use observation::{MetricSet, Observation};
pub use plan::{Detection, POWER_WANTED, Plan, PlanError, PlanInput, Promotion, Worth};
pub use ratio::{GridError, HARM_RATIOS, RatioGrid, RatioProcess};
pub use safety::{SafetyProcess, clean_sessions_needed};
pub use session::{SessionId, Share, ShareError, SplitKey, Version};
pub use verdict::{Certificate, Evidence, Harm, Missing, Proof, Shortfall, Verdict};
pub use watch::{
    Alarm, Burn, BurnRateConfig, BurnRateError, BurnRateWatch, HoldBackWatch, WatchGap, WatchVerdict,
};
