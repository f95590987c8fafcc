//! Which program the services run with, what version it says it is, and whether that lies in a range as npm reads it.

use super::{unknown, unknown_host};
use crate::{
    check::{CheckContext, CheckSpec},
    driver::host::{Cmd, HostErrorKind},
    finding::{Finding, Outcome},
    text::Text,
};
use nodejs_semver::{Range, Version};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// Directories of the configuration's `runtime.node-dir`, made absolute.
pub(in crate::checks) fn node_dir(ctx: &CheckContext) -> Option<PathBuf> {
    ctx.config.runtime.node_dir.as_ref().map(|d| ctx.project.join(d))
}

/// The first version-like word of a program's output: `v20.11.1` or `10.2.4`.
fn version_in(output: &str) -> Option<Version> {
    output.split_whitespace().find_map(|w| Version::parse(w.trim_start_matches(['v', 'V'])).ok())
}

/// The first thing that looks like a version: `Python 3.13.0rc1`, `go version go1.23 linux/amd64`, `openjdk "21.0.1"`.
/// What is missing of three numbers is 0; what follows them without a space makes a pre-release.
fn version_anywhere(output: &str) -> Option<Version> {
    let parts =
        regex::Regex::new(r"(\d+)\.(\d+)(?:\.(\d+))?(?:[-.]?((?:rc|alpha|beta|pre|dev|ea|a|b)[.\-]?\d*)\b)?")
            .ok()?
            .captures(output)?;
    let number = |i: usize| parts.get(i).map_or(Ok(0), |m| m.as_str().parse::<u64>());
    let (major, minor, patch) = (number(1).ok()?, number(2).ok()?, number(3).ok()?);
    let pre = parts.get(4).map(|m| format!("-{}", m.as_str())).unwrap_or_default();
    Version::parse(format!("{major}.{minor}.{patch}{pre}")).ok()
}

/// How a program is asked for its version, and how its answer is read.
pub(in crate::checks) struct Ask<'a> {
    /// Arguments.
    pub(in crate::checks) arguments: &'a [String],
    /// The range, and the configuration's key that it stands in.
    pub(in crate::checks) range: &'a str,
    /// See above.
    pub(in crate::checks) key: &'a str,
    /// Any program's words, rather than those of Node.js and npm.
    pub(in crate::checks) any: bool,
}

/// Runs `<program> --version` and judges the answer against `range`, which is the configuration's key `key`.
pub(in crate::checks) async fn judge(
    ctx: &CheckContext,
    spec: &CheckSpec,
    program: &Path,
    range: &str,
    key: &str,
) -> Finding {
    let arguments = ["--version".to_owned()];
    ask(ctx, spec, program, &Ask { arguments: &arguments, range, key, any: false }).await
}

/// Adds whose PATH led to the program, when that is worth knowing.
pub(in crate::checks) fn found_on(ctx: &CheckContext, finding: Finding) -> Finding {
    match ctx.host.whose_path() {
        Some(whose) => finding.with_note(Text::same("PATH"), whose),
        None => finding,
    }
}

