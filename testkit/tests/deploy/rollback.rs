//! Going back by hand: code, environment, and if a person agrees the data.

use safelight_testkit::bed::{Bed, HOST, Release};

fn page(bed: &Bed) -> String {
    bed.get(HOST, "/").map(|(_, b)| b.trim().to_owned()).unwrap_or_default()
}

fn notes(bed: &Bed) -> String {
    bed.get(HOST, "/notes").map(|(_, b)| b.trim().to_owned()).unwrap_or_default()
}

fn add_note(bed: &Bed) {
    assert_eq!(bed.request("POST", HOST, "/notes").map(|(s, _)| s), Some(200));
}

#[test]
fn rollback_without_a_name_goes_to_the_verified_release_before_with_its_environment() {
    let mut bed = Bed::new();
    bed.configure("start-timeout = \"8s\"", "start-timeout = \"2s\"");
    bed.deploy(&Release::new("v1", 1).with_env(&["APP_LABEL=one"])).ended(0);
    bed.deploy(&Release::new("v2", 1).with_env(&["APP_LABEL=two"])).ended(0);
    bed.deploy(&Release::new("v3", 1).with_env(&["APP_MODE=500"])).ended(3);
    bed.traffic_begins();
    bed.safelight(&["rollback"]).ended(0);
    bed.serves_exactly("v1");
    assert_eq!(page(&bed), "v1 one");
    bed.nobody_was_failed();
    // A second one does not lead forward again to what was fled from.
    bed.safelight(&["rollback"]).ended(2).says(&["no verified release before this one", "r2"]);
    assert!(!bed.safelight(&["status"]).ended(0).out.contains("can go back"));
    bed.serves_exactly("v1");
    bed.deploy(&Release::new("v4", 1)).ended(0);
    bed.safelight(&["rollback"]).ended(0);
    bed.serves_exactly("v1");
    // By its name it is still there.
    bed.safelight(&["rollback", "r2"]).ended(0);
    bed.serves_exactly("v2");
    bed.safelight(&["rollback"]).ended(0);
    bed.serves_exactly("v1");
}

#[test]
fn the_database_goes_back_only_when_a_person_agrees() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    (0..2).for_each(|_| add_note(&bed));
    bed.deploy(&Release::new("v2", 2)).ended(0);
    (0..3).for_each(|_| add_note(&bed));
    assert_eq!(notes(&bed), "5");

    bed.safelight(&["rollback", "--database"])
        .ended(1)
        .says(&["is lost", "not agreed to; nothing was changed"]);
    bed.serves_exactly("v2");
    assert_eq!(notes(&bed), "5");

    bed.traffic_begins();
    let said = bed.safelight(&["rollback", "--database", "--yes"]).ended(0);
    said.says(&["The database goes back to", "Everything written since then", "is lost"]);
    bed.serves_exactly("v1");
    assert_eq!(notes(&bed), "2");
    add_note(&bed);
    assert_eq!(notes(&bed), "3");
    bed.nobody_was_failed();
    bed.deploy(&Release::new("v3", 2)).ended(0);
    assert_eq!(notes(&bed), "3");
}

#[test]
fn a_redeploy_moves_only_the_file_that_changed() {
    let bed = Bed::new();
    for n in 0..20 {
        bed.write(&format!("app/static/{n}.txt"), &format!("file {n}"));
    }
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.prepare(&Release::new("v2", 1));
    let said = bed.safelight(&["deploy", "--format", "json"]).ended(0);
    let messages: Vec<String> = said
        .json()
        .iter()
        .filter(|e| e["event"] == "progress")
        .map(|e| e["message"]["en"].as_str().unwrap_or("").to_owned())
        .collect();
    assert!(messages.iter().any(|m| m == "1 of 22 files are new (2 bytes)"), "{messages:?}");
    bed.serves_exactly("v2");
}
