//! A release goes by its own configuration and its own journeys as long as it is on the host, whatever came after it.

use safelight_proxy::{ControlClient, protocol::Hold};
use safelight_testkit::{
    bed::{Bed, HOST, PATIENCE, Release},
    processes,
};
use serde_json::Value;
use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    time::Instant,
};

/// A host name that the second release of these tests adds.
const OTHER_HOST: &str = "img.shop.localhost";

/// A bed whose services are started by a script of the release. Where the script is, is in the configuration alone.
fn bed_with_a_script() -> Bed {
    let mut bed = Bed::new();
    start_by(&mut bed, "start.sh");
    bed
}

/// From now on the app is started by this script, and by no other one of its releases' tree.
fn start_by(bed: &mut Bed, script: &str) {
    let text = bed.config_text();
    let command = text.lines().find(|l| l.starts_with("command")).unwrap().to_owned();
    let program = text.split('"').find(|w| w.ends_with("safelight-test-app serve")).map(str::to_owned);
    for old in ["start.sh", "bin/start.sh", "run/start.sh"] {
        let old_script = std::fs::read_to_string(bed.project().join("app").join(old));
        let _ = std::fs::remove_file(bed.project().join("app").join(old));
        if let Ok(text) = old_script {
            bed.write(&format!("app/{script}"), &text);
        }
    }
    if let Some(program) = program {
        bed.write(&format!("app/{script}"), &format!("exec {program}\n"));
    }
    bed.configure(&command, &format!("command = \"sh {script}\""));
}

/// A third service with a host name and a journey, which no release without it passes.
fn add_help(bed: &mut Bed) {
    let command = bed.config_text().lines().find(|l| l.starts_with("command")).unwrap().to_owned();
    let help = format!(
        "[[service]]\nname = \"help\"\n{command}\npath = \"/help\"\nhealth = \"/health\"\n\
         hosts = [\"{HOST}\", \"{OTHER_HOST}\"]\nstop-timeout = \"2s\"\nenv = {{ APP_LABEL = \"helper\" }}\n\n[database]"
    );
    bed.configure("[database]", &help);
    bed.configure("[\"site.hurl\"]", "[\"site.hurl\", \"help.hurl\"]");
    bed.write("help.hurl", "GET {{base_url}}/help\nHTTP 200\n[Asserts]\nbody contains \"helper\"\n");
}

fn page(bed: &Bed, host: &str, path: &str) -> String {
    bed.get(host, path).map(|(s, b)| format!("{s} {}", b.trim())).unwrap_or_default()
}

/// What users reach, without what differs from one start to the next.
fn routes(bed: &Bed) -> Vec<(Value, Value, Value)> {
    let part = |s: &Value, key: &str| s[key].clone();
    bed.routes().iter().map(|s| (part(s, "service"), part(s, "routes"), part(s, "stable"))).collect()
}

/// Deploys until `point` and takes it back from there.
fn deploy_and_abort_at(bed: &Bed, release: &Release<'_>, point: &str) {
    bed.prepare(release);
    bed.forget_points();
    bed.order(point, "pause");
    let mut cli = bed.background(&["deploy"]);
    cli.comes_to(bed, point);
    let mut abort = bed.background(&["abort"]);
    // It has asked before it shows how the run goes on.
    bed.wait_until("the abort is asked for", |_| !abort.so_far().is_empty());
    bed.release(point);
    cli.end().ended(3);
    abort.end().ended(0);
}

/// Every process of the test dies at once, as at a loss of power, and the daemon is started again.
fn reboot(bed: &mut Bed) {
    let until = Instant::now() + PATIENCE;
    loop {
        let left = processes::below(bed.dir());
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < until, "they do not die: {left:?}");
        left.iter().for_each(|p| processes::kill(*p, rustix::process::Signal::KILL));
        bed.reap_daemon();
    }
    bed.restart_daemon();
}

#[test]
fn a_rollback_goes_by_the_configuration_and_the_journeys_of_the_release_it_leads_to() {
    let mut bed = bed_with_a_script();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    start_by(&mut bed, "run/start.sh");
    add_help(&mut bed);
    bed.deploy(&Release::new("v2", 1)).ended(0);
    bed.serves_with("v2", &["api", "help", "web"]);
    assert_eq!(page(&bed, OTHER_HOST, "/help"), "200 v2 helper");
    // The work on the next release has begun.
    bed.write("site.hurl", "GET {{base_url}}/\nHTTP 418\n");

    bed.traffic_begins();
    bed.safelight(&["rollback"]).ended(0);
    bed.serves_exactly("v1");
    assert!(!page(&bed, OTHER_HOST, "/help").starts_with("200"), "v1 knows no {OTHER_HOST}");
    bed.safelight(&["verify"]).ended(0).says(&["site"]);
    bed.safelight(&["verify", "--here"]).ended(1).says(&["help", "418"]);

    bed.safelight(&["rollback", "r2"]).ended(0);
    bed.serves_with("v2", &["api", "help", "web"]);
    assert_eq!(page(&bed, OTHER_HOST, "/help"), "200 v2 helper");
    bed.safelight(&["verify"]).ended(0).says(&["help"]);
    bed.nobody_was_failed();
}

