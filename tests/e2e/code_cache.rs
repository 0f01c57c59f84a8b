//! Compiled code on disk: used again, and never when somebody changed it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::guests::{BEHAVES, path};
use crate::host::TestHost;

#[test]
fn a_component_is_compiled_once() {
    let host = TestHost::new();
    let folder = BEHAVES.folder("");
    let load = || host.run(&["load", path(&folder), "--json"]).succeeds().json();
    assert_eq!(load()["is_cached"], false);
    assert_eq!(load()["is_cached"], true);
    host.run(&["plugins", "remove", "behaves"]).succeeds();
    assert_eq!(load()["is_cached"], true);
}

#[test]
fn compiled_code_that_somebody_changed_is_not_run() {
    let host = TestHost::new();
    let folder = BEHAVES.folder("");
    let before = code_files(&host);
    let load = || host.run(&["load", path(&folder), "--json"]).succeeds().json();
    load();
    let mut made = code_files(&host);
    made.retain(|file| !before.contains(file));
    let [file] = made.as_slice() else { panic!("{made:?}") };
    let whole = fs::read(file).unwrap();
    for at in [0, 40, whole.len() / 2, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(file, &changed).unwrap();
        assert_eq!(load()["is_cached"], false, "byte {at}");
        assert_eq!(load()["is_cached"], true);
    }
    for short in [&whole[..0], &whole[..10], &whole[..whole.len() / 2]] {
        fs::write(file, short).unwrap();
        host.run(&["run", "behaves"]).succeeds();
        assert_eq!(load()["is_cached"], true, "{} bytes", short.len());
    }
}

#[test]
fn a_cache_without_its_key_is_made_anew() {
    let host = TestHost::new();
    BEHAVES.load(&host, "");
    fs::remove_file(host.data().join("code/key")).unwrap();
    host.run(&["run", "behaves"]).succeeds();
}

#[test]
fn the_key_and_the_code_can_be_read_by_the_user_alone() {
    let host = TestHost::fresh();
    host.run(&["plugins", "list"]).succeeds();
    let files = code_files(&host);
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
}

/// Every file of the cache, its key included.
fn code_files(host: &TestHost) -> Vec<PathBuf> {
    let entries = fs::read_dir(host.data().join("code")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}
