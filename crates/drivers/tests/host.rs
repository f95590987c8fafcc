//! The local host, on this very machine.

#![allow(clippy::unwrap_used)]

use safelight_drivers::host::LocalHost;
use safelight_engine::driver::host::{Cmd, Host as _, HostErrorKind};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener},
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

fn sh(script: &str) -> Cmd {
    Cmd::new(["sh", "-c", script])
}

#[tokio::test]
async fn a_command_gets_a_clean_environment_and_what_was_given() {
    let host = LocalHost::new();
    let output = host.run(&Cmd::new(["env"]).env("GIVEN", "a 'b' $c\nd")).await.unwrap();
    let text = output.text();
    let keys: Vec<&str> = text.lines().filter_map(|l| l.split_once('=')).map(|(k, _)| k).collect();
    assert_eq!(keys.len(), 4, "{text}");
    for key in ["PATH", "HOME", "LANG", "GIVEN"] {
        assert!(keys.contains(&key), "{key} in {text}");
    }
    assert!(text.contains("GIVEN=a 'b' $c\nd") && text.contains("LANG=C.UTF-8"));
}

#[tokio::test]
async fn a_complaint_is_whole_lines_and_only_a_line_that_is_too_long_is_cut() {
    let said =
        |script: &'static str| async move { LocalHost::new().run(&sh(script)).await.unwrap().complaint() };
    let lines = said("for i in $(seq 200); do echo \"line $i of what went wrong\" >&2; done; exit 1").await;
    assert!(lines.starts_with("line ") && lines.ends_with("\nline 200 of what went wrong"), "{lines}");
    assert!(lines.lines().count() > 10 && lines.len() <= 600, "{lines}");
    let long = said("head -c 5000 /dev/zero | tr '\\0' x >&2; exit 1").await;
    assert!(long.starts_with('…') && long.chars().count() == 601, "{long}");
    let both = said("head -c 5000 /dev/zero | tr '\\0' x >&2; echo >&2; echo short >&2; exit 1").await;
    assert_eq!(both, "short");
}

#[tokio::test]
async fn exit_status_streams_input_and_directory_are_handed_through() {
    let dir = tempfile::tempdir().unwrap();
    let mut cmd = sh("pwd; cat; echo problem >&2; exit 3").cwd(dir.path());
    cmd.stdin = vec![b'x'; 300_000];
    let output = LocalHost::new().run(&cmd).await.unwrap();
    assert_eq!(output.status, Some(3));
    assert_eq!(output.complaint(), "problem");
    let text = output.text();
    assert!(text.starts_with(dir.path().canonicalize().unwrap().to_str().unwrap()));
    assert_eq!(text.lines().nth(1).unwrap().len(), 300_000);
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_killed_with_all_its_children() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let script = format!("echo begun; (echo $$ >/dev/null; sleep 300) & echo $! > {}; wait", file.display());
    let begin = Instant::now();
    let error = LocalHost::new().run(&sh(&script).timeout(Duration::from_millis(400))).await.unwrap_err();
    assert_eq!(error.kind, HostErrorKind::Timeout);
    assert!(error.detail.contains("begun"), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(3));
    let pid: u32 = fs::read_to_string(file).unwrap().trim().parse().unwrap();
    assert!(ends(pid).await, "the child of the command lives on");
}