/// The same for any program.
pub(in crate::checks) async fn ask(
    ctx: &CheckContext,
    spec: &CheckSpec,
    program: &Path,
    ask: &Ask<'_>,
) -> Finding {
    let shown = program.display().to_string();
    let (range_text, key) = (ask.range, ask.key);
    let arguments = ask.arguments.join(" ");
    let range = match Range::parse(range_text) {
        Ok(r) => r,
        Err(e) => {
            return unknown(
                spec,
                &shown,
                crate::text!(
                    "`{key} = \"{range_text}\"` is not a range of versions: {e}",
                    "`{key} = \"{range_text}\"` 不是合法的版本范围：{e}"
                ),
                Text::new(
                    "write it as in package.json, for example `>=18` or `^20.11 || >=22`",
                    "请按 package.json 的写法填写，例如 `>=18` 或 `^20.11 || >=22`",
                ),
            );
        }
    };
    let line = std::iter::once(shown.clone()).chain(ask.arguments.iter().cloned());
    let mut cmd = Cmd::new(line).timeout(Duration::from_secs(8));
    if let Some(dir) = node_dir(ctx) {
        // npm is a script that looks `node` up on the PATH: it has to meet the same one as the services.
        cmd = cmd.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", dir.display()));
    }
    let output = match ctx.host.run(&cmd).await {
        Ok(o) => o,
        Err(e) if e.kind == HostErrorKind::NotFound => return missing(spec, &shown, range_text),
        Err(e) => return unknown_host(spec, &shown, &e),
    };
    if !output.ok() {
        let said = output.complaint();
        return Finding::new(
            spec,
            &shown,
            Outcome::Fail,
            crate::text!("{shown} does not run: {said}", "{shown} 无法运行：{said}"),
        )
        .with_help(crate::text!(
            "run `{shown} {arguments}` on the host and repair the installation; a missing library or another CPU architecture shows there",
            "在主机上执行 `{shown} {arguments}` 并修复安装；缺少动态库或架构不符会在此暴露"
        ));
    }
    let text = output.text();
    // Some print it as an error: `java -version`.
    let text = if ask.any && text.trim().is_empty() {
        String::from_utf8_lossy(&output.stderr).into_owned()
    } else {
        text
    };
    let found = if ask.any { version_anywhere(&text) } else { version_in(&text) };
    let Some(version) = found else {
        let said: String = text.trim().chars().take(80).collect();
        return unknown(
            spec,
            &shown,
            crate::text!(
                "{shown} {arguments} printed `{said}`, which is no version",
                "{shown} {arguments} 输出 `{said}`，不是版本号"
            ),
            crate::text!(
                "look at what {shown} is: `file {shown}`",
                "查看 {shown} 究竟是什么：`file {shown}`"
            ),
        );
    };
    let ok = range.satisfies(&version);
    let summary = if ok {
        crate::text!("{shown} is {version}", "{shown} 的版本为 {version}")
    } else {
        crate::text!(
            "{shown} is {version}, which is not in `{range_text}`",
            "{shown} 的版本为 {version}，不在 `{range_text}` 范围内"
        )
    };
    let outcome = if ok { Outcome::Pass } else { Outcome::Fail };
    let finding = Finding::new(spec, &shown, outcome, summary).with_limit(
        Text::new("version", "版本"),
        version.to_string(),
        range_text,
    );
    if ok {
        return finding;
    }
    let note = if version.is_prerelease() {
        Text::new(
            " A pre-release is outside of a range unless the range names one.",
            "预发布版本不算在范围内，除非范围中写明。",
        )
    } else {
        Text::same("")
    };
    let (en, zh) = (note.en, note.zh);
    if ask.any {
        return finding.with_help(crate::text!(
            "install a version in `{range_text}`, or change `{key}` if the app really runs on {version}.{en}",
            "安装符合 `{range_text}` 的版本；若应用确实支持 {version}，请修改 `{key}`。{zh}"
        ));
    }
    finding.with_help(crate::text!(
        "install a version in `{range_text}` (`nvm install`, or your distribution's package) and point `runtime.node-dir` at its bin directory, or change `{key}` if the app really runs on {version}.{en}",
        "安装符合 `{range_text}` 的版本（`nvm install` 或发行版软件包），并将 `runtime.node-dir` 指向其 bin 目录；若应用确实支持 {version}，请修改 `{key}`。{zh}"))
}

/// The program is not there at all.
pub(in crate::checks) fn missing(spec: &CheckSpec, program: &str, range_text: &str) -> Finding {
    Finding::new(
        spec,
        program,
        Outcome::Fail,
        crate::text!(
            "{program} is not on this host; `{range_text}` is asked for",
            "主机上没有 {program}，而配置要求 `{range_text}`"
        ),
    )
    .with_limit(Text::new("version", "版本"), "-", range_text)
    .with_help(crate::text!(
        "install it, or name the directory that holds it in `runtime.node-dir`: services do not read the shell profile in which nvm, volta or asdf set the PATH (`dirname \"$(command -v {program})\"` in your own shell shows it)",
        "请安装，或在 `runtime.node-dir` 中写明其所在目录：服务不会读取 nvm、volta、asdf 修改 PATH 的 shell 配置（在自己的 shell 中执行 `dirname \"$(command -v {program})\"` 可查到）"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(range: &str, version: &str) -> bool {
        Range::parse(range).unwrap().satisfies(&Version::parse(version).unwrap())
    }

    #[test]
    fn ranges_are_read_as_npm_reads_them() {
        for (range, version, expected) in [
            (">=18", "20.0.0-rc.1", false),
            (">=20.0.0-rc.0", "20.0.0-rc.1", true),
            (">=9.5", "10.0.0", true),
            ("<10", "9.99.0", true),
            ("18 || >=20", "18.19.1", true),
            ("18 || >=20", "19.0.0", false),
            ("^18.17.0", "18.16.9", false),
            ("~20.11", "20.12.0", false),
            ("18.x", "18.20.4", true),
            ("18 - 20", "20.99.0", true),
            ("18 - 20", "21.0.0", false),
            ("*", "22.1.0", true),
            (">=18 <21", "20.5.0", true),
        ] {
            assert_eq!(inside(range, version), expected, "{version} in {range}");
        }
    }

    #[test]
    fn versions_are_found_in_what_programs_print() {
        for (output, expected) in [
            ("v20.11.1\n", Some("20.11.1")),
            ("10.2.4\n", Some("10.2.4")),
            ("npm WARN config\n10.2.4\n", Some("10.2.4")),
            ("hello\n", None),
            ("", None),
        ] {
            assert_eq!(version_in(output).map(|v| v.to_string()).as_deref(), expected, "{output:?}");
        }
    }
}
