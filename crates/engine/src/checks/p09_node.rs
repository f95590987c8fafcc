//! P9: is the Node.js that the services will run with in the range the app asks for?
//! Looks at the program the services get, not at the one of somebody's login shell.

use super::support::{skipped, unknown_host, version};
use crate::{
    check::{Check, CheckContext, CheckSpec},
    driver::host::HostError,
    finding::Finding,
    text::Text,
};
use async_trait::async_trait;
use std::path::{Path, PathBuf};

/// The check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node;

/// The `node` programs that services will run: `runtime.node-dir`'s, or those that commands name by path, or the one
/// on the PATH. `None` in the list stands for "on the PATH, and not there".
async fn programs(ctx: &CheckContext) -> Result<Vec<Option<PathBuf>>, HostError> {
    if let Some(dir) = version::node_dir(ctx) {
        return Ok(vec![Some(dir.join("node"))]);
    }
    let mut out: Vec<Option<PathBuf>> = Vec::new();
    for service in &ctx.config.services {
        let argv = service.command.argv();
        let program = Path::new(argv.first().map_or("", String::as_str));
        let by_path = program.is_absolute() && program.file_name().is_some_and(|n| n == "node");
        let found = if by_path { Some(program.to_path_buf()) } else { ctx.host.find_program("node").await? };
        if !out.contains(&found) {
            out.push(found);
        }
    }
    Ok(out)
}

#[async_trait]
impl Check for Node {
    fn spec(&self) -> CheckSpec {
        CheckSpec { id: "P9", title: ("Node.js version", "Node.js 版本"), risks: &["R7"] }
    }

    async fn run(&self, ctx: &CheckContext) -> Vec<Finding> {
        let spec = self.spec();
        let Some(range) = &ctx.config.runtime.node else {
            return vec![skipped(
                &spec,
                "node",
                Text::new(
                    "the configuration asks for no Node.js (`runtime.node`)",
                    "配置未要求 Node.js（`runtime.node`）",
                ),
            )];
        };
        let programs = match programs(ctx).await {
            Ok(p) => p,
            Err(e) => return vec![unknown_host(&spec, "node", &e)],
        };
        let mut found = Vec::new();
        for program in programs {
            found.push(match program {
                Some(p) => version::judge(ctx, &spec, &p, range, "runtime.node").await,
                None => version::missing(&spec, "node", range),
            });
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{World, host_error, value};
    use crate::driver::host::HostErrorKind;
    use crate::finding::Outcome;

    fn world(range: &str, printed: &str) -> World {
        let mut w = World::new(&format!("[runtime]\nnode = \"{range}\"\n"));
        w.host = w.host.program("node", "/usr/bin/node").output("/usr/bin/node --version", 0, printed);
        w
    }

    #[tokio::test]
    async fn a_version_in_the_range_passes_and_one_outside_fails() {
        let f = world(">=18", "v20.11.1\n").one(Node).await;
        assert_eq!((f.outcome, value(&f, "version")), (Outcome::Pass, "20.11.1"));
        assert_eq!(world(">=18", "v16.20.2\n").one(Node).await.outcome, Outcome::Fail);
    }

    #[tokio::test]
    async fn a_release_candidate_is_not_in_a_range_that_names_none() {
        let f = world(">=18", "v20.0.0-rc.1\n").one(Node).await;
        assert_eq!(f.outcome, Outcome::Fail);
        assert!(f.help.unwrap().en.contains("pre-release"));
    }

    #[tokio::test]
    async fn the_program_that_the_service_runs_is_looked_at() {
        let mut w = world(">=18", "v16.0.0\n");
        w.toml = w.toml.replace("node server.js", "/opt/node20/bin/node server.js");
        w.host = w.host.output("/opt/node20/bin/node --version", 0, "v20.1.0\n");
        let f = w.one(Node).await;
        assert_eq!((f.subject.as_str(), f.outcome), ("/opt/node20/bin/node", Outcome::Pass));
        w.toml = w.toml.replace("[runtime]", "[runtime]\nnode-dir = \"/home/dev/.nvm/v22/bin\"");
        w.host = w.host.output("/home/dev/.nvm/v22/bin/node --version", 0, "v22.0.0\n");
        assert_eq!(w.one(Node).await.subject, "/home/dev/.nvm/v22/bin/node");
    }

    #[tokio::test]
    async fn an_absent_program_and_one_that_does_not_run_fail() {
        let mut w = World::new("[runtime]\nnode = \">=18\"\n");
        assert_eq!(w.one(Node).await.outcome, Outcome::Fail);
        w.host =
            w.host.program("node", "/usr/bin/node").output("/usr/bin/node", 127, "libatomic.so.1 missing");
        let f = w.one(Node).await;
        assert_eq!(f.outcome, Outcome::Fail);
        assert!(f.summary.en.contains("libatomic"));
    }

    #[tokio::test]
    async fn no_answer_an_odd_answer_and_an_odd_range_are_unknown() {
        assert_eq!(world(">=18", "hello\n").one(Node).await.outcome, Outcome::Unknown);
        assert_eq!(world("eighteen", "v20.0.0\n").one(Node).await.outcome, Outcome::Unknown);
        let mut w = World::new("[runtime]\nnode = \">=18\"\n");
        w.host.programs.insert("node".into(), Err(host_error(HostErrorKind::Unreachable)));
        assert_eq!(w.one(Node).await.outcome, Outcome::Unknown);
        let mut w = world(">=18", "");
        w.host.outputs = vec![("/usr/bin/node".into(), Err(host_error(HostErrorKind::Timeout)))];
        assert_eq!(w.one(Node).await.outcome, Outcome::Unknown);
    }

    #[tokio::test]
    async fn an_app_that_asks_for_no_node_skips_and_says_why() {
        assert_eq!(World::new("").one(Node).await.outcome, Outcome::Skipped);
    }
}
