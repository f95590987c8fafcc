//! Owns the simulated hour: who comes when, and what fails on which version.
//! Must draw all of it before any judge sees it, so that every judge sees the same.

use rand::Rng;
use rand::rngs::SmallRng;
use safelight_judge::{SessionId, Share, Version};

/// Length of a simulated canary in seconds.
pub(crate) const HOUR: f64 = 3_600.0;

/// How requests arrive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Arrivals {
    /// Independent requests at a constant mean rate.
    Steady,
    /// Minutes of four times the traffic between quiet ones, at the same mean.
    Bursty,
    /// A day in an hour: traffic swings by 80% up and down.
    Diurnal,
    /// Sessions of heavy-tailed length (Pareto 1.2, at most 2,000 requests), some of them broken throughout.
    Sticky,
}

/// What goes wrong on both versions alike, beside the base rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Trouble {
    None,
    /// 20% of everything fails from minute 20 to minute 25.
    Outage,
    /// Incidents begin every ten minutes or so, last a minute or so, and fail 15% of everything.
    Incidents,
    /// The base rate swings by 80%, out of step with the traffic.
    Swing,
}

/// How the share develops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ramp {
    Tenth,
    /// 5, 10, 25 and 50%, a quarter of an hour each.
    FiveToFifty,
}

impl Ramp {
    pub(crate) fn share_at(self, second: f64) -> f64 {
        match self {
            Ramp::Tenth => 0.1,
            Ramp::FiveToFifty => [0.05, 0.1, 0.25, 0.5][((second / 900.0) as usize).min(3)],
        }
    }
}

/// One situation, simulated many times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) requests_per_second: f64,
    pub(crate) arrivals: Arrivals,
    pub(crate) trouble: Trouble,
    pub(crate) ramp: Ramp,
    /// The part that fails on stable: of requests, or of sessions when they stick.
    pub(crate) base: f64,
    /// The part that fails on the canary from `harm_from` on.
    pub(crate) canary: f64,
    pub(crate) harm_from: f64,
}

impl Scenario {
    /// A steady canary without harm.
    pub(crate) const fn harmless(name: &'static str, requests_per_second: f64, base: f64) -> Self {
        Scenario {
            name,
            requests_per_second,
            arrivals: Arrivals::Steady,
            trouble: Trouble::None,
            ramp: Ramp::Tenth,
            base,
            canary: base,
            harm_from: 0.0,
        }
    }

    pub(crate) const fn harming(self, canary: f64) -> Self {
        Scenario { canary, ..self }
    }

    pub(crate) const fn arriving(self, arrivals: Arrivals) -> Self {
        Scenario { arrivals, ..self }
    }

    pub(crate) const fn troubled(self, trouble: Trouble) -> Self {
        Scenario { trouble, ..self }
    }

    pub(crate) const fn ramped(self) -> Self {
        Scenario { ramp: Ramp::FiveToFifty, ..self }
    }

    pub(crate) const fn from(self, harm_from: f64) -> Self {
        Scenario { harm_from, ..self }
    }

    pub(crate) fn is_harmful(&self) -> bool {
        self.canary > self.base
    }
}

/// One finished request, in order of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) second: f64,
    pub(crate) session: SessionId,
    pub(crate) share: Share,
    pub(crate) version: Version,
    pub(crate) bad: bool,
}

/// The part of a sticky session's requests that fail once the session is broken.
const BROKEN_FAILS: f64 = 0.5;

/// Draws one hour.
pub(crate) fn hour(scenario: &Scenario, rng: &mut SmallRng) -> Vec<Request> {
    let incidents = incidents(scenario.trouble, rng);
    if scenario.arrivals == Arrivals::Sticky {
        return sticky_hour(scenario, &incidents, rng);
    }
    let peak = scenario.requests_per_second * peak(scenario.arrivals);
    let mut requests = Vec::new();
    let mut second = 0.0;
    loop {
        second += exponential(1.0 / peak, rng);
        if second >= HOUR {
            return requests;
        }
        // Thinning turns the peak rate into the rate of the moment.
        let rate = scenario.requests_per_second * intensity(scenario.arrivals, second);
        if rng.random::<f64>() * peak >= rate {
            continue;
        }
        let session = SessionId::from_halves(rng.random(), rng.random());
        requests.push(route(scenario, &incidents, second, session, rng.random(), rng.random()));
    }
}

/// Decides version and outcome. `luck` is the same for both versions, so harm is all that tells them apart.
fn route(
    scenario: &Scenario,
    incidents: &[(f64, f64)],
    second: f64,
    session: SessionId,
    luck: f64,
    shared_luck: f64,
) -> Request {
    let share = Share::new(scenario.ramp.share_at(second)).expect("ramps stay within 0 and 1");
    let version = session.version_at(share);
    let harmed = version == Version::Canary && second >= scenario.harm_from;
    let rate = if harmed { scenario.canary } else { scenario.base };
    let swing = if scenario.trouble == Trouble::Swing { 1.0 + 0.8 * (second / 500.0).sin() } else { 1.0 };
    let bad = luck < rate * swing || shared_luck < shared_failure(scenario.trouble, incidents, second);
    Request { second, session, share, version, bad }
}

