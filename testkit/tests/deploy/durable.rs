//! What says "whole" on disk is written after what it speaks of: by the order of the daemon's system calls.

use safelight_testkit::{
    bed::{Bed, Release},
    not_run,
};
use std::{
    fs,
    process::{Command, Stdio},
};

#[test]
fn what_install_and_build_made_is_synced_before_the_mark_that_the_release_is_whole() {
    let mut bed = Bed::new();
    let there = Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|s| s.success()) {
        return not_run("needs strace");
    }
    bed.configure("[database]", "[build]\nbuild = \"sh build.sh\"\n\n[database]");
    bed.write("app/build.sh", "echo made > by-the-build\n");
    bed.prepare(&Release::new("v1", 1));
    let pid = bed.status().and_then(|s| s["pid"].as_u64()).expect("the daemon runs");
    let (trace, said) = (bed.dir().join("trace"), bed.dir().join("strace"));
    let mut strace = Command::new("strace")
        .args(["-f", "-y", "-s", "512", "-e", "trace=execve,syncfs,rename,renameat,renameat2", "-o"])
        .arg(&trace)
        .args(["-p", &pid.to_string()])
        .stderr(fs::File::create(&said).unwrap())
        .spawn()
        .unwrap();
    let attached = |_: &Bed| fs::read_to_string(&said).is_ok_and(|t| t.contains("attached"));
    bed.wait_until("strace is attached", attached);
    bed.safelight(&["deploy"]).ended(0);
    safelight_testkit::processes::kill(strace.id(), rustix::process::Signal::INT);
    strace.wait().unwrap();

    let text = fs::read_to_string(&trace).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let at = |what: &str, is: &dyn Fn(&str) -> bool| {
        lines.iter().position(|l| is(l)).unwrap_or_else(|| panic!("{what} is not in the trace:\n{text}"))
    };
    let begun = at("the build", &|l| l.contains("execve(") && l.contains("\"build.sh\""));
    let build = lines[begun].split(' ').next().unwrap();
    let ended = at("its end", &|l| l.starts_with(build) && l.contains("+++ exited with 0"));
    let marked = at("the mark", &|l| l.contains("rename") && l.contains("/r1.ready.json\""));
    let synced = (ended..marked).any(|n| lines[n].contains("syncfs(") && lines[n].contains("/releases/r1>"));
    assert!(begun < ended && ended < marked && synced, "{}", lines[begun..=marked].join("\n"));
}
