//! Old and new schema under old and new code: what makes a rollback possible.

use super::support::{ADMIN, Site, jpeg, key};

#[test]
fn an_unmigrated_database_is_refused_with_the_way_out() {
    let site = Site::empty();
    let missing = site.run(&["serve"], &[]);
    assert_eq!(missing.status.code(), Some(2));
    let text = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(text.contains("filmtrip migrate"), "{text}");
    site.ok(&["migrate", "--to", "1"]);
    for role in ["serve", "api"] {
        let old = site.run(&[role], &[]);
        assert_eq!(old.status.code(), Some(2), "{role}");
        let text = String::from_utf8_lossy(&old.stderr).into_owned();
        assert!(text.contains("schema 1") && text.contains("at least 4"), "{text}");
    }
}

#[test]
fn migrate_prints_what_it_applied_and_status_changes_nothing() {
    let site = Site::empty();
    let first = "applied 0001 base\napplied 0002 rolls\napplied 0003 captions\napplied 0004 catalogue\n";
    assert_eq!(site.ok(&["migrate", "--to", "4"]), format!("{first}schema 4\n"));
    let later = [
        "0005 albums",
        "0006 uploads_by_photo",
        "0007 file_names",
        "0008 sizes",
        "0009 reports",
        "0010 removed",
        "0011 listed",
    ];
    let lines = |word: &str| later.map(|one| format!("{word} {one}\n")).concat();
    let status = format!("schema 4, newest known 11, oldest usable 4\n{first}{}", lines("pending"));
    assert_eq!(site.ok(&["migrate", "--status"]), status);
    assert_eq!(site.ok(&["migrate", "--status"]), status);
    assert_eq!(site.ok(&["migrate"]), format!("{}schema 11\n", lines("applied")));
    assert_eq!(site.ok(&["migrate"]), "schema 11, nothing to do\n");
    assert_eq!(site.run(&["migrate", "--to", "2"], &[]).status.code(), Some(2));
    assert_eq!(site.run(&["migrate", "--to", "12"], &[]).status.code(), Some(2));
}

#[test]
fn albums_appear_in_a_live_process_when_the_schema_gets_them() {
    let site = Site::empty();
    site.ok(&["migrate", "--to", "4"]);
    site.account(ADMIN, "admin");
    let app = site.serve();
    let admin = app.login(ADMIN);
    let photo = admin.photo(&[], &jpeg(1));
    let refused = admin.upload(&[("album", "abcdefghijklmnopqrstuvwxyz")], &[&jpeg(2)]);
    assert_eq!((refused.status, refused.code().as_str()), (422, "no_album"));
    let new = r#"{"title":"Dali","kind":"trip","starts_on":"2026-05-01","ends_on":"2026-05-04"}"#;
    assert_eq!(admin.json("POST", "/api/albums", new).status, 404);
    assert_eq!(admin.get("/api/albums").body_json()["albums"], serde_json::json!([]));
    assert_eq!(admin.get("/api/photos").body_json()["features"]["albums"], false);
    assert_eq!(admin.get("/api/health").body_json()["schema"], 4);

    site.ok(&["migrate", "--to", "5"]);
    assert_eq!(admin.get("/api/photos").body_json()["features"]["albums"], true);
    let album = admin.json("POST", "/api/albums", new);
    assert_eq!(album.status, 201, "{}", album.text());
    let path = format!("/api/albums/{}/photos", key(&album.body_json()));
    let filled = admin.json("PUT", &path, &serde_json::json!({"keys": [key(&photo)]}).to_string());
    assert_eq!(filled.body_json()["photos"], 1, "{}", filled.text());
}

#[test]
fn file_names_are_kept_as_soon_as_the_schema_has_a_place_for_them() {
    let site = Site::empty();
    site.ok(&["migrate", "--to", "4"]);
    site.account(ADMIN, "admin");
    let app = site.serve();
    let admin = app.login(ADMIN);
    let before = admin.photo(&[("frame", "1")], &jpeg(1));
    let named = |photo: &serde_json::Value| {
        admin.get(&format!("/api/photos/{}", key(photo))).body_json()["file_name"].clone()
    };
    assert_eq!(named(&before), serde_json::Value::Null);
    let found = || admin.get("/api/photos?mine=true&q=A.JPG").body_json()["photos"].as_array().map(Vec::len);
    assert_eq!(found(), Some(0));
    site.ok(&["migrate", "--to", "7"]);
    // What the upload is still known by is taken over; the live process goes on with the new schema.
    let after = admin.photo(&[], &jpeg(2));
    assert_eq!((named(&before), named(&after)), ("a.jpg".into(), "a.jpg".into()));
    assert_eq!(found(), Some(2));
}

