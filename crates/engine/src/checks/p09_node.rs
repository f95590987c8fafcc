//! P9: is the Node.js that the services will run with in the range the app asks for, and are the other programs that it
//! needs? Looks at the programs the services get, not at those of somebody's login shell.

use super::support::{skipped, unknown_host, version};
use crate::{
    check::{Check, CheckContext, CheckSpec},
    config::Program,
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
        CheckSpec {
            id: "P9",
            title: ("Node.js and other programs", "Node.js 与其他程序版本"),
            risks: &["R7"],
        }
    }

    async fn run(&self, ctx: &CheckContext) -> Vec<Finding> {
        let spec = self.spec();
        let runtime = &ctx.config.runtime;
        if runtime.node.is_none() && runtime.programs.is_empty() {
            return vec![skipped(
                &spec,
                "node",
                Text::new(
                    "the configuration asks for no Node.js (`runtime.node`) and no other program (`runtime.program`)",
                    "配置未要求 Node.js（`runtime.node`）或其他程序（`runtime.program`）",
                ),
            )];
        }
        let mut found = Vec::new();
        if let Some(range) = &runtime.node {
            node(ctx, &spec, range, &mut found).await;
        }
        for program in &runtime.programs {
            found.push(other(ctx, &spec, program).await);
        }
        found
    }
}

async fn node(ctx: &CheckContext, spec: &CheckSpec, range: &str, found: &mut Vec<Finding>) {
    match programs(ctx).await {
        Ok(programs) => {
            for program in programs {
                let finding = match program {
                    Some(p) => version::judge(ctx, spec, &p, range, "runtime.node").await,
                    None => version::missing(spec, "node", range),
                };
                found.push(version::found_on(ctx, finding));
            }
        }
        Err(e) => found.push(unknown_host(spec, "node", &e)),
    }
}

/// A program that is not Node.js.
async fn other(ctx: &CheckContext, spec: &CheckSpec, program: &Program) -> Finding {
    let range = program.range.as_deref().unwrap_or("*");
    let by_path = program.name.contains('/');
    let path = if by_path {
        Some(ctx.project.join(&program.name))
    } else {
        match ctx.host.find_program(&program.name).await {
            Ok(path) => path,
            Err(e) => return unknown_host(spec, &program.name, &e),
        }
    };
    let usual = ["--version".to_owned()];
    let ask = version::Ask {
        arguments: program.version_arguments.as_deref().unwrap_or(&usual),
        range,
        key: "runtime.program.range",
        any: true,
    };
    let finding = match path {
        Some(path) => version::ask(ctx, spec, &path, &ask).await,
        None => version::missing(spec, &program.name, range).with_help(Text::new(
            "install it, or name it by its path in `runtime.program`: services get the PATH of the host daemon, not that of a login shell",
            "请安装，或在 `runtime.program` 中写明路径：服务使用主机守护进程的 PATH，而不是登录 shell 的",
        )),
    };
    if by_path { finding } else { version::found_on(ctx, finding) }
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

    fn needs(entry: &str, name: &str, printed: &str) -> World {
        let mut w = World::new(&format!("[[runtime.program]]\nname = \"{name}\"\n{entry}"));
        let path = format!("/usr/bin/{name}");
        w.host = w.host.program(name, &path).output(&path, 0, printed);
        w
    }

    #[tokio::test]
    async fn other_programs_are_asked_in_their_own_way() {
        let cases = [
            ("python3", "range = \">=3.11\"", "Python 3.13.1\n", Outcome::Pass, "3.13.1"),
            ("python3", "range = \">=3.11\"", "Python 3.9.2\n", Outcome::Fail, "3.9.2"),
            ("python3", "range = \">=3.13\"", "Python 3.13.0rc1\n", Outcome::Fail, "3.13.0-rc1"),
            (
                "go",
                "range = \">=1.9\"\nversion-arguments = [\"version\"]",
                "go version go1.23 linux/amd64\n",
                Outcome::Pass,
                "1.23.0",
            ),
            (
                "ruby",
                "range = \"^3.2\"",
                "ruby 3.3.5 (2024-09-03 revision ef084cc8f4) [x86_64-linux]\n",
                Outcome::Pass,
                "3.3.5",
            ),
            ("ffmpeg", "", "ffmpeg version 7.1.1-1+b1 Copyright (c) 2000-2025\n", Outcome::Pass, "7.1.1"),
        ];
        for (name, entry, printed, outcome, version) in cases {
            let w = needs(entry, name, printed);
            let f = w.one(Node).await;
            assert_eq!((f.outcome, value(&f, "version")), (outcome, version), "{printed}");
            let wanted = if name == "go" { "/usr/bin/go version" } else { "--version" };
            assert!(w.host.called()[0].ends_with(wanted), "{:?}", w.host.called());
        }
        let mut w = needs("range = \">=17\"\nversion-arguments = [\"-version\"]", "java", "");
        w.host.outputs[0].1.as_mut().unwrap().stderr = b"openjdk version \"21.0.1\" 2023-10-17\n".to_vec();
        assert_eq!(w.one(Node).await.outcome, Outcome::Pass, "some print it as an error");
    }

    #[tokio::test]
    async fn another_program_that_is_absent_fails_and_one_that_cannot_be_asked_is_unknown() {
        let mut w = World::new("[[runtime.program]]\nname = \"ffmpeg\"\n");
        assert_eq!(w.one(Node).await.outcome, Outcome::Fail);
        w.host.programs.insert("ffmpeg".into(), Err(host_error(HostErrorKind::Unreachable)));
        assert_eq!(w.one(Node).await.outcome, Outcome::Unknown);
        assert_eq!(
            needs("range = \">=1\"", "tool", "no number here\n").one(Node).await.outcome,
            Outcome::Unknown
        );
        assert_eq!(needs("range = \"newest\"", "tool", "1.2.3\n").one(Node).await.outcome, Outcome::Unknown);
        // Beside Node.js each has a finding of its own.
        let mut w = world(">=18", "v16.0.0\n");
        w.toml.push_str("[[runtime.program]]\nname = \"bin/tool\"\nrange = \"^2\"\n");
        w.host = w.host.output("/home/dev/app/bin/tool --version", 0, "tool 2.5\n");
        let found = w.run(Node).await;
        let outcomes: Vec<_> = found.iter().map(|f| (f.subject.as_str(), f.outcome)).collect();
        assert_eq!(outcomes, [("/usr/bin/node", Outcome::Fail), ("/home/dev/app/bin/tool", Outcome::Pass)]);
    }

    #[test]
    fn a_program_with_arguments_in_its_name_is_refused_where_it_stands() {
        let toml = World::new("[[runtime.program]]\nname = \"python3 -V\"\n").toml;
        let e = crate::config::load::parse("safelight.toml", &toml).unwrap_err().to_string();
        assert!(e.contains("safelight.toml:10:8: `python3 -V` is not the name"), "{e}");
        assert!(e.contains("version-arguments"), "{e}");
    }

    #[tokio::test]
    async fn an_app_that_asks_for_no_node_skips_and_says_why() {
        assert_eq!(World::new("").one(Node).await.outcome, Outcome::Skipped);
    }
}
