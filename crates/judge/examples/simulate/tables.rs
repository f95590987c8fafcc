//! Owns the Markdown tables.
//! Must not round anything in favour of a judge.

use std::fmt::Write as _;

use crate::peeking::{Peeking, Stickiness};
use crate::run::{JUDGES, Outcome, forecast};
use crate::speed::Speed;
use crate::stats::median_of_all;

fn header(out: &mut String, first: &str, columns: &[&str]) {
    let _ = writeln!(out, "| {first} | {} |", columns.join(" | "));
    let _ = writeln!(out, "|---|{}", "---|".repeat(columns.len()));
}

fn seconds(seconds: Option<f64>) -> String {
    match seconds {
        None => "–".to_owned(),
        Some(s) if s < 9.95 => format!("{s:.1} s"),
        Some(s) => format!("{s:.0} s"),
    }
}

/// Share of harmless canaries that were rolled back.
pub(crate) fn false_alarms(outcomes: &[Outcome]) -> String {
    let mut out = String::new();
    header(&mut out, "No harm; rolled back within 60 min (95% interval)", &JUDGES);
    for outcome in outcomes {
        let cells: Vec<String> = (0..JUDGES.len()).map(|judge| outcome.alarmed(judge).to_string()).collect();
        let _ = writeln!(out, "| {} | {} |", outcome.scenario.name, cells.join(" | "));
    }
    out
}

/// Share of harmful canaries that were rolled back, and the median time.
pub(crate) fn power(outcomes: &[Outcome]) -> String {
    let mut out = String::new();
    header(&mut out, "Harm; rolled back after it began (95% interval); median time", &JUDGES);
    for outcome in outcomes {
        let cell = |judge: usize| {
            let early = outcome.early(judge);
            let before = if early.hits > 0 {
                format!("; {:.0}% before", early.share() * 100.0)
            } else {
                String::new()
            };
            format!("{}; {}{before}", outcome.alarmed(judge), seconds(outcome.median_delay(judge)))
        };
        let cells: Vec<String> = (0..JUDGES.len()).map(cell).collect();
        let _ = writeln!(out, "| {} | {} |", outcome.scenario.name, cells.join(" | "));
    }
    out
}

/// How many bad sessions it took, and what restarts are worth.
pub(crate) fn details(outcomes: &[Outcome]) -> String {
    let mut out = String::new();
    header(
        &mut out,
        "Harm",
        &["bad canary sessions at rollback (median)", "median time", "median time without restarts"],
    );
    for outcome in outcomes {
        let from = outcome.scenario.harm_from;
        let without: Vec<f64> = outcome
            .hours
            .iter()
            .filter_map(|h| h.without_restarts)
            .filter(|t| *t >= from)
            .map(|t| t - from)
            .collect();
        let without =
            if from > 0.0 { seconds(median_of_all(without, outcome.hours.len())) } else { "=".to_owned() };
        let bad = outcome.median_canary_bad().map_or("–".to_owned(), |n| format!("{n:.0}"));
        let _ = writeln!(
            out,
            "| {} | {bad} | {} | {without} |",
            outcome.scenario.name,
            seconds(outcome.median_delay(0))
        );
    }
    out
}

/// What the planner foretold for the plain scenarios, beside what came.
pub(crate) fn forecasts(outcomes: &[Outcome]) -> String {
    let mut out = String::new();
    header(&mut out, "Harm", &["power foretold", "simulated", "median time foretold", "simulated"]);
    for outcome in outcomes {
        if let Some(detection) = forecast(&outcome.scenario) {
            let _ = writeln!(
                out,
                "| {} | {:.1}% | {} | {} | {} |",
                outcome.scenario.name,
                detection.power * 100.0,
                outcome.alarmed(0),
                seconds(detection.median_seconds),
                seconds(outcome.median_delay(0))
            );
        }
    }
    out
}

/// When the certificate below 1% was complete.
pub(crate) fn proofs(harmless: &[Outcome], at_the_limit: &Outcome) -> String {
    let mut out = String::new();
    header(
        &mut out,
        "Certificate \"below 1% of sessions\"",
        &["proven within 60 min (95% interval)", "median time"],
    );
    for outcome in harmless.iter().chain([at_the_limit]) {
        let _ = writeln!(
            out,
            "| {} | {} | {} |",
            outcome.scenario.name,
            outcome.proven(),
            seconds(outcome.median_proven())
        );
    }
    out
}

pub(crate) fn peeking(rows: &[Peeking]) -> String {
    let mut out = String::new();
    header(&mut out, "Looks", &["z-test at 5%, published 1969", "z-test at 5%, here", "Safelight at 5%"]);
    for row in rows {
        let _ = writeln!(
            out,
            "| {} | {:.1}% | {} | {} |",
            row.looks,
            row.published * 100.0,
            row.z_test,
            row.judge
        );
    }
    out
}

pub(crate) fn stickiness(rows: &[Stickiness]) -> String {
    let mut out = String::new();
    header(&mut out, "Sticky sessions, no harm, bound 5%", &["counting requests", "counting sessions"]);
    for row in rows {
        let _ = writeln!(out, "| share {}% | {} | {} |", row.share * 100.0, row.by_request, row.by_session);
    }
    out
}

pub(crate) fn speed(rows: &[Speed]) -> String {
    let mut out = String::new();
    header(&mut out, "Traffic", &["ns an observation"]);
    for row in rows {
        let _ = writeln!(out, "| {} | {:.0} |", row.what, row.nanos);
    }
    out
}