#[test]
fn the_release_of_before_runs_on_the_schema_of_after() {
    // What a release that knows schema 3 writes and reads.
    let site = Site::new();
    drop(site.serve());
    let mut sql = site.sql();
    sql.batch(
        "INSERT INTO photos (key, owner_id, original_key, format, bytes, sha256, width, height, sizes, title, visibility,
                             backend, created_at, roll_id)
         VALUES ('aaaaaaaaaaaaaaaaaaaaaaaaaa', 1, 'bbbbbbbbbbbbbbbbbbbbbbbbbb', 'jpg', 1, '', 3, 2,
                 '{\"thumb\":[3,2],\"preview\":[3,2],\"large\":[3,2]}', 'Old Release', 'public', 'local', 7, NULL)",
    )
    .expect("the columns of schema 3 are enough");
    let app = site.serve();
    let admin = app.login(ADMIN);
    let listed = admin.get("/api/photos?q=old").body_json();
    assert_eq!(listed["photos"][0]["title"], "Old Release", "{listed}");
    // What is in the trash is private for a release that knows no trash.
    let photo = admin.photo(&[], &jpeg(1));
    assert_eq!(admin.json("DELETE", &format!("/api/photos/{}", key(&photo)), "").status, 204);
    let query = format!("SELECT visibility FROM photos WHERE key = '{}'", key(&photo));
    assert_eq!(sql.value::<String>(&query, &[]).expect("row"), "private");
}

#[test]
fn code_runs_on_a_schema_newer_than_it_knows() {
    let site = Site::new();
    site.sql()
        .batch(
            "ALTER TABLE photos ADD COLUMN rating INTEGER NOT NULL DEFAULT 0;
             CREATE TABLE comments (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
             INSERT INTO schema_migrations VALUES (90, 'comments', 1, 0);",
        )
        .expect("later migration");
    let app = site.serve();
    let admin = app.login(ADMIN);
    let photo = admin.photo(&[], &jpeg(1));
    assert_eq!(admin.get(photo["images"]["thumb"]["url"].as_str().expect("url")).status, 200);
    assert_eq!(admin.get("/api/health").body_json()["schema"], 90);
    let gone = admin.json("DELETE", &format!("/api/photos/{}", key(&photo)), "");
    assert_eq!(gone.status, 204);
    let auto = site.start("serve", &[("FILMTRIP_AUTO_MIGRATE", "true")]);
    assert_eq!(auto.client().get("/api/health").status, 200);
}

#[test]
fn code_refuses_a_contracted_schema_and_names_the_way_back() {
    let site = Site::new();
    let contract = "INSERT INTO schema_migrations VALUES (12, 'drop', 12, 0)";
    site.sql().execute(contract, &[]).expect("contracting migration");
    let refused = site.run(&["serve"], &[]);
    assert_eq!(refused.status.code(), Some(2));
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(text.contains("needs code that knows schema 12") && text.contains("backup"), "{text}");
}

#[test]
fn a_bare_serve_makes_its_own_database() {
    if crate::ON_POSTGRES {
        // The bare start is SQLite's; with a DATABASE_URL of a server, nothing is made beside it.
        let site = Site::new();
        let app = site.serve();
        assert_eq!(app.client().get("/api/health").status, 200);
        assert!(!site.dir.path().join("data").exists());
        return;
    }
    let site = Site::empty();
    let mut command = site.command(&["version"]);
    assert!(command.output().expect("runs").status.success());
    let app = site.start_bare();
    assert_eq!(app.client().get("/api/health").body_json()["status"], "ok");
    assert!(site.dir.path().join("data/filmtrip.db").is_file());
}

#[test]
fn a_restored_backup_is_used_without_a_restart() {
    let site = Site::new();
    if site.server.is_some() {
        return restored_on_a_server(&site);
    }
    let backup = site.dir.path().join("backup.db");
    let path = backup.to_str().expect("path");
    site.sql().execute("VACUUM INTO ?1", filmtrip::params![path]).expect("backup");
    let app = site.serve();
    let count = |client: &super::support::Client| {
        client.get("/api/photos").body_json()["photos"].as_array().expect("photos").len()
    };
    app.login(ADMIN).photo(&[], &jpeg(1));
    assert_eq!(count(&app.client()), 1);
    for tail in ["-wal", "-shm"] {
        std::fs::remove_file(format!("{}{tail}", site.database().display())).expect("old journal");
    }
    std::fs::rename(&backup, site.database()).expect("restore");
    assert_eq!(count(&app.client()), 0, "the replaced file is still being read");
    app.login(ADMIN).photo(&[], &jpeg(2));
    let rows: u32 = site.sql().value("SELECT count(*) FROM photos", &[]).expect("rows");
    assert_eq!(rows, 1, "the upload went into the replaced file");
}

/// On PostgreSQL a backup comes back into the tables themselves, under the live process.
fn restored_on_a_server(site: &Site) {
    let app = site.serve();
    let admin = app.login(ADMIN);
    let photo = admin.photo(&[], &jpeg(1));
    let mut sql = site.sql();
    sql.batch("CREATE TABLE kept AS SELECT * FROM users; TRUNCATE uploads, photos, sessions, setup_tokens, users CASCADE;
               INSERT INTO users SELECT * FROM kept")
        .expect("restore");
    assert_eq!(admin.get(&format!("/api/photos/{}", key(&photo))).status, 404);
    let again = app.login(ADMIN).photo(&[], &jpeg(2));
    assert_eq!(admin.get(&format!("/api/photos/{}", key(&again))).status, 200);
}
