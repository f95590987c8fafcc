//! Owns the runs: the same hours before every judge, many times, with fixed seeds.
//! Must give the same figures on every machine, whatever the number of threads.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use safelight_judge::{Detection, Judge, JudgeConfig, MetricSet, Observation, PlanInput, Share, Verdict};

use crate::rivals::{Argo, Flagger, Kayenta, Minute, MinuteJudge, OnNoData, ZTest};
use crate::stats::{Proportion, median_of_all};
use crate::traffic::{self, Arrivals, HOUR, Ramp, Request, Scenario, Trouble};

/// The judges, in the order of the tables.
pub(crate) const JUDGES: [&str; 6] =
    ["Safelight", "Argo Rollouts", "Argo, NaN passes", "Flagger", "Kayenta", "z-test each minute"];
const ALPHA: f64 = 0.01;

/// What one hour led to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hour {
    /// Seconds until each judge raised the alarm.
    pub(crate) alarms: [Option<f64>; JUDGES.len()],
    /// Bad sessions on the canary when Safelight rolled back.
    pub(crate) canary_bad: Option<u64>,
    /// Seconds until Safelight's certificate was complete.
    pub(crate) proven: Option<f64>,
    /// Seconds until a Safelight without restarts raised the alarm.
    pub(crate) without_restarts: Option<f64>,
}

/// All hours of one scenario.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) scenario: Scenario,
    pub(crate) hours: Vec<Hour>,
}

impl Outcome {
    /// Alarms in time for the scenario: after the harm began, or at all if there is none.
    pub(crate) fn delays(&self, judge: usize) -> Vec<f64> {
        let from = self.harm_from();
        self.hours.iter().filter_map(|h| h.alarms[judge]).filter(|t| *t >= from).map(|t| t - from).collect()
    }

    /// Alarms before the harm began.
    pub(crate) fn early(&self, judge: usize) -> Proportion {
        let from = self.harm_from();
        let hits = self.hours.iter().filter(|h| h.alarms[judge].is_some_and(|t| t < from)).count();
        Proportion { hits, runs: self.hours.len() }
    }

    pub(crate) fn alarmed(&self, judge: usize) -> Proportion {
        Proportion { hits: self.delays(judge).len(), runs: self.hours.len() }
    }

    pub(crate) fn median_delay(&self, judge: usize) -> Option<f64> {
        median_of_all(self.delays(judge), self.hours.len())
    }

    pub(crate) fn proven(&self) -> Proportion {
        Proportion { hits: self.hours.iter().filter(|h| h.proven.is_some()).count(), runs: self.hours.len() }
    }

    pub(crate) fn median_proven(&self) -> Option<f64> {
        median_of_all(self.hours.iter().filter_map(|h| h.proven).collect(), self.hours.len())
    }

    pub(crate) fn median_canary_bad(&self) -> Option<f64> {
        let counts: Vec<f64> = self.hours.iter().filter_map(|h| h.canary_bad).map(|n| n as f64).collect();
        let runs = counts.len();
        median_of_all(counts, runs)
    }

    fn harm_from(&self) -> f64 {
        if self.scenario.is_harmful() { self.scenario.harm_from } else { 0.0 }
    }
}

/// Simulates a scenario `runs` times on all cores. Run `n` depends on the scenario and `n` alone.
pub(crate) fn simulate(scenario: &Scenario, runs: usize) -> Outcome {
    let hours = in_parallel(runs, |run| one_hour(scenario, run as u64));
    Outcome { scenario: *scenario, hours }
}

/// Calls `work` for 0..runs on all cores and keeps the order.
pub(crate) fn in_parallel<T: Send>(runs: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let each = runs.div_ceil(threads).max(1);
    let work = &work;
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..runs)
            .step_by(each)
            .map(|from| scope.spawn(move || (from..(from + each).min(runs)).map(work).collect::<Vec<T>>()))
            .collect();
        handles.into_iter().flat_map(|handle| handle.join().expect("a simulated hour panicked")).collect()
    })
}

