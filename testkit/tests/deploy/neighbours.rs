//! Several apps on one host: one proxy, one daemon, addresses by host and path.

use safelight_testkit::bed::{Bed, HOST, Release};

/// The test-bed's app once more under another name, below `path` of the same host.
fn neighbour(bed: &Bed, name: &str, path: &str) -> Bed {
    let mut other = bed.beside();
    other.configure("name = \"shop\"", &format!("name = \"{name}\""));
    other.configure("path = \"/api\"", &format!("path = \"{path}/api\""));
    other.configure("path = \"/\"", &format!("path = \"{path}/\""));
    other.configure("test.shop.localhost", &format!("test.{name}.localhost"));
    other.write(
        "site.hurl",
        &format!("GET {{{{base_url}}}}{path}/\nHTTP 200\n\nGET {{{{base_url}}}}{path}/api\nHTTP 200\n"),
    );
    other
}

fn page(bed: &Bed, path: &str) -> String {
    let (status, body) = bed.get(HOST, path).unwrap();
    assert_eq!(status, 200, "{path}: {body}");
    body.split(' ').next().unwrap().to_owned()
}

#[test]
fn two_apps_share_a_host_by_path_and_deploy_at_once_and_neither_meets_the_other() {
    let mut shop = Bed::new();
    shop.deploy(&Release::new("v1", 1)).ended(0);
    let blog = neighbour(&shop, "blog", "/blog");
    blog.deploy(&Release::new("b1", 1)).ended(0);
    shop.traffic_begins();
    assert_eq!((page(&shop, "/"), page(&shop, "/blog/x")), ("v1".into(), "b1".into()));
    shop.mark("both at once");
    shop.prepare(&Release::new("v2", 2));
    blog.prepare(&Release::new("b2", 2));
    let both = [shop.background(&["deploy"]), blog.background(&["deploy"])];
    for mut deploy in both {
        deploy.end().ended(0);
    }
    for (path, version) in [("/", "v2"), ("/api", "v2"), ("/blog/", "b2"), ("/blog/api", "b2")] {
        assert_eq!(page(&shop, path), version, "{path}");
    }
    shop.mark("a bad one of the other");
    blog.deploy(&Release::new("b3", 2).with_env(&["APP_MODE=500"])).ended(3);
    blog.safelight(&["rollback"]).ended(0);
    for (path, version) in [("/", "v2"), ("/api", "v2"), ("/blog/", "b1"), ("/blog/api", "b1")] {
        assert_eq!(page(&shop, path), version, "{path}");
    }
    shop.nobody_was_failed();
}

#[test]
fn an_address_or_a_test_host_that_another_app_has_stops_a_deploy_before_anything_is_built() {
    let shop = Bed::new();
    shop.deploy(&Release::new("v1", 1)).ended(0);
    let mut thief = neighbour(&shop, "thief", "");
    thief.configure("path = \"/api\"", "path = \"/thief\"");
    thief.deploy(&Release::new("t1", 1)).ended(1).says(&[
        "shop.localhost/ is served by shop.production/web on this host",
        "give this app another host name",
    ]);
    assert!(!thief.home().join("apps/thief.production/releases/r1").exists());
    // Users reach the site by the name that this one would test under.
    let mut tester = neighbour(&shop, "tester", "/tester");
    tester.configure("http://shop.localhost", "http://tester.localhost");
    tester.configure("test.tester.localhost", HOST);
    tester.deploy(&Release::new("t1", 1)).ended(1).says(&["is served by shop.production/"]);
    shop.serves_exactly("v1");
}