#[test]
fn an_undone_deploy_gives_back_exactly_what_was_there() {
    let mut bed = bed_with_a_script();
    add_help(&mut bed);
    bed.deploy(&Release::new("v1", 1)).ended(0);
    let before = routes(&bed);
    // The next one starts in another way, has no help, and has what was not there before.
    start_by(&mut bed, "bin/start.sh");
    bed.configure("name = \"help\"", "name = \"shelf\"");
    bed.configure("path = \"/help\"", "path = \"/shelf\"");
    bed.configure(OTHER_HOST, "old.shop.localhost");
    bed.write("help.hurl", "GET {{base_url}}/shelf\nHTTP 200\n[Asserts]\nbody contains \"helper\"\n");
    bed.traffic_begins();
    for point in ["done:dark-test", "applied:close:help", "intent:watch"] {
        bed.mark(point);
        deploy_and_abort_at(&bed, &Release::new("v2", 1), point);
        bed.serves_with("v1", &["api", "help", "web"]);
        assert_eq!(routes(&bed), before, "{point}");
        assert_eq!(page(&bed, OTHER_HOST, "/help"), "200 v1 helper");
    }
    bed.nobody_was_failed();
    bed.safelight(&["deploy"]).ended(0);
    bed.serves_with("v2", &["api", "shelf", "web"]);
    assert_eq!(page(&bed, HOST, "/shelf"), "200 v2 helper");
}

/// Both services can use one port each.
fn fix_the_ports(bed: &mut Bed) {
    let ports: Vec<TcpListener> = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    for (path, l) in ["/api", "/"].iter().zip(&ports) {
        let port = l.local_addr().unwrap().port();
        bed.configure(&format!("path = \"{path}\""), &format!("path = \"{path}\"\nfixed-port = {port}"));
    }
}

#[test]
fn an_exchange_that_is_taken_back_starts_the_old_release_as_it_was_started() {
    let mut bed = bed_with_a_script();
    fix_the_ports(&mut bed);
    bed.deploy(&Release::new("v1", 1)).ended(0);
    let before = routes(&bed);
    start_by(&mut bed, "run/start.sh");
    bed.traffic_begins();
    deploy_and_abort_at(&bed, &Release::new("v2", 1), "done:exchange:web");
    bed.serves_exactly("v1");
    assert_eq!(routes(&bed), before);
    bed.nobody_was_failed();
}

#[test]
fn a_service_with_a_new_name_takes_the_place_of_the_old_one_and_gives_it_back() {
    for fixed in [false, true] {
        let mut bed = bed_with_a_script();
        if fixed {
            fix_the_ports(&mut bed);
        }
        bed.deploy(&Release::new("v1", 1)).ended(0);
        let before = routes(&bed);
        bed.configure("name = \"web\"", "name = \"site\"");
        bed.traffic_begins();
        let point = if fixed { "done:exchange:site" } else { "done:promote:site" };
        deploy_and_abort_at(&bed, &Release::new("v2", 1), point);
        bed.serves_exactly("v1");
        assert_eq!(routes(&bed), before);
        bed.safelight(&["deploy"]).ended(0);
        bed.serves_with("v2", &["api", "site"]);
        bed.safelight(&["rollback"]).ended(0);
        bed.serves_exactly("v1");
        assert_eq!(bed.routes().len(), 2);
        bed.nobody_was_failed();
    }
}

