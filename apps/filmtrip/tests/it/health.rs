//! Health must say no when the service cannot do its work, and yes again when it can.

use std::time::{Duration, Instant};

use super::support::{ADMIN, Client, Site, jpeg};

fn health(client: &Client) -> (u16, serde_json::Value) {
    // Past the short time in which an answer is given again.
    std::thread::sleep(Duration::from_millis(250));
    let reply = client.get("/api/health");
    (reply.status, reply.body_json())
}

#[test]
fn healthy_service_tells_its_parts_schema_and_release() {
    let site = Site::new();
    let app = site.start("api", &[("FILMTRIP_RELEASE", "2026.11.23-abc")]);
    let (status, body) = health(&app.client());
    assert_eq!(status, 200);
    assert_eq!(body["status"], "ok");
    assert_eq!(body["database"]["status"], "ok");
    assert_eq!(body["storage"]["status"], "ok");
    assert_eq!(body["queue_depth"], 0);
    assert_eq!(body["schema"], 5);
    assert_eq!(body["release"], "2026.11.23-abc");
    assert_eq!(body["version"], filmtrip::VERSION);
}

#[test]
fn vanished_media_folder_fails_health_and_its_return_mends_it() {
    let site = Site::new();
    let app = site.serve();
    let client = app.client();
    let away = site.dir.path().join("unmounted");
    std::fs::rename(site.media(), &away).expect("unmount");
    // An empty mount point is what is left when a disk is gone.
    std::fs::create_dir(site.media()).expect("mount point");
    let (status, body) = health(&client);
    assert_eq!(status, 503);
    assert_eq!((&body["storage"]["status"], &body["database"]["status"]), (&"failed".into(), &"ok".into()));
    assert!(body["storage"]["error"].as_str().expect("why").contains("mounted"));
    // Who comes through a proxy learns that it is down, not what the machine looks like.
    let stranger = client.send("GET", "/api/health", &[("x-forwarded-for", "203.0.113.7")], &[]);
    let told = stranger.body_json();
    assert_eq!((stranger.status, &told["storage"]["status"]), (503, &"failed".into()));
    assert!(told["storage"].get("error").is_none(), "{told}");
    let admin = app.login(ADMIN);
    assert_eq!(admin.upload(&[], &[&jpeg(1)]).status, 500, "an upload went into the wrong folder");
    std::fs::remove_dir(site.media()).expect("empty");
    std::fs::rename(&away, site.media()).expect("mount");
    assert_eq!(health(&client).0, 200);
    assert_eq!(admin.upload(&[], &[&jpeg(1)]).status, 201);
}

#[test]
fn locked_database_fails_health_in_time_and_its_release_mends_it() {
    let site = Site::new();
    let app = site.serve();
    let client = app.client();
    let mut lock = site.sql();
    lock.begin_write().expect("lock");
    lock.batch("UPDATE heartbeat SET beat_at = 1").expect("lock the row too");
    let start = Instant::now();
    let (status, body) = health(&client);
    assert_eq!(status, 503);
    assert!(start.elapsed() < Duration::from_secs(3), "took {:?}", start.elapsed());
    assert!(body["database"]["error"].as_str().expect("why").contains("lock"), "{body}");
    assert_eq!(client.get("/").status, 200, "reading needs no write lock");
    lock.rollback();
    assert_eq!(health(&client).0, 200);
}

#[test]
fn removed_or_ruined_database_fails_health() {
    let site = Site::new();
    let app = site.serve();
    let client = app.client();
    assert_eq!(health(&client).0, 200);
    if let Some(server) = &site.server {
        server.stop();
        let (status, body) = health(&client);
        assert_eq!((status, body["database"]["status"].as_str()), (503, Some("failed")));
        assert_eq!(client.get("/api/photos").status, 503);
        server.run();
        assert_eq!(health(&client).0, 200);
        assert_eq!(client.get("/api/photos").status, 200, "connections of before are still being used");
        return;
    }
    std::fs::rename(site.database(), site.dir.path().join("gone.db")).expect("remove");
    let (status, body) = health(&client);
    assert_eq!(status, 503);
    assert_eq!(body["database"]["status"], "failed");
    std::fs::write(site.database(), "this is not a database, and long enough to be read as one")
        .expect("ruin");
    assert_eq!(health(&client).0, 503);
}

#[test]
fn database_that_cannot_be_written_fails_health() {
    let site = Site::new();
    let app = site.serve();
    assert_eq!(health(&app.client()).0, 200);
    // Root may write read-only files, so the write is refused by the database itself.
    let refuse = if crate::ON_POSTGRES {
        "CREATE FUNCTION refuse() RETURNS trigger AS 'BEGIN RAISE EXCEPTION ''read-only''; END' LANGUAGE plpgsql;
         CREATE TRIGGER no_write BEFORE UPDATE ON heartbeat FOR EACH ROW EXECUTE FUNCTION refuse()"
    } else {
        "CREATE TRIGGER no_write BEFORE UPDATE ON heartbeat BEGIN SELECT RAISE(ABORT, 'read-only'); END"
    };
    site.sql().batch(refuse).expect("trigger");
    let (status, body) = health(&app.client());
    assert_eq!(status, 503);
    assert!(body["database"]["error"].as_str().expect("why").contains("read-only"), "{body}");
}

#[test]
fn web_process_is_unhealthy_without_its_api() {
    let site = Site::new();
    let mut api = site.start("api", &[]);
    let url = format!("http://{}", api.address);
    let web = site.start("web", &[("FILMTRIP_API_URL", &url), ("FILMTRIP_RELEASE", "web-7")]);
    let reply = web.client().get("/health");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.body_json()["release"], "web-7");
    api.child.kill().expect("kill");
    api.child.wait().expect("reap");
    let reply = web.client().get("/health");
    assert_eq!((reply.status, reply.body_json()["api"].as_str()), (503, Some("not reachable")));
    assert_eq!(web.client().get("/").status, 502);
}
