//! A Node app whose port is written into its code, in two environments under one PM2.

use crate::bed::Bed;
use std::net::TcpListener;

#[test]
fn under_pm2_the_answer_of_another_environment_is_not_taken_for_the_release() {
    let bed = Bed::new();
    let fixed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    bed.write(
        "src/server.js",
        &format!(
            "require('http').createServer((q, s) => s.end(process.env.WHO)).listen({fixed}, '127.0.0.1');\n"
        ),
    );
    let port = bed.port;
    let env = |name: &str| {
        format!(
            "[env.{name}]\nurl = \"http://{name}.localhost:{port}\"\nprocess = \"pm2\"\nenv-file = \".env.{name}\"\n"
        )
    };
    bed.write(".env.staging", "WHO=staging\n");
    bed.write(".env.production", "WHO=production\n");
    bed.write(
        "safelight.toml",
        &format!(
            "[app]\nname = \"one\"\n[source]\ndir = \"src\"\n[[service]]\nname = \"web\"\ncommand = \"node server.js\"\n\
             path = \"/\"\nfixed-port = {fixed}\nstart-timeout = \"6s\"\n[watch]\nduration = \"1s\"\nevery = \"500ms\"\n\
             [checks]\ncpu-max-percent = 100\nmemory-max-percent = 98\ndisk-min-free = \"1GB\"\ndisk-min-free-percent = 2\n\
             [[waiver]]\ncheck = \"P6\"\nreason = \"to see what comes then\"\nwho = \"tester\"\nuntil = \"2099-01-01T00:00:00Z\"\n{}{}",
            env("staging"),
            env("production")
        ),
    );
    bed.start_host();
    bed.expect(&["--env", "staging", "deploy"], 0);
    let said = bed.expect(&["deploy"], 3);
    assert!(said.err.contains(&format!("answers at 127.0.0.1:{fixed}")), "{}", said.err);
    assert!(said.err.contains("syscall: 'listen'"), "its own last words: {}", said.err);
    assert_eq!(bed.pm2.online(), ["one.staging.web.r1"]);
    assert_eq!(bed.http("GET", "staging.localhost", "/", "").0, 200);
    // It is deployed anew, and its own answers are accepted.
    bed.expect(&["--env", "staging", "deploy"], 0);
    assert_eq!(bed.pm2.online(), ["one.staging.web.r2"]);
    bed.pm2.left_somebody_else_alone();
}
