//! A Node server that nobody here wrote: the registry verdaccio, from one major version to the next and back.

use crate::bed::{Bed, assert_nobody_failed, copy, root};
use serde_json::{Value, json};

const HOST: &str = "registry.localhost";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_server_changes_its_major_version_and_back_without_a_failed_request() {
    let bed = Bed::new();
    let source = root().join("testkit/tests/own_apps/verdaccio");
    copy(&source, &bed.project(), &["v5", "v6", "journeys"]);
    copy(&source.join("v5"), &bed.project(), &[]);
    bed.write(".gitignore", "node_modules/\n");
    bed.git_init();
    let said = bed.expect(&["init", "--url", &format!("http://{HOST}:{}", bed.port)], 0);
    assert!(said.out.contains("no start command was found"), "{}", said.out);
    copy(&source.join("journeys"), &bed.project().join("journeys"), &[]);
    bed.edit(
        "safelight.toml",
        "command = \"<what starts your app>\"\nhealth = \"/\"\n",
        // npm resolves no names below localhost, so the registry answers to the address too.
        &format!("command = \"node_modules/.bin/verdaccio --config config.yaml --listen 127.0.0.1:{{port}}\"\nhealth = \"/-/ping\"\nhosts = [\"{HOST}\", \"127.0.0.1\"]\n"),
    );
    bed.edit("safelight.toml", "# shared = [\"uploads\"]", "shared = [\"storage\"]");
    bed.edit("safelight.toml", "journeys/site.hurl", "journeys/registry.hurl");
    bed.hurry("4s");
    bed.release("v5.33.0");
    bed.start_host();
    bed.expect(&["deploy", "v5.33.0"], 0);
    assert_eq!(version(&bed), "5");

    // A package is published to the old one; it has to be there all the time.
    let registry = format!("http://127.0.0.1:{}", bed.port);
    publish(&bed, &registry);
    let seen = |at: &str| {
        let (status, body) = bed.http("GET", HOST, "/hello-safelight", "");
        assert!(status == 200 && body.contains("hello-safelight-1.0.0.tgz"), "{at}: {status} {body}");
    };
    seen("v5");

    let traffic = bed.visitors(HOST, &["/-/ping", "/hello-safelight", "/-/verdaccio/data/packages", "/"]);
    copy(&source.join("v6"), &bed.project(), &[]);
    bed.release("v6.1.6");
    traffic.mark("v6 deploys and serves");
    bed.expect(&["deploy", "v6.1.6"], 0);
    assert_eq!(version(&bed), "6");
    seen("v6");
    let said = bed.npm(&["view", "hello-safelight", "version", "--registry", &registry]);
    assert_eq!(said.out.trim(), "1.0.0", "{}", said.err);
    bed.expect(&["verify"], 0);

    traffic.mark("back to v5");
    bed.expect(&["rollback"], 0);
    assert_eq!(version(&bed), "5");
    seen("v5 again");
    traffic.mark("forward again: dependencies are there");
    let said = bed.expect(&["deploy", "v6.1.6", "--detach"], 0);
    assert!(said.err.contains("dependencies unchanged: reused, nothing installed"), "{}", said.err);
    bed.expect(&["watch"], 0);
    assert_eq!(version(&bed), "6");
    assert_nobody_failed(&traffic.finish().await);
    bed.pm2.left_somebody_else_alone();
}

/// Major version of the verdaccio that answers, by its own pages.
fn version(bed: &Bed) -> String {
    let (status, page) = bed.http("GET", HOST, "/", "");
    assert_eq!(status, 200);
    let options = page.split("\"version\":\"").nth(1).unwrap_or_else(|| panic!("no version in {page}"));
    options.split('.').next().unwrap_or_default().to_owned()
}

fn publish(bed: &Bed, registry: &str) {
    let user = json!({"name": "tester", "password": "a-long-test-password-1"}).to_string();
    let (status, body) = bed.http("PUT", HOST, "/-/user/org.couchdb.user:tester", &user);
    assert_eq!(status, 201, "{body}");
    let body = &body[body.find('{').unwrap_or(0)..=body.rfind('}').unwrap_or(0)];
    let answer: Value = serde_json::from_str(body).unwrap();
    let token = answer["token"].as_str().unwrap();
    bed.write("node_modules/hello/package.json", r#"{"name": "hello-safelight", "version": "1.0.0"}"#);
    let key = format!("--//{}/:_authToken={token}", registry.trim_start_matches("http://"));
    let said = bed.npm(&["publish", "./node_modules/hello", "--registry", registry, &key]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
}