fn one_hour(scenario: &Scenario, run: u64) -> Hour {
    let mut rng = SmallRng::seed_from_u64(0x5AFE_1164 ^ run.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let requests = traffic::hour(scenario, &mut rng);
    let mut hour = Hour::default();
    judge_requests(&requests, &mut hour);
    if scenario.harm_from > 0.0 {
        hour.without_restarts = first_rollback(&requests, 1.0);
    }
    let mut rivals: [Box<dyn MinuteJudge>; JUDGES.len() - 1] = [
        Box::new(Argo::new(OnNoData::Fails)),
        Box::new(Argo::new(OnNoData::Passes)),
        Box::new(Flagger::default()),
        Box::new(Kayenta::new(60)),
        Box::new(ZTest::new(ALPHA)),
    ];
    for (number, minute) in (1..).zip(minutes(&requests)) {
        for (alarm, rival) in hour.alarms[1..].iter_mut().zip(&mut rivals) {
            if alarm.is_none() && rival.look(number, minute) {
                *alarm = Some(number as f64 * 60.0);
            }
        }
    }
    hour
}

fn judge_requests(requests: &[Request], hour: &mut Hour) {
    let mut judge = judge(0.8);
    for request in requests {
        match judge.observe(&observation(request)) {
            Verdict::Rollback(harm) => {
                hour.alarms[0] = Some(request.second);
                hour.canary_bad = Some(harm.evidence.canary_bad);
                return;
            }
            // The judge goes on after the proof here, to see whether harm would still be found.
            Verdict::Promote(_) if hour.proven.is_none() => hour.proven = Some(request.second),
            _ => {}
        }
    }
}

fn first_rollback(requests: &[Request], first_stake: f64) -> Option<f64> {
    let mut judge = judge(first_stake);
    let rolled_back = |r: &&Request| matches!(judge.observe(&observation(r)), Verdict::Rollback(_));
    requests.iter().find(rolled_back).map(|r| r.second)
}

fn judge(first_stake: f64) -> Judge {
    Judge::new(config(first_stake)).expect("the simulation's configuration is valid")
}

fn config(first_stake: f64) -> JudgeConfig {
    JudgeConfig { rollback_alpha: ALPHA, first_stake, min_bake_seconds: 0, ..JudgeConfig::default() }
}

/// What the planner says of a scenario; `None` for those it does not describe.
pub(crate) fn forecast(scenario: &Scenario) -> Option<Detection> {
    let plain = (scenario.arrivals, scenario.trouble, scenario.ramp)
        == (Arrivals::Steady, Trouble::None, Ramp::Tenth);
    if !plain || scenario.harm_from > 0.0 {
        return None;
    }
    let input = PlanInput {
        requests_per_second: scenario.requests_per_second,
        requests_per_session: 1.0,
        base_error_rate: scenario.base,
        harm_error_rate: scenario.canary,
        share: Share::new(0.1).ok()?,
        horizon_seconds: HOUR,
    };
    Some(input.plan(&config(0.8), 0).ok()?.detection)
}

pub(crate) fn observation(request: &Request) -> Observation {
    Observation {
        at_millis: (request.second * 1000.0) as u64,
        session: request.session,
        version: request.version,
        share: request.share,
        bad: if request.bad { MetricSet::only(0) } else { MetricSet::EMPTY },
        latency_micros: None,
    }
}

fn minutes(requests: &[Request]) -> Vec<Minute> {
    let mut minutes = vec![Minute::default(); 60];
    for request in requests {
        if let Some(minute) = minutes.get_mut((request.second / 60.0) as usize) {
            let tally = match request.version {
                safelight_judge::Version::Canary => &mut minute.canary,
                safelight_judge::Version::Stable => &mut minute.stable,
            };
            tally.requests += 1;
            tally.bad += u64::from(request.bad);
        }
    }
    minutes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_do_not_depend_on_threads() {
        let scenario = Scenario::harmless("", 1.0, 0.005).harming(0.3);
        let alarms = |outcome: Outcome| outcome.hours.iter().map(|h| h.alarms).collect::<Vec<_>>();
        let alone: Vec<_> = (0..4).map(|run| one_hour(&scenario, run).alarms).collect();
        assert_eq!(alarms(simulate(&scenario, 4)), alone);
    }

    #[test]
    fn planner_foretells_what_the_simulation_finds() {
        for scenario in [
            Scenario::harmless("", 1.0, 0.005).harming(0.1),
            Scenario::harmless("", 1.0, 0.005).harming(0.02),
        ] {
            let foretold = forecast(&scenario).unwrap();
            let outcome = simulate(&scenario, 300);
            let (low, high) = outcome.alarmed(0).interval();
            assert!(
                (low - 0.04..=high + 0.02).contains(&foretold.power),
                "{foretold:?}, {}",
                outcome.alarmed(0)
            );
            if let (Some(foretold), Some(simulated)) = (foretold.median_seconds, outcome.median_delay(0)) {
                assert!(
                    (foretold / simulated - 1.0).abs() < 0.2,
                    "{foretold} s foretold, {simulated} s simulated"
                );
            }
        }
    }

    #[test]
    fn plain_harm_alarms_every_judge_in_its_own_time() {
        let outcome = simulate(&Scenario::harmless("", 10.0, 0.005).harming(0.5), 20);
        let medians: Vec<f64> = (0..JUDGES.len()).map(|judge| outcome.median_delay(judge).unwrap()).collect();
        assert!(medians[0] < 20.0, "{medians:?}");
        assert_eq!(medians[1..5], [240.0, 240.0, 360.0, 3_600.0]);
    }
}
