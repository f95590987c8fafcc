//! The daemon as a unit of a real systemd: killed, restarted, stopped, and after
//! every process of the machine has died at once. What was written and not yet synced is still there then: the order of
//! syncs is tested elsewhere.

use safelight_testkit::{bed::programs, machine::Machine, not_run};
use std::{
    fs,
    time::{Duration, Instant},
};

const CONFIG: &str = r#"
[app]
name = "shop"

[source]
dir = "app"

[[service]]
name = "web"
command = "/programs/safelight-test-app serve"
path = "/"
health = "/health"

[journeys]
files = ["site.hurl"]

[watch]
duration = "1s"
every = "250ms"

# The machine is shared with other tests.
[checks]
cpu-max-percent = 100
memory-max-percent = 99
disk-min-free = "1MB"
disk-min-free-percent = 0

[env.production]
url = "http://shop.localhost:8080"
test-host = "test.shop.localhost"
process = "detached"
"#;

/// Asks for pages until the file is gone, and for more than a handful on a slow machine too; prints how many were asked for
/// and how many did not come.
const VISITOR: &str = "n=0; bad=0; while [ -e /run/visit ] || [ $n -le 20 ]; do \
    [ \"$(curl -s -m 5 -o /dev/null -w '%{http_code}' -H 'Host: shop.localhost' http://127.0.0.1:8080/)\" = 200 ] || bad=$((bad+1)); \
    n=$((n+1)); sleep 0.02; done; echo $n $bad";

fn until(what: &str, is: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is() {
        assert!(Instant::now() < end, "{what}: not within 60 s");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn safelight(machine: &Machine, args: &str) -> safelight_testkit::command::Said {
    machine.run(&format!("cd /srv/shop && SAFELIGHT_HOME=/srv/home exec /programs/safelight {args}"))
}

fn main_pid(machine: &Machine) -> String {
    machine.run("systemctl show --property MainPID --value safelight").out.trim().to_owned()
}

fn page(machine: &Machine) -> String {
    machine.run("curl -s -m 5 -H 'Host: shop.localhost' http://127.0.0.1:8080/").out
}

#[test]
fn under_systemd_it_is_started_again_and_serves_through_restarts_and_when_every_process_died_at_once() {
    let mut machine = match Machine::new(&programs()) {
        Ok(machine) => machine,
        Err(why) => return not_run(&why),
    };
    if let Err(why) = machine.boot() {
        return not_run(&why);
    }
    let project = machine.root().join("srv/shop");
    fs::create_dir_all(project.join("app")).expect("the project");
    fs::write(project.join("app/VERSION"), "v1").expect("the release");
    fs::write(project.join("safelight.toml"), CONFIG).expect("the configuration");
    fs::write(project.join("site.hurl"), "GET {{base_url}}/\nHTTP 200\n").expect("the journey");

    let unit = safelight(&machine, "host unit").ended(0).out;
    assert!(unit.contains("SAFELIGHT_HOME=/srv/home") && !unit.contains("User="), "{unit}");
    fs::write(machine.root().join("etc/systemd/system/safelight.service"), unit).expect("the unit");
    let verified = machine.run("systemd-analyze verify /etc/systemd/system/safelight.service").ended(0);
    assert_eq!(verified.err.trim(), "", "systemd finds fault with the unit");
    machine.run("systemctl daemon-reload && systemctl enable --now safelight").ended(0);
    until("the daemon", || safelight(&machine, "status").code == Some(0));
    safelight(&machine, "deploy --yes").ended(0);
    assert!(page(&machine).starts_with("v1 "), "{}", page(&machine));

    // Killed, it comes back by itself; restarted or stopped, it leaves proxy and app alone.
    let (first, app) = (main_pid(&machine), machine.run("pgrep -x safelight-test-").out);
    assert_eq!(app.split_whitespace().count(), 1, "the app's one process: {app}");
    machine.run("touch /run/visit").ended(0);
    std::thread::scope(|scope| {
        let visits = scope.spawn(|| machine.run(VISITOR).ended(0).out);
        machine.run(&format!("kill -9 {first}")).ended(0);
        until("another daemon", || {
            let now = main_pid(&machine);
            now != "0" && now != first && safelight(&machine, "status").code == Some(0)
        });
        machine.run("systemctl restart safelight").ended(0);
        until("the daemon again", || safelight(&machine, "status").code == Some(0));
        machine.run("systemctl stop safelight").ended(0);
        assert!(page(&machine).starts_with("v1 "), "stopping the daemon took the site down");
        machine.run("systemctl start safelight && rm /run/visit").ended(0);
        let said = visits.join().expect("the visitor");
        let counts: Vec<u32> = said.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        assert!(counts.len() == 2 && counts[0] > 20 && counts[1] == 0, "requests, failures: {said}");
    });
    assert_eq!(machine.run("pgrep -x safelight-test-").out, app, "the app was restarted");
    until("the daemon at last", || safelight(&machine, "status").code == Some(0));

    machine.kill_everything();
    machine.boot().expect("boots again");
    until("the site after everything was killed", || page(&machine).starts_with("v1 "));
    let status = safelight(&machine, "status --format json").ended(0).out;
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["apps"][0]["current"]["id"], "r1", "{status}");
    assert!(status["apps"][0]["run"].is_null(), "{status}");
}