#[test]
fn a_kill_while_a_service_is_closed_or_replaced_is_finished_or_taken_back() {
    let mut bed = bed_with_a_script();
    add_help(&mut bed);
    bed.deploy(&Release::new("v1", 1)).ended(0);
    let before = routes(&bed);
    bed.configure("name = \"web\"", "name = \"site\"");
    bed.configure("name = \"help\"", "name = \"shelf\"");
    bed.configure("path = \"/help\"", "path = \"/shelf\"");
    bed.write("help.hurl", "GET {{base_url}}/shelf\nHTTP 200\n[Asserts]\nbody contains \"helper\"\n");
    bed.traffic_begins();
    for (point, command) in [
        ("applied:promote:site", "abort"),
        ("intent:close:help", "abort"),
        ("applied:close:help", "abort"),
        ("applied:close:web", "resume"),
    ] {
        bed.restart_daemon();
        bed.mark(point);
        bed.prepare(&Release::new("v2", 1));
        bed.order(point, "kill");
        let mut cli = bed.background(&["deploy"]);
        bed.daemon_dies_at(point, &cli);
        cli.kill();
        bed.safelight(&[command]).ended(0);
        if command == "abort" {
            bed.serves_with("v1", &["api", "help", "web"]);
            assert_eq!(routes(&bed), before, "{point}");
        }
    }
    bed.serves_with("v2", &["api", "shelf", "site"]);
    bed.nobody_was_failed();
}

#[test]
fn what_ends_is_answered_by_what_takes_its_path_in_the_dark_test_already() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    let text = bed.config_text();
    let api = text.split("[[service]]").find(|s| s.contains("name = \"api\"")).unwrap().to_owned();
    bed.configure(&format!("[[service]]{api}"), "");
    bed.configure("env = { SHOP_API_URL = \"{api.url}\" }", "");
    bed.write("site.hurl", "GET {{base_url}}/api\nHTTP 200\n[Asserts]\nbody contains \"v2\"\n");
    bed.traffic_begins();
    bed.deploy(&Release::new("v2", 1)).ended(0);
    bed.serves_with("v2", &["web"]);
    bed.safelight(&["rollback"]).ended(0);
    bed.serves_exactly("v1");
    bed.nobody_was_failed();
}

#[test]
fn after_a_reboot_what_serves_is_started_as_its_own_configuration_says() {
    let mut bed = bed_with_a_script();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    start_by(&mut bed, "run/start.sh");
    add_help(&mut bed);
    deploy_and_abort_at(&bed, &Release::new("v2", 1), "intent:watch");
    reboot(&mut bed);
    bed.wait_until("v1 answers", |b| page(b, HOST, "/").starts_with("200 v1"));
    bed.wait_until("its api answers", |b| page(b, HOST, "/api").starts_with("200 v1"));
    bed.serves_exactly("v1");

    // While a release is watched it is the one that serves, and its run has not ended yet.
    bed.configure("duration = \"1s\"", "duration = \"8s\"");
    bed.forget_points();
    let mut cli = bed.background(&["deploy"]);
    cli.comes_to(&bed, "intent:watch");
    reboot(&mut bed);
    for path in ["/", "/api", "/help"] {
        bed.wait_until("v2 answers", |b| page(b, HOST, path).starts_with("200 v2"));
    }
}

#[test]
fn a_release_from_before_goes_by_the_configuration_of_its_deploy_and_says_so_once() {
    let mut bed = bed_with_a_script();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    std::fs::remove_dir_all(bed.app_dir().join("releases/r1.own")).unwrap();
    start_by(&mut bed, "run/start.sh");
    add_help(&mut bed);
    bed.deploy(&Release::new("v2", 1)).ended(0);
    bed.traffic_begins();
    let said = bed.safelight(&["rollback"]).ended(0);
    let told = said.err.matches("r1 is older than the keeping of configuration").count();
    assert_eq!(told, 1, "{}", said.err);
    bed.serves_exactly("v1");
    bed.nobody_was_failed();
}

#[test]
fn a_hold_that_a_dead_run_left_ends_when_the_daemon_is_back() {
    let mut bed = bed_with_a_script();
    fix_the_ports(&mut bed);
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.prepare(&Release::new("v2", 1));
    bed.order("intent:exchange:api", "kill");
    let mut cli = bed.background(&["deploy"]);
    bed.daemon_dies_at("intent:exchange:api", &cli);
    cli.kill();
    // As if it had been killed a moment later.
    let control = ControlClient::new(bed.home().join("proxy/proxy.sock"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let hold = Hold { max_wait_ms: 50_000, ..Hold::default() };
    runtime.block_on(control.hold("shop.production", "api", &hold)).unwrap();
    let addr = bed.addr();
    let waiting = std::thread::spawn(move || {
        let mut tcp = TcpStream::connect(addr).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.write_all(format!("GET /api HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n").as_bytes())
            .unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).unwrap();
        answer
    });
    bed.wait_until("a request waits", |b| {
        b.routes().iter().any(|s| s["held"]["waiting"].as_u64().is_some_and(|n| n > 0))
    });
    bed.restart_daemon();
    let answer = waiting.join().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("v1"), "{answer}");
    assert!(bed.routes().iter().all(|s| s["held"].is_null()));
    bed.safelight(&["resume"]).ended(0);
    bed.serves_exactly("v2");
}
