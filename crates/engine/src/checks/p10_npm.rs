//! P10: is the npm that installs the dependencies in the range the app asks for?
//! Looks at the npm beside the Node.js of the services.

use super::support::{skipped, unknown_host, version};
use crate::{
    check::{Check, CheckContext, CheckSpec},
    finding::Finding,
    text::Text,
};
use async_trait::async_trait;

/// The check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Npm;

#[async_trait]
impl Check for Npm {
    fn spec(&self) -> CheckSpec {
        CheckSpec { id: "P10", title: ("npm version", "npm 版本"), risks: &["R7"] }
    }

    async fn run(&self, ctx: &CheckContext) -> Vec<Finding> {
        let spec = self.spec();
        let Some(range) = &ctx.config.runtime.npm else {
            return vec![skipped(
                &spec,
                "npm",
                Text::new(
                    "the configuration asks for no npm (`runtime.npm`)",
                    "配置未要求 npm（`runtime.npm`）",
                ),
            )];
        };
        let program = match version::node_dir(ctx) {
            Some(dir) => Some(dir.join("npm")),
            None => match ctx.host.find_program("npm").await {
                Ok(p) => p,
                Err(e) => return vec![unknown_host(&spec, "npm", &e)],
            },
        };
        vec![match program {
            Some(p) => version::judge(ctx, &spec, &p, range, "runtime.npm").await,
            None => version::missing(&spec, "npm", range),
        }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{World, host_error};
    use crate::driver::host::HostErrorKind;
    use crate::finding::Outcome;

    fn world(range: &str, printed: &str) -> World {
        let mut w = World::new(&format!("[runtime]\nnpm = \"{range}\"\n"));
        w.host = w.host.program("npm", "/usr/bin/npm").output("/usr/bin/npm --version", 0, printed);
        w
    }

    #[tokio::test]
    async fn ten_is_more_than_nine() {
        assert_eq!(world(">=9", "10.8.2\n").one(Npm).await.outcome, Outcome::Pass);
        assert_eq!(world(">=10", "9.2.0\n").one(Npm).await.outcome, Outcome::Fail);
    }

    #[tokio::test]
    async fn no_npm_fails_no_look_is_unknown_and_no_wish_is_skipped() {
        let mut w = World::new("[runtime]\nnpm = \"*\"\n");
        assert_eq!(w.one(Npm).await.outcome, Outcome::Fail);
        w.host.programs.insert("npm".into(), Err(host_error(HostErrorKind::Unreachable)));
        assert_eq!(w.one(Npm).await.outcome, Outcome::Unknown);
        assert_eq!(World::new("").one(Npm).await.outcome, Outcome::Skipped);
    }
}
