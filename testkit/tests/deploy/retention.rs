//! What is kept on the host after many deploys.

use safelight_testkit::bed::{Bed, HOST, Release};
use std::{collections::BTreeSet, fs, path::Path};

fn names(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// Content of all blobs in the store.
fn blobs(bed: &Bed) -> Vec<String> {
    let mut found = Vec::new();
    for shelf in names(&bed.app_dir().join("store/blobs")) {
        let shelf = bed.app_dir().join("store/blobs").join(shelf);
        for blob in names(&shelf) {
            found.push(String::from_utf8_lossy(&fs::read(shelf.join(blob)).unwrap()).into_owned());
        }
    }
    found
}

#[test]
fn five_verified_releases_are_kept_and_the_oldest_of_them_can_be_gone_back_to() {
    let mut bed = Bed::new();
    bed.configure("start-timeout = \"8s\"", "start-timeout = \"2s\"");
    bed.configure(
        "[database]",
        "[build]\ninstall = \"sh install.sh\"\nlock-files = [\"deps.lock\"]\n\n[database]",
    );
    bed.write("app/install.sh", "mkdir node_modules; cat deps.lock > node_modules/installed\n");
    for n in 1..=8 {
        let version = format!("v{n}");
        bed.write("app/only.txt", &format!("only in {version}\n"));
        bed.write("app/deps.lock", &format!("installed for {version}\n"));
        let label = format!("APP_LABEL=label{n}");
        // The third fails before users meet it, the sixth while it is watched.
        match n {
            3 => drop(bed.deploy(&Release::new(&version, 1).with_env(&[&label, "APP_MODE=500"])).ended(3)),
            6 => {
                let fault = bed.dir().join("fault");
                let variable = format!("APP_FAULT_FILE={}", fault.display());
                bed.prepare(&Release::new(&version, 1).with_env(&[&label, &variable]));
                bed.forget_points();
                bed.order("intent:watch", "pause");
                let mut cli = bed.background(&["deploy"]);
                cli.comes_to(&bed, "intent:watch");
                fs::write(&fault, "").unwrap();
                bed.release("intent:watch");
                cli.end().ended(3);
            }
            _ => drop(bed.deploy(&Release::new(&version, 1).with_env(&[&label])).ended(0)),
        }
    }
    let kept = [2, 4, 5, 7, 8];
    let dirs: BTreeSet<String> =
        names(&bed.app_dir().join("releases")).into_iter().filter(|n| !n.contains('.')).collect();
    assert_eq!(dirs, kept.map(|n| format!("r{n}")).into());
    let marks: BTreeSet<String> = names(&bed.app_dir().join("releases"));
    let marks: BTreeSet<String> = marks.into_iter().filter(|n| n.ends_with(".ready.json")).collect();
    assert_eq!(marks, kept.map(|n| format!("r{n}.ready.json")).into());
    let releases = bed.safelight(&["history", "--format", "json"]).ended(0).out;
    for n in 1..=8 {
        let content = format!("only in v{n}\n");
        let there = blobs(&bed).contains(&content);
        assert_eq!(there, kept.contains(&n), "the content of r{n}: {releases}");
    }
    let deps: BTreeSet<String> = names(&bed.app_dir().join("store/deps"))
        .iter()
        .map(|key| {
            let file = bed.app_dir().join("store/deps").join(key).join("tree/node_modules/installed");
            fs::read_to_string(file).unwrap().trim().to_owned()
        })
        .collect();
    assert_eq!(deps, kept.map(|n| format!("installed for v{n}")).into());
    assert_eq!(names(&bed.app_dir().join("env")).len(), kept.len());

    bed.traffic_begins();
    bed.safelight(&["rollback", "r1"]).ended(2).says(&["no release r1 here"]);
    bed.safelight(&["rollback", "r2"]).ended(0);
    assert_eq!(bed.serves_exactly("v2"), "r2");
    assert_eq!(bed.get(HOST, "/").map(|(_, b)| b), Some("v2 label2\n".to_owned()));
    let installed = fs::read_to_string(bed.app_dir().join("releases/r2/node_modules/installed")).unwrap();
    assert_eq!(installed, "installed for v2\n");
    bed.nobody_was_failed();

    // Back at the oldest, it stays although newer ones come.
    bed.deploy(&Release::new("v9", 1)).ended(0);
    let dirs: BTreeSet<String> =
        names(&bed.app_dir().join("releases")).into_iter().filter(|n| !n.contains('.')).collect();
    assert!(dirs.contains("r2") && dirs.contains("r9"), "what is gone back to next is kept: {dirs:?}");
    bed.safelight(&["rollback"]).ended(0);
    bed.serves_exactly("v2");
}
