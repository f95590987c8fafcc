//! Owns the list of simulated situations: those without harm, and those with it.
//! Must include the ones where others are faster.

use crate::traffic::{Arrivals, Scenario, Trouble};

/// Every alarm here is a false one.
pub(crate) fn harmless() -> Vec<Scenario> {
    vec![
        Scenario::harmless("0.2% errors, 0.2 requests/s", 0.2, 0.002),
        Scenario::harmless("1% errors, 1 request/s", 1.0, 0.01),
        Scenario::harmless("0.5% errors, 10 requests/s", 10.0, 0.005),
        Scenario::harmless("outage: 20% bad on both for 5 min, 10/s", 10.0, 0.005).troubled(Trouble::Outage),
        Scenario::harmless("bursts of traffic and incidents, 3/s", 3.0, 0.005)
            .arriving(Arrivals::Bursty)
            .troubled(Trouble::Incidents),
        Scenario::harmless("diurnal traffic, errors swing, 3/s", 3.0, 0.01)
            .arriving(Arrivals::Diurnal)
            .troubled(Trouble::Swing),
        Scenario::harmless("ramp 5 to 50%, errors swing, 10/s", 10.0, 0.01).troubled(Trouble::Swing).ramped(),
        Scenario::harmless("ramp 5 to 50%, outage, 10/s", 10.0, 0.005).troubled(Trouble::Outage).ramped(),
        Scenario::harmless("sticky heavy-tailed sessions, 2% broken, 10/s", 10.0, 0.02)
            .arriving(Arrivals::Sticky),
    ]
}

/// Every alarm after the harm began is a right one.
pub(crate) fn harmful() -> Vec<Scenario> {
    vec![
        Scenario::harmless("0.5 → 50%, 10/s", 10.0, 0.005).harming(0.5),
        Scenario::harmless("0.5 → 10%, 1/s", 1.0, 0.005).harming(0.1),
        Scenario::harmless("0.5 → 5%, 10/s", 10.0, 0.005).harming(0.05),
        Scenario::harmless("0.5 → 1%, 10/s", 10.0, 0.005).harming(0.01),
        Scenario::harmless("0.5 → 5%, bursts and incidents, 3/s", 3.0, 0.005)
            .harming(0.05)
            .arriving(Arrivals::Bursty)
            .troubled(Trouble::Incidents),
        Scenario::harmless("1 → 5%, diurnal, errors swing, 3/s", 3.0, 0.01)
            .harming(0.05)
            .arriving(Arrivals::Diurnal)
            .troubled(Trouble::Swing),
        Scenario::harmless("0.5 → 5% amid an outage, 10/s", 10.0, 0.005)
            .harming(0.05)
            .troubled(Trouble::Outage)
            .from(1_200.0),
        Scenario::harmless("0.5 → 5%, ramp 5 to 50%, 1/s", 1.0, 0.005).harming(0.05).ramped(),
        Scenario::harmless("2 → 10% of sticky sessions, 10/s", 10.0, 0.02)
            .harming(0.1)
            .arriving(Arrivals::Sticky),
        Scenario::harmless("0.5 → 10% after 30 min, 3/s", 3.0, 0.005).harming(0.1).from(1_800.0),
        Scenario::harmless("0.5 → 3% after 30 min, 10/s", 10.0, 0.005).harming(0.03).from(1_800.0),
        Scenario::harmless("5 → 50% after 30 min, 10/s", 10.0, 0.05).harming(0.5).from(1_800.0),
    ]
}

/// Canary error rates of the curve of delays, at 1 request a second and 0.5% on stable.
pub(crate) const DELAY_RATES: [f64; 7] = [0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 0.9];

pub(crate) fn delay_curve() -> Vec<Scenario> {
    DELAY_RATES.iter().map(|rate| Scenario::harmless("", 1.0, 0.005).harming(*rate)).collect()
}

/// A canary that fails exactly as often as the certificate's limit: every proof is a false one.
pub(crate) fn at_the_limit() -> Scenario {
    Scenario::harmless("1% errors, limit 1%, 10 requests/s", 10.0, 0.01)
}

/// The scenario of the power curve.
pub(crate) fn power_curve() -> Scenario {
    Scenario::harmless("", 1.0, 0.005).harming(0.1)
}
