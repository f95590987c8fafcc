//! Old and new schema under old and new code: what makes a rollback possible.

use super::support::{ADMIN, Site, jpeg, key};

#[test]
fn an_unmigrated_database_is_refused_with_the_way_out() {
    let site = Site::empty();
    let missing = site.run(&["serve"], &[]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("filmtrip migrate"));
    site.ok(&["migrate", "--to", "1"]);
    for role in ["serve", "api"] {
        let old = site.run(&[role], &[]);
        assert_eq!(old.status.code(), Some(2), "{role}");
        let text = String::from_utf8_lossy(&old.stderr).into_owned();
        assert!(text.contains("schema 1") && text.contains("at least 2"), "{text}");
    }
}

#[test]
fn migrate_prints_what_it_applied_and_status_changes_nothing() {
    let site = Site::empty();
    assert_eq!(site.ok(&["migrate", "--to", "2"]), "applied 0001 base\napplied 0002 rolls\nschema 2\n");
    let status = "schema 2, newest known 3, oldest usable 2\napplied 0001 base\napplied 0002 rolls\npending 0003 captions\n";
    assert_eq!(site.ok(&["migrate", "--status"]), status);
    assert_eq!(site.ok(&["migrate", "--status"]), status);
    assert_eq!(site.ok(&["migrate"]), "applied 0003 captions\nschema 3\n");
    assert_eq!(site.ok(&["migrate"]), "schema 3, nothing to do\n");
    assert_eq!(site.run(&["migrate", "--to", "2"], &[]).status.code(), Some(2));
    assert_eq!(site.run(&["migrate", "--to", "9"], &[]).status.code(), Some(2));
}

#[test]
fn captions_appear_in_a_live_process_when_the_schema_gets_them() {
    let site = Site::empty();
    site.ok(&["migrate", "--to", "2"]);
    site.account(ADMIN, "admin");
    let app = site.serve();
    let admin = app.login(ADMIN);
    let before = admin.photo(&[("caption", "lost, but not an error")], &jpeg(1));
    assert!(before.get("caption").is_none(), "{before}");
    assert!(!admin.get("/admin").text().contains("name=\"caption\""));
    let path = format!("/api/photos/{}", key(&before));
    assert_eq!(admin.json("PATCH", &path, r#"{"caption":"x"}"#).status, 400);
    assert_eq!(admin.get("/api/health").body_json()["schema"], 2);

    site.ok(&["migrate", "--to", "3"]);
    assert!(admin.get("/admin").text().contains("name=\"caption\""));
    let changed = admin.json("PATCH", &path, r#"{"caption":"Dusk <b>over</b> the hills"}"#);
    assert_eq!(changed.body_json()["caption"], "Dusk <b>over</b> the hills");
    let page = admin.get(&format!("/p/{}", key(&before))).text();
    assert!(page.contains("Dusk &lt;b&gt;over&lt;/b&gt; the hills"), "caption missing or not escaped");
    assert_eq!(admin.photo(&[("caption", "kept")], &jpeg(2))["caption"], "kept");
}

#[test]
fn code_runs_on_a_schema_newer_than_it_knows() {
    let site = Site::new();
    site.sqlite()
        .execute_batch(
            "ALTER TABLE photos ADD COLUMN rating INTEGER NOT NULL DEFAULT 0;
             CREATE TABLE albums (id INTEGER PRIMARY KEY, title TEXT NOT NULL);
             INSERT INTO schema_migrations VALUES (4, 'albums', 1, 0);",
        )
        .expect("later migration");
    let app = site.serve();
    let admin = app.login(ADMIN);
    let photo = admin.photo(&[], &jpeg(1));
    assert_eq!(admin.get(photo["images"]["thumb"]["url"].as_str().expect("url")).status, 200);
    assert_eq!(admin.get("/api/health").body_json()["schema"], 4);
    let gone = admin.json("DELETE", &format!("/api/photos/{}", key(&photo)), "");
    assert_eq!(gone.status, 204);
    let auto = site.start("serve", &[("FILMTRIP_AUTO_MIGRATE", "true")]);
    assert_eq!(auto.client().get("/api/health").status, 200);
}

#[test]
fn code_refuses_a_contracted_schema_and_names_the_way_back() {
    let site = Site::new();
    let contract = "INSERT INTO schema_migrations VALUES (5, 'drop', 5, 0)";
    site.sqlite().execute(contract, []).expect("contracting migration");
    let refused = site.run(&["serve"], &[]);
    assert_eq!(refused.status.code(), Some(2));
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(text.contains("needs code that knows schema 5") && text.contains("backup"), "{text}");
}

#[test]
fn a_bare_serve_makes_its_own_database() {
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
    let backup = site.dir.path().join("backup.db");
    site.sqlite().execute("VACUUM INTO ?1", [backup.to_str().expect("path")]).expect("backup");
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
    let rows: u32 = site.sqlite().query_row("SELECT count(*) FROM photos", [], |r| r.get(0)).expect("rows");
    assert_eq!(rows, 1, "the upload went into the replaced file");
}
