//! What a check is, and how all of them run side by side.
//! Knows no particular check: those live in [`crate::checks`], one file each.

use crate::{
    config::{Config, Environment},
    driver::{
        database::Database, env::EnvFile, host::Host, host::HostError, net::Net, source::Source,
        state::HostState,
    },
    finding::{Finding, Outcome},
    text::Text,
};
use async_trait::async_trait;
use futures_util::StreamExt as _;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::time::Instant;

/// A check's name card.
#[derive(Clone, Copy, Debug)]
pub struct CheckSpec {
    /// `P1`.
    pub id: &'static str,
    /// Title in English and Chinese.
    pub title: (&'static str, &'static str),
    /// Ids of the risks it speaks to; never empty.
    pub risks: &'static [&'static str],
}

/// Everything a check may ask. Read-only by contract: a check changes nothing on the host.
#[derive(Clone)]
pub struct CheckContext {
    /// The whole configuration.
    pub config: Arc<Config>,
    /// The name of the environment, `production`.
    pub env_name: String,
    /// That environment.
    pub env: Arc<Environment>,
    /// The directory that holds `safelight.toml`; relative paths in it start here.
    pub project: PathBuf,
    /// The machine that will run the release.
    pub host: Arc<dyn Host>,
    /// Names, certificates and HTTP, as seen from that machine.
    pub net: Arc<dyn Net>,
    /// The app's database, when one is configured.
    pub database: Option<Arc<dyn Database>>,
    /// Where releases come from.
    pub source: Arc<dyn Source>,
    /// The environment file, parsed, or why it could not be.
    pub env_file: Arc<Result<EnvFile, HostError>>,
    /// What Safelight already runs and keeps on this host.
    pub state: Arc<HostState>,
    /// The revision to deploy: a tag, a branch, a commit; `None` for what is checked out.
    pub revision: Option<String>,
    /// The wall clock when the checks began.
    pub now: jiff::Timestamp,
}

/// One check: probe, then judge. One file in [`crate::checks`] each.
#[async_trait]
pub trait Check: Send + Sync {
    /// Its name card.
    fn spec(&self) -> CheckSpec;
    /// Looks, and says what it found: one finding per subject, at least one. "Could not look" is
    /// [`Outcome::Unknown`] with the reason, never an error.
    async fn run(&self, ctx: &CheckContext) -> Vec<Finding>;
    /// How long it may take. A check that hangs is cut off and reported as unknown; it holds nothing up.
    fn timeout(&self) -> Duration {
        Duration::from_secs(10)
    }
}

/// Runs all `checks` side by side and hands each finding to `on_finding` as it arrives. Findings come back in the order
/// of `checks`, whatever order they finished in.
pub async fn run_all(
    checks: Vec<Arc<dyn Check>>,
    ctx: &CheckContext,
    mut on_finding: impl FnMut(&Finding),
) -> Vec<Finding> {
    let mut running: futures_util::stream::FuturesUnordered<_> =
        checks.into_iter().enumerate().map(|(i, check)| run_one(i, check, ctx.clone())).collect();
    let mut done: Vec<(usize, Vec<Finding>)> = Vec::new();
    while let Some((i, findings)) = running.next().await {
        findings.iter().for_each(&mut on_finding);
        done.push((i, findings));
    }
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().flat_map(|(_, f)| f).collect()
}

async fn run_one(i: usize, check: Arc<dyn Check>, ctx: CheckContext) -> (usize, Vec<Finding>) {
    let spec = check.spec();
    let limit = ctx.config.checks.timeout.map_or(check.timeout(), |d| d.0);
    let subject = ctx.host.name().to_owned();
    let started = Instant::now();
    // A task of its own: a check that panics is a finding, not the end of the run.
    let task = tokio::spawn(async move { check.run(&ctx).await });
    let abort = task.abort_handle();
    let mut findings = match tokio::time::timeout(limit, task).await {
        Ok(Ok(findings)) if !findings.is_empty() => findings,
        Ok(Ok(_)) => vec![unknown(&spec, &subject, text_empty())],
        Ok(Err(e)) => vec![unknown(
            &spec,
            &subject,
            crate::text!("the check itself crashed: {e}", "检查程序自身崩溃：{e}"),
        )],
        Err(_) => {
            abort.abort();
            let s = limit.as_secs_f32();
            vec![unknown(
                &spec,
                &subject,
                crate::text!("no answer within {s} s; the check was cut off", "{s} 秒内没有结果，检查被中止"),
            )]
        }
    };
    let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    for f in &mut findings {
        f.millis = millis;
    }
    (i, findings)
}

fn text_empty() -> Text {
    Text::new("the check returned nothing", "检查没有返回任何结果")
}

fn unknown(spec: &CheckSpec, subject: &str, why: Text) -> Finding {
    Finding::new(spec, subject, Outcome::Unknown, why)
}

#[cfg(test)]
mod tests;
