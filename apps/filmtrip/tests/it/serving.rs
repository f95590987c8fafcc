//! Starting, shedding, stopping, and two instances side by side.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::support::{ADMIN, Client, MULTIPART, Reply, Site, jpeg, multipart};

/// Starts an upload and leaves it half done; the rest of its bytes.
fn half_upload(client: &Client) -> (TcpStream, Vec<u8>) {
    let body = multipart(&[], &[&jpeg(1)]);
    let headers = [("content-type", MULTIPART), ("x-csrf-token", client.csrf.as_str())];
    let mut stream = client.connect();
    stream.write_all(&client.head("POST", "/api/photos", &headers, body.len())).expect("head");
    let (first, rest) = body.split_at(body.len() / 2);
    stream.write_all(first).expect("half");
    (stream, rest.to_vec())
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(8), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn load_above_the_cap_is_shed_and_health_still_answers() {
    let site = Site::new();
    let app = site.start("serve", &[("FILMTRIP_MAX_IN_FLIGHT", "2")]);
    let admin = app.login(ADMIN);
    let (one, rest) = half_upload(&admin);
    let (two, _) = half_upload(&admin);
    // Asking at once could take the second place before the second upload does.
    std::thread::sleep(Duration::from_millis(300));
    // A page asks the API itself and may be refused while one upload is under way; the API is refused only beside two.
    until("shedding", || admin.get("/api/photos").status == 503);
    let reply = admin.get("/api/photos");
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    assert_eq!(reply.code(), "busy");
    assert_eq!(admin.get("/api/health").status, 200);
    drop(two);
    until("room again", || admin.get("/").status == 200);
    let mut one = one;
    one.write_all(&rest).expect("rest");
    assert_eq!(Reply::read(one).status, 201);
}

#[test]
fn sigterm_finishes_what_is_in_flight_and_takes_nothing_new() {
    let site = Site::new();
    let mut app = site.serve();
    let admin = app.login(ADMIN);
    let (mut stream, rest) = half_upload(&admin);
    let idle = admin.connect();
    std::thread::sleep(Duration::from_millis(200));
    app.terminate();
    until("the port is closed", || TcpStream::connect(app.address).is_err());
    assert!(app.child.try_wait().expect("wait").is_none(), "it left a request behind");
    stream.write_all(&rest).expect("rest");
    let reply = Reply::read(stream);
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!(app.wait(Duration::from_secs(5)), Some(0), "idle connections must not hold it up");
    drop(idle);
    let again = site.serve();
    assert_eq!(again.client().get("/api/photos").body_json()["photos"].as_array().expect("photos").len(), 1);
}

#[test]
fn a_request_that_never_ends_does_not_stop_the_stop() {
    let site = Site::new();
    let mut app = site.serve();
    let admin = app.login(ADMIN);
    let (_stream, _) = half_upload(&admin);
    std::thread::sleep(Duration::from_millis(100));
    let start = Instant::now();
    app.terminate();
    assert_eq!(app.wait(Duration::from_secs(13)), Some(0));
    assert!(start.elapsed() < Duration::from_secs(12), "took {:?}", start.elapsed());
}

#[test]
fn keep_alive_connections_carry_several_requests() {
    let site = Site::new();
    let app = site.serve();
    let mut stream = app.client().connect();
    for _ in 0..3 {
        stream.write_all(b"GET /api/photos HTTP/1.1\r\nhost: x\r\n\r\n").expect("request");
        let reply = Reply::read(stream.try_clone().expect("clone"));
        assert_eq!(reply.status, 200);
        assert_ne!(reply.header("connection"), Some("close"));
    }
}

#[test]
fn two_instances_write_side_by_side_and_see_each_other() {
    let site = Site::new();
    let apps = [site.serve(), site.serve()];
    let writers: Vec<_> = (0u64..4)
        .map(|n| {
            let client = apps[usize::from(n % 2 == 1)].login(ADMIN);
            std::thread::spawn(move || {
                for seed in 0..5 {
                    client.photo(&[("title", &format!("w{n}"))], &jpeg(n * 10 + seed));
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().expect("every upload was taken");
    }
    for app in &apps {
        let photos = app.client().get("/api/photos?limit=100").body_json()["photos"].clone();
        let photos = photos.as_array().expect("photos");
        assert_eq!(photos.len(), 20);
        for photo in photos {
            assert_eq!(app.client().get(photo["images"]["thumb"]["url"].as_str().expect("url")).status, 200);
        }
    }
}

#[test]
fn wrong_settings_stop_the_start_and_name_the_variable() {
    let site = Site::new();
    let cases: &[(&str, &str, &str)] = &[
        ("serve", "PORT", "port"),
        ("serve", "DATABASE_URL", "postgres://u:hunter2@db/x"),
        ("serve", "FILMTRIP_IMAGE_BASE_URL", "img.example.com"),
        ("serve", "UPYUN_DIRECT_UPLOAD_ENABLED", "true"),
        ("api", "UPYUN_IMAGE_PROCESSING_ENABLED", "true"),
        ("web", "FILMTRIP_API_URL", "not a url"),
        ("serve", "FILMTRIP_MEDIA_DIR", "/proc/nowhere"),
        ("serve", "FILMTRIP_WATERMARK", "no-such.png"),
    ];
    for (role, variable, value) in cases {
        let output = site.run(&[role], &[(variable, value)]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{variable}: {text}");
        assert!(text.contains(variable) && !text.contains("hunter2"), "{variable}: {text}");
    }
    let half = site.run(&["web"], &[]);
    assert_eq!(half.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&half.stderr).contains("FILMTRIP_API_URL"));
    let flags = [("UPYUN_DIRECT_UPLOAD_ENABLED", "false"), ("UPYUN_IMAGE_PROCESSING_ENABLED", "false")];
    assert_eq!(site.start("serve", &flags).client().get("/api/health").status, 200);
}

#[test]
fn a_taken_port_and_a_missing_mount_are_refused() {
    let site = Site::new();
    let app = site.serve();
    let port = app.address.port().to_string();
    let output = site.run(&["serve"], &[("PORT", &port)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&port));
    app.login(ADMIN).photo(&[], &jpeg(1));
    drop(app);
    std::fs::remove_dir_all(site.media()).expect("unmount");
    let output = site.run(&["serve"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("mounted"));
}

#[test]
fn make_photo_is_deterministic_and_uploads() {
    let site = Site::new();
    let make = |name: &str, seed: &str| {
        site.ok(&["make-photo", "--out", name, "--width", "400", "--height", "300", "--seed", seed]);
        std::fs::read(site.dir.path().join(name)).expect("photo")
    };
    assert_eq!(make("a.jpg", "5"), make("b.jpg", "5"));
    assert_ne!(make("a.jpg", "5"), make("b.jpg", "6"));
    let photo = site.serve().login(ADMIN).photo(&[], &make("a.jpg", "5"));
    assert_eq!((&photo["width"], &photo["height"]), (&400.into(), &300.into()));
}
