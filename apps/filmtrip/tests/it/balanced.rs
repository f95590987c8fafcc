//! Three instances behind a proxy that gives each connection to the next one: whatever one of them has begun, another one
//! goes on with, also when the first is killed.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::support::{ADMIN, App, Client, jpeg};
use super::upyun::{Rig, wait};
use filmtrip::images::sample;
use serde_json::json;

/// Gives connections to instances in turn, and leaves out those that take none.
struct Balancer {
    address: SocketAddr,
    /// How many connections each instance was given.
    given: Arc<Vec<AtomicUsize>>,
}

impl Balancer {
    fn start(address: &str, instances: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind(address).expect("the port is free");
        let address = listener.local_addr().expect("address");
        let given: Arc<Vec<AtomicUsize>> = Arc::new(instances.iter().map(|_| AtomicUsize::new(0)).collect());
        let counts = Arc::clone(&given);
        std::thread::spawn(move || {
            for (turn, client) in listener.incoming().flatten().enumerate() {
                let reached = (0..instances.len())
                    .map(|n| (turn + n) % instances.len())
                    .find_map(|n| Some((n, TcpStream::connect(instances[n]).ok()?)));
                let Some((n, server)) = reached else { continue };
                counts[n].fetch_add(1, Ordering::Relaxed);
                join(&client, &server);
                join(&server, &client);
            }
        });
        Self { address, given }
    }

    fn login(&self) -> Client {
        Client::of(self.address).logged_in(ADMIN)
    }

    fn given(&self) -> Vec<usize> {
        self.given.iter().map(|n| n.load(Ordering::Relaxed)).collect()
    }
}

/// Carries bytes one way until either side ends.
fn join(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().expect("clone"), to.try_clone().expect("clone"));
    std::thread::spawn(move || {
        let _ended = io::copy(&mut from, &mut to);
        let _ended = to.shutdown(std::net::Shutdown::Write);
    });
}

/// A bucket, and three instances behind the address that the bucket sends its notices to.
fn three() -> (Rig, Vec<App>, Balancer) {
    let rig = Rig::new();
    let apps: Vec<App> = (0..3).map(|_| rig.start_with(true, true, &[("PORT", "0")])).collect();
    let notify = rig.notify_url();
    let address = notify.trim_start_matches("http://").split('/').next().expect("address");
    let balancer = Balancer::start(address, apps.iter().map(|a| a.address).collect());
    (rig, apps, balancer)
}

#[test]
fn a_session_its_uploads_and_their_notices_are_everybodys() {
    let (rig, _apps, balancer) = three();
    let admin = balancer.login();
    rig.faults(|f| f.callbacks.duplicates = 1);
    let mut keys = Vec::new();
    for seed in 0..6 {
        let file = sample::photo(800, 533, seed).expect("sample");
        let key = rig.put(&admin, &file, &json!({"title": format!("Frame {seed}")}));
        // The page asks, too, and may be quicker than the notice.
        let asked = admin.json("POST", &format!("/api/uploads/{key}/complete"), "");
        assert!(asked.status < 300, "{}", asked.text());
        keys.push(key);
    }
    let through_the_server = admin.photo(&[("title", "Through the server")], &jpeg(50));
    for key in &keys {
        assert_eq!(wait(&admin, key, &["done", "failed"])["state"], "done");
    }
    rig.settled(12);
    let photos = admin.get("/api/photos?limit=100").body_json()["photos"].clone();
    assert_eq!(photos.as_array().expect("photos").len(), 7, "one was lost or doubled: {photos}");
    // Local sizes, which one instance has made, are shown by each.
    let thumb = through_the_server["images"]["thumb"]["url"].as_str().expect("url");
    let form = json!({"title": "Renamed"}).to_string();
    assert_eq!(admin.json("PATCH", &format!("/api/photos/{}", keys[0]), &form).status, 200);
    for _ in 0..3 {
        assert_eq!(admin.get(thumb).status, 200);
        let shown = admin.get(&format!("/api/photos/{}", keys[0])).body_json();
        assert_eq!(shown["title"], "Renamed");
    }
    assert_eq!(admin.json("POST", "/api/auth/logout", "").status, 204);
    for _ in 0..3 {
        assert_eq!(admin.get("/api/uploads/rules").status, 401, "a session outlives its end on one of them");
    }
    let given = balancer.given();
    assert!(given.iter().all(|n| *n >= 10), "not everybody had work: {given:?}");
}

#[test]
fn an_instance_that_is_killed_leaves_its_work_to_the_others() {
    let (rig, mut apps, balancer) = three();
    let admin = balancer.login();
    let mut keys = Vec::new();
    for (seed, killed) in [(0, false), (1, false), (2, true), (3, false), (4, true), (5, false)] {
        let file = sample::photo(1600, 1067, seed).expect("sample");
        keys.push(rig.put(&admin, &file, &json!({})));
        if killed {
            // It may be the one that the notice has come to, or that is at work on the photo.
            let mut app = apps.remove(0);
            app.child.kill().expect("kill");
            app.child.wait().expect("ends");
        }
    }
    for key in &keys {
        assert_eq!(wait(&admin, key, &["done", "failed"])["state"], "done");
    }
    let photos = admin.get("/api/photos?limit=100").body_json()["photos"].clone();
    let photos = photos.as_array().expect("photos");
    assert_eq!(photos.len(), keys.len(), "one was lost or doubled");
    for photo in photos {
        let thumb = photo["images"]["thumb"]["url"].as_str().expect("url");
        assert_eq!(super::upyun::fetch(thumb).status, 200);
    }
    assert_eq!(rig.at_work("ingest"), 0, "a job is held by one that is gone");
}
