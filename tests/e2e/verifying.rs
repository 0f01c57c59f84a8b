//! `plugins verify`: what is altered is told, with what to do, in both modes.

use std::fs;

use serde_json::{Value, json};

use crate::guests::BEHAVES;
use crate::host::TestHost;
use crate::serving::Serving;

const ASKS: &str = "capabilities: { env: [LANG, TERM] }";

/// What is wrong with `behaves`, as pairs of the check and of what is wrong.
fn alterations(host: &TestHost, code: i32) -> Vec<(String, String)> {
    let verified = host.run(&["plugins", "verify", "behaves", "--json"]).exits(code).json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = verified[0]["alterations"].as_array().unwrap().iter();
    all.map(|one| (text(&one["check"]), text(&one["what"]))).collect()
}

#[test]
fn what_was_not_altered_is_intact() {
    let host = TestHost::new();
    BEHAVES.load(&host, ASKS);
    let all = host.run(&["plugins", "verify", "--json"]).succeeds().json();
    let all = all.as_array().unwrap();
    assert!(all.len() > 6, "those that came with the host are verified as well: {all:#?}");
    assert!(all.iter().all(|one| one["intact"] == true && one["code"] != "altered"), "{all:#?}");
    let told = host.run(&["plugins", "verify"]).succeeds().stdout;
    let line = told.lines().find(|line| line.starts_with("behaves ")).unwrap();
    assert!(line.contains("intact") && line.contains("1.0.0"), "{line}");
    host.run(&["plugins", "verify", "none"]).exits(1).says(&["error[unknown-plugin]"]);
    // Code that is gone is compiled anew, which is no fault.
    for entry in fs::read_dir(host.data().join("code")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let again = host.run(&["plugins", "verify", "behaves", "--json"]).succeeds().json();
    assert_eq!((&again[0]["code"], &again[0]["intact"]), (&json!("missing"), &json!(true)));
}

#[test]
fn each_alteration_is_told_with_what_to_do() {
    let host = TestHost::new();
    BEHAVES.load(&host, ASKS);
    let listed = host.run(&["plugins", "show", "behaves", "--json"]).succeeds().json();
    let digest = listed["digest"].as_str().unwrap().to_owned();
    let checks = |code| {
        let told = alterations(&host, code).into_iter();
        told.map(|(check, _)| check).collect::<Vec<_>>()
    };

    let component = host.data().join(format!("plugins/{digest}.wasm"));
    let whole = fs::read(&component).unwrap();
    fs::write(&component, [&whole[..], &[0]].concat()).unwrap();
    assert_eq!(checks(1), ["component"]);
    let told = host.run(&["plugins", "verify"]).exits(1).stdout;
    assert!(told.contains("has another sha256"), "{told}");
    assert!(told.contains("`apflow-host load` `behaves` again"), "{told}");
    let doctor = host.run(&["doctor"]).exits(1).stdout;
    assert!(doctor.contains("plugin-altered: 1: `behaves`: its component was changed"), "{doctor}");
    fs::remove_file(&component).unwrap();
    assert!(alterations(&host, 1)[0].1.starts_with("its component is gone"));
    fs::write(&component, &whole).unwrap();
    assert_eq!(checks(0), [""; 0]);

    let code = fs::read_dir(host.data().join("code")).unwrap();
    let code = code.map(|entry| entry.unwrap().path());
    let code = code.into_iter().find(|path| path.to_str().unwrap().contains(&digest)).unwrap();
    let compiled = fs::read(&code).unwrap();
    fs::write(&code, [&compiled[..], &[0]].concat()).unwrap();
    assert_eq!(checks(1), ["code"]);
    assert!(code.exists(), "verifying changes nothing");
    fs::remove_file(&code).unwrap();

    let lock = host.data().join("grants.lock");
    let consented = fs::read_to_string(&lock).unwrap();
    let lines = |from: &str, to: &str| fs::write(&lock, consented.replace(from, to)).unwrap();
    lines("      - \"env TERM\"\n", "");
    assert_ne!(fs::read_to_string(&lock).unwrap(), consented);
    let told = alterations(&host, 1);
    assert!(told[0].1.contains("more than was consented to: env TERM"), "{told:?}");
    lines(&digest, &"0".repeat(64));
    assert!(alterations(&host, 1)[0].1.contains("another component of this name"));
    let empty = format!(
        "sha256: \"{digest}\"\n    asks:\n      - \"env LANG\"\n      - \"env TERM\"\n    grants: "
    );
    assert!(consented.contains(&format!("{empty}[]")), "{consented}");
    lines(&format!("{empty}[]"), &format!("{empty}[\"env=HOME\"]"));
    assert!(alterations(&host, 1)[0].1.contains("`env=HOME`, for which it does not ask"));
    lines("plugins:", "plugin:");
    assert!(alterations(&host, 1)[0].1.starts_with("`grants.lock` is not valid"));
    fs::write(&lock, consented).unwrap();
    assert_eq!(checks(0), [""; 0]);
}

#[test]
fn a_manifest_that_was_widened_in_the_database_is_found() {
    let host = TestHost::new();
    BEHAVES.load(&host, ASKS);
    host.spoil(&["UPDATE plugin SET manifest = replace(manifest, 'TERM', 'HOME') \
                  WHERE name = 'behaves'"]);
    let told = alterations(&host, 1);
    assert!(told[0].1.contains("more than was consented to: env HOME"), "{told:?}");
}

#[test]
fn a_server_says_the_same() {
    let host = TestHost::new();
    BEHAVES.load(&host, ASKS);
    let verify = |more: &[&str], code| {
        let ended = host.run(&[&["plugins", "verify"], more].concat()).exits(code);
        (ended.stdout, ended.stderr)
    };
    let (all, one) = (verify(&[], 0), verify(&["behaves", "--json"], 0));
    let serving = Serving::start(&host);
    assert_eq!((verify(&[], 0), verify(&["behaves", "--json"], 0)), (all, one));
    let lock = host.data().join("grants.lock");
    fs::write(&lock, "nonsense").unwrap();
    let altered = serving.get("/api/v1/plugins/behaves/verify").is(200).json();
    assert_eq!(
        (&altered["intact"], &altered["alterations"][0]["check"]),
        (&json!(false), &json!("grants"))
    );
    assert!(verify(&[], 1).0.contains("`grants.lock` is not valid"));
}
