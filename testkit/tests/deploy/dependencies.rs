//! Installed dependencies are used again only where everything that decides them is the same.

use safelight_testkit::bed::{Bed, Release};
use std::fs;

/// How often the install command has run.
fn installs(bed: &Bed) -> usize {
    fs::read_to_string(bed.dir().join("installs")).unwrap_or_default().lines().count()
}

/// An app that installs by a script, which notes that it ran and makes `node_modules`.
fn bed() -> Bed {
    let mut bed = Bed::new();
    bed.configure(
        "[database]",
        "[build]\ninstall = \"sh install.sh\"\nlock-files = [\"deps.lock\"]\n\n[database]",
    );
    let noted = bed.dir().join("installs").display().to_string();
    bed.write(
        "app/install.sh",
        &format!("echo ran >> {noted}\nmkdir node_modules\ncat deps.lock > node_modules/installed\n"),
    );
    bed.write("app/deps.lock", "left-pad 1.0.0\n");
    bed
}

/// Deploys, and says whether that installed.
#[track_caller]
fn deploys(bed: &Bed, n: u32, env: &[&str]) -> bool {
    let before = installs(bed);
    let said = bed.deploy(&Release::new(&format!("v{n}"), 1).with_env(env)).ended(0);
    let ran = installs(bed) - before;
    assert!(ran <= 1, "{ran} times");
    let reused = said.err.contains("dependencies unchanged: reused, nothing installed");
    assert_eq!(reused, ran == 0, "{}", said.err);
    let lock = fs::read_to_string(bed.project().join("app/deps.lock")).unwrap_or_default();
    let installed = bed.app_dir().join(format!("releases/r{n}/node_modules/installed"));
    assert_eq!(fs::read_to_string(installed).unwrap(), lock, "the release has another one's dependencies");
    ran == 1
}

#[test]
fn dependencies_are_installed_again_whenever_something_that_decides_them_has_changed() {
    let bed = bed();
    assert!(deploys(&bed, 1, &[]));
    assert!(!deploys(&bed, 2, &[]), "nothing has changed");
    bed.write("app/patches/left-pad.patch", "+ safer\n");
    assert!(deploys(&bed, 3, &[]), "a patch");
    bed.write("app/.npmrc", "omit=dev\n");
    assert!(deploys(&bed, 4, &[]), "settings of the package manager");
    assert!(deploys(&bed, 5, &["NODE_ENV=production"]), "NODE_ENV");
    assert!(deploys(&bed, 6, &["NODE_ENV=production", "npm_config_omit=optional"]), "npm_config_*");
    assert!(
        !deploys(&bed, 7, &["NODE_ENV=production", "npm_config_omit=optional", "APP_LABEL=x"]),
        "a variable that decides nothing"
    );
    let script = fs::read_to_string(bed.project().join("app/install.sh")).unwrap();
    bed.write("app/install.sh", &format!("{script}: more\n"));
    assert!(
        deploys(&bed, 8, &["NODE_ENV=production", "npm_config_omit=optional"]),
        "the script that installs"
    );
    bed.write("app/deps.lock", "left-pad 2.0.0\n");
    assert!(deploys(&bed, 9, &["NODE_ENV=production", "npm_config_omit=optional"]), "the lock file");
}

#[test]
fn without_a_lock_file_and_in_a_workspace_dependencies_are_installed_every_time() {
    let bed = bed();
    fs::remove_file(bed.project().join("app/deps.lock")).unwrap();
    let script = fs::read_to_string(bed.project().join("app/install.sh")).unwrap();
    bed.write(
        "app/install.sh",
        &format!("{}true\n", script.replace("cat deps.lock", "cat deps.lock 2>/dev/null")),
    );
    assert!(deploys(&bed, 1, &[]));
    assert!(deploys(&bed, 2, &[]), "nothing says which versions these are");
    bed.write("app/deps.lock", "left-pad 1.0.0\n");
    bed.write("app/package.json", "{\"workspaces\": [\"packages/*\"]}");
    assert!(deploys(&bed, 3, &[]));
    assert!(deploys(&bed, 4, &[]), "those of the packages are not kept");
    bed.write("app/package.json", "{}");
    assert!(deploys(&bed, 5, &[]));
    assert!(!deploys(&bed, 6, &[]));
}
