//! Folders of the host that cannot be used.

use std::fs;

use crate::guests::{BEHAVES, EXITS_WITH_FAILURE};
use crate::host::TestHost;

#[test]
fn a_data_directory_that_is_a_file_is_named() {
    let host = TestHost::fresh();
    fs::write(host.data(), "a file").unwrap();
    let path = host.data().display().to_string();
    host.run(&["plugins", "list"])
        .exits(70)
        .says(&["error[data-dir-unusable]: the data directory cannot be used", &path]);
}

#[test]
fn a_database_that_is_none_is_left_as_it_is() {
    let host = TestHost::new();
    let database = host.data().join("apflow.db");
    let garbage = "This is no database. ".repeat(1_000);
    fs::write(&database, &garbage).unwrap();
    let path = database.display().to_string();
    let ended = host.run(&["jobs", "list"]).exits(70);
    ended.says(&["error[database-unavailable]: the database failed: ", &path]);
    assert_eq!(fs::read_to_string(&database).unwrap(), garbage);
}

#[test]
fn settings_that_cannot_be_read_are_named_and_kept() {
    let host = TestHost::new();
    let file = host.config_file();
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let settings = "admin_token: apf_0\nadmin_tokens: [a]\n";
    fs::write(&file, settings).unwrap();
    let path = file.display().to_string();
    host.run(&["serve", "--port", "0"]).exits(70).says(&[path.as_str(), "admin_tokens"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), settings);
}

#[test]
fn a_component_that_is_gone_is_named_and_disturbs_no_other() {
    let host = TestHost::new();
    BEHAVES.load(&host, "");
    for folder in ["plugins", "code"] {
        for file in fs::read_dir(host.data().join(folder)).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
    }
    host.run(&["run", "behaves"]).exits(70).says(&["error[data-dir-unusable]: ", "`plugins/"]);
    host.run(&["run", "transform_executor", "--input", "{\"filter\": \"1\"}"]).succeeds();
}

#[test]
fn a_component_that_somebody_changed_is_not_run() {
    let host = TestHost::new();
    BEHAVES.load(&host, "");
    let mut files = fs::read_dir(host.data().join("plugins")).unwrap();
    let file = files.next().unwrap().unwrap().path();
    fs::write(&file, EXITS_WITH_FAILURE.component()).unwrap();
    fs::remove_dir_all(host.data().join("code")).unwrap();
    let ended = host.run(&["run", "behaves"]);
    assert_ne!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stderr.contains("cheese"), "another program was run: {ended:?}");
}