fn sticky_hour(scenario: &Scenario, incidents: &[(f64, f64)], rng: &mut SmallRng) -> Vec<Request> {
    const MEAN_LENGTH: f64 = 4.7;
    let mut requests = Vec::new();
    // Sessions that began before the hour are still under way in it.
    let mut began = -600.0;
    loop {
        began += exponential(MEAN_LENGTH / scenario.requests_per_second, rng);
        if began >= HOUR {
            break;
        }
        let session = SessionId::from_halves(rng.random(), rng.random());
        let length = rng.random::<f64>().powf(-1.0 / 1.2).min(2_000.0) as usize;
        let fate: f64 = rng.random();
        let mut second = began;
        for _ in 0..length {
            if second >= HOUR {
                break;
            }
            let luck: f64 = rng.random();
            let shared_luck: f64 = rng.random();
            if second >= 0.0 {
                // A broken session fails half of its requests; on the canary more sessions are broken.
                let luck = if luck < BROKEN_FAILS { fate } else { 1.0 };
                requests.push(route(scenario, incidents, second, session, luck, shared_luck));
            }
            second += exponential(4.0, rng);
        }
    }
    requests.sort_by(|a, b| a.second.total_cmp(&b.second));
    requests
}

fn exponential(mean: f64, rng: &mut SmallRng) -> f64 {
    -mean * (1.0 - rng.random::<f64>()).ln()
}

fn incidents(trouble: Trouble, rng: &mut SmallRng) -> Vec<(f64, f64)> {
    let mut incidents = Vec::new();
    let mut second = 0.0;
    while trouble == Trouble::Incidents && second < HOUR {
        second += exponential(600.0, rng);
        let end = second + exponential(60.0, rng);
        incidents.push((second, end));
        second = end;
    }
    incidents
}

fn shared_failure(trouble: Trouble, incidents: &[(f64, f64)], second: f64) -> f64 {
    match trouble {
        Trouble::None | Trouble::Swing => 0.0,
        Trouble::Outage if (1_200.0..1_500.0).contains(&second) => 0.2,
        Trouble::Outage => 0.0,
        Trouble::Incidents if incidents.iter().any(|(from, to)| (*from..*to).contains(&second)) => 0.15,
        Trouble::Incidents => 0.0,
    }
}

fn intensity(arrivals: Arrivals, second: f64) -> f64 {
    match arrivals {
        Arrivals::Steady | Arrivals::Sticky => 1.0,
        // One minute in six at four times the mean; the other five share the rest.
        Arrivals::Bursty if (second / 60.0) as u64 % 6 == 2 => 4.0,
        Arrivals::Bursty => 0.4,
        Arrivals::Diurnal => 1.0 + 0.8 * (second * std::f64::consts::TAU / HOUR).sin(),
    }
}

fn peak(arrivals: Arrivals) -> f64 {
    match arrivals {
        Arrivals::Steady | Arrivals::Sticky => 1.0,
        Arrivals::Bursty => 4.0,
        Arrivals::Diurnal => 1.8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn draw(scenario: Scenario) -> Vec<Request> {
        hour(&scenario, &mut SmallRng::seed_from_u64(1))
    }

    #[test]
    fn mean_traffic_is_the_one_asked_for() {
        for arrivals in [Arrivals::Steady, Arrivals::Bursty, Arrivals::Diurnal, Arrivals::Sticky] {
            let requests = draw(Scenario::harmless("", 10.0, 0.01).arriving(arrivals)).len() as f64;
            let tolerance = if arrivals == Arrivals::Sticky { 0.25 } else { 0.03 };
            assert!((requests / 36_000.0 - 1.0).abs() < tolerance, "{arrivals:?}: {requests}");
        }
    }

    #[test]
    fn harm_begins_on_the_canary_when_it_should() {
        let requests = draw(Scenario::harmless("", 10.0, 0.0).harming(0.5).from(1_800.0));
        let bad = |version, late| {
            let matching = requests.iter().filter(|r| r.version == version && (r.second >= 1_800.0) == late);
            matching.filter(|r| r.bad).count()
        };
        assert_eq!(
            (bad(Version::Stable, false), bad(Version::Stable, true), bad(Version::Canary, false)),
            (0, 0, 0)
        );
        assert!(bad(Version::Canary, true) > 700);
    }

    #[test]
    fn outage_hits_both_versions_for_five_minutes() {
        let requests = draw(Scenario::harmless("", 10.0, 0.0).troubled(Trouble::Outage));
        let during = requests.iter().filter(|r| (1_200.0..1_500.0).contains(&r.second));
        assert!(requests.iter().filter(|r| r.bad).count() == during.clone().filter(|r| r.bad).count());
        assert!(during.filter(|r| r.bad && r.version == Version::Canary).count() > 30);
    }

    #[test]
    fn requests_come_in_order_and_sessions_keep_their_version() {
        let requests = draw(Scenario::harmless("", 10.0, 0.01).arriving(Arrivals::Sticky));
        assert!(requests.is_sorted_by(|a, b| a.second <= b.second));
        let longest = requests.chunk_by(|a, b| a.session == b.session).count();
        assert!(longest > requests.len() / 2, "sessions interleave");
        assert!(requests.iter().all(|r| r.session.version_at(r.share) == r.version));
    }
}