/// A killed process takes a moment to be gone on a busy machine.
async fn ends(pid: u32) -> bool {
    for _ in 0..60 {
        if safelight_drivers::host::proc::stat(pid).is_none_or(|s| s.state == 'Z') {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

#[tokio::test]
async fn giving_up_on_a_command_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let script = format!("echo $$ > {}; sleep 300", file.display());
    let _ = tokio::time::timeout(Duration::from_millis(500), LocalHost::new().run(&sh(&script))).await;
    let pid: u32 = fs::read_to_string(file).unwrap().trim().parse().unwrap();
    assert!(ends(pid).await);
}

#[tokio::test]
async fn a_background_process_that_keeps_the_pipe_does_not_hold_the_caller() {
    let begin = Instant::now();
    let output = LocalHost::new().run(&sh("sleep 5 & echo done")).await.unwrap();
    assert_eq!(output.text(), "done\n");
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn output_is_handed_over_line_by_line_as_it_comes() {
    let lines = Mutex::new(Vec::new());
    let on_line = |line: &str| lines.lock().unwrap().push((Instant::now(), line.to_owned()));
    let script = "echo one; sleep 0.4; echo two >&2; printf 'no end'";
    let output = LocalHost::new().run_streaming(&sh(script), &on_line).await.unwrap();
    assert!(output.ok());
    let lines = lines.into_inner().unwrap();
    assert_eq!(lines[0].1, "one");
    let mut rest: Vec<&str> = lines[1..].iter().map(|(_, l)| l.as_str()).collect();
    rest.sort_unstable();
    assert_eq!(rest, ["no end", "two"]);
    assert!(lines[1].0 - lines[0].0 > Duration::from_millis(200), "lines were held back");
}

#[tokio::test]
async fn a_line_without_an_end_is_handed_over_in_whole_characters() {
    let lines = Mutex::new(Vec::new());
    let on_line = |line: &str| lines.lock().unwrap().push(line.to_owned());
    let script = "printf 'a'; i=0; while [ $i -lt 20000 ]; do printf '胶片'; i=$((i+1)); done";
    LocalHost::new().run_streaming(&sh(script), &on_line).await.unwrap();
    let lines = lines.into_inner().unwrap();
    assert!(lines.len() >= 7 && lines.iter().all(|l| l.len() <= 16 << 10), "{}", lines.len());
    assert_eq!(lines.concat(), format!("a{}", "胶片".repeat(20_000)));
}

#[tokio::test]
async fn the_end_of_a_huge_output_is_kept() {
    let output = LocalHost::new().run(&sh("head -c 30000000 /dev/zero; echo the end")).await.unwrap();
    assert_eq!(output.stdout.len(), 16 << 20);
    assert!(output.stdout.ends_with(b"the end\n"));
}

#[tokio::test]
async fn what_cannot_be_run_says_what_and_why() {
    let host = LocalHost::new();
    let error = host.run(&Cmd::new(["no-such-program-here"])).await.unwrap_err();
    assert_eq!(error.kind, HostErrorKind::NotFound);
    assert!(error.op.contains("no-such-program-here"));
    let error = host.run(&sh("true").cwd("/no/such/dir")).await.unwrap_err();
    assert!(error.detail.contains("/no/such/dir"), "{error}");
    assert!(host.run(&Cmd::default()).await.is_err());
}

#[tokio::test]
async fn files_are_read_with_a_limit_and_special_ones_refused() {
    let host = LocalHost::new();
    assert!(host.read(Path::new("/proc/meminfo")).await.unwrap().starts_with(b"MemTotal"));
    assert_eq!(host.read(Path::new("/no/such")).await.unwrap_err().kind, HostErrorKind::NotFound);
    assert!(host.read(Path::new("/dev/zero")).await.is_err());
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    host.run(&Cmd::new(["mkfifo", fifo.to_str().unwrap()])).await.unwrap();
    assert!(host.read(&fifo).await.is_err());
    let big = dir.path().join("big");
    fs::File::create(&big).unwrap().set_len((16 << 20) + 1).unwrap();
    assert!(host.read(&big).await.unwrap_err().detail.contains("16 MiB"));
}

#[tokio::test]
async fn the_file_system_of_a_path_that_does_not_exist_yet_is_that_of_its_ancestor() {
    let host = LocalHost::new();
    let dir = tempfile::tempdir().unwrap();
    let there = host.stat_fs(dir.path()).await.unwrap();
    let later = host.stat_fs(&dir.path().join("not/yet/here")).await.unwrap();
    assert_eq!((there.device, &there.mount), (later.device, &later.mount));
    assert!(there.total > 0 && there.free >= there.available && dir.path().starts_with(&there.mount));
    let proc = host.stat_fs(Path::new("/proc/self")).await.unwrap();
    assert_eq!(proc.mount, Path::new("/proc"));
}

#[tokio::test]
async fn programs_are_found_on_the_path_of_the_services() {
    let dir = tempfile::tempdir().unwrap();
    let host = LocalHost::new().with_path_first(dir.path());
    assert!(host.find_program("sh").await.unwrap().unwrap().ends_with("sh"));
    assert_eq!(host.find_program("no-such-program-here").await.unwrap(), None);
    let mine = dir.path().join("sh");
    fs::write(&mine, "not executable").unwrap();
    assert_ne!(host.find_program("sh").await.unwrap(), Some(mine.clone()));
    fs::set_permissions(&mine, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(host.find_program("sh").await.unwrap(), Some(mine));
}

#[tokio::test]
async fn a_listener_is_found_with_its_owner() {
    let host = LocalHost::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let all = host.listeners().await.unwrap();
    let found: Vec<_> = all.iter().filter(|l| l.port == port).collect();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].addr, found[0].v6only), (IpAddr::V4(Ipv4Addr::LOCALHOST), None));
    let owner = found[0].owner.as_ref().unwrap();
    assert_eq!(owner.pid, std::process::id());
    assert!(owner.start_ticks > 0 && owner.exe.is_some());
    drop(socket);
    assert!(!host.listeners().await.unwrap().iter().any(|l| l.port == port));
}

#[tokio::test]
async fn a_port_is_free_only_when_every_family_it_stands_for_is() {
    let host = LocalHost::new();
    let (v4, v6) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    assert!(!host.can_bind(v4, port).await.unwrap());
    assert!(!host.can_bind(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port).await.unwrap());
    // A server on `::` serves IPv4 too, so it conflicts with one on 127.0.0.1.
    assert!(!host.can_bind(v6, port).await.unwrap());
    assert!(host.can_bind(IpAddr::V6(Ipv6Addr::LOCALHOST), port).await.unwrap());
    drop(socket);
    assert!(host.can_bind(v4, port).await.unwrap());
    assert!(host.can_bind(v6, port).await.unwrap());
    assert!(host.can_bind("192.0.2.1".parse().unwrap(), port).await.is_err(), "not an address of this host");
}

#[tokio::test]
async fn whether_an_ipv6_listener_leaves_ipv4_alone_is_told() {
    let host = LocalHost::new();
    // An IPv4 address in IPv6 dress stands for a listener that serves IPv4; `::1` can only be IPv6.
    for (addr, only) in [("::ffff:127.0.0.1", false), ("::1", true)] {
        let addr: IpAddr = addr.parse().unwrap();
        let socket = rustix::net::socket_with(
            rustix::net::AddressFamily::INET6,
            rustix::net::SocketType::STREAM,
            rustix::net::SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        rustix::net::sockopt::set_ipv6_v6only(&socket, only).unwrap();
        rustix::net::bind(&socket, &std::net::SocketAddr::new(addr, 0)).unwrap();
        rustix::net::listen(&socket, 1).unwrap();
        let socket = TcpListener::from(socket);
        let port = socket.local_addr().unwrap().port();
        let all = host.listeners().await.unwrap();
        let found = all.iter().find(|l| l.port == port).unwrap();
        assert_eq!((found.addr, found.v6only), (addr, Some(only)));
    }
}

#[tokio::test]
async fn processes_are_listed_without_their_arguments() {
    let host = LocalHost::new();
    let dir = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new("tail")
        .args(["-f", "/dev/null", "--", "hunter2"])
        .current_dir(dir.path())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let found = loop {
        // Until the new process has become `tail`.
        let all = host.processes().await.unwrap();
        match all.into_iter().find(|p| p.pid == child.id()) {
            Some(p) if p.name == "tail" => break p,
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((found.command.as_str(), found.parent), ("tail", std::process::id()));
    assert_eq!(found.cwd, Some(dir.path().canonicalize().unwrap()));
    assert!(!found.user.is_empty() && !format!("{found:?}").contains("hunter2"));
    assert!(!host.processes().await.unwrap().iter().any(|p| p.pid == found.pid), "an ended one is listed");
}
