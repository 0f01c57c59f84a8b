//! Words for people: pages of errors, help, and what goes to which stream.

use crate::host::TestHost;

#[test]
fn every_code_is_explained() {
    let host = TestHost::fresh();
    let pages = std::fs::read_dir(crate::host::project().join("docs/errors")).unwrap();
    let mut count = 0;
    for page in pages {
        let path = page.unwrap().path();
        let code = path.file_stem().unwrap().to_str().unwrap();
        let ended = host.run(&["explain", code]).succeeds();
        assert!(ended.stdout.starts_with(&format!("# {code}\n")), "{}", ended.stdout);
        count += 1;
    }
    assert!(count > 30, "{count} pages");
}

#[test]
fn an_unknown_code_is_answered_with_those_that_there_are() {
    let host = TestHost::fresh();
    let ended = host.run(&["explain", "capability-dented"]).exits(1);
    assert_eq!(ended.stdout, "");
    ended.says(&["there is no code `capability-dented`", "capability-denied"]);
}

#[test]
fn a_page_can_be_had_as_json() {
    let page = TestHost::fresh().run(&["explain", "capability-denied", "--json"]).succeeds().json();
    assert_eq!(page["code"], "capability-denied");
    assert!(page["page"].as_str().unwrap().starts_with("# capability-denied"));
}

#[test]
fn only_the_result_goes_to_standard_output() {
    let host = TestHost::new();
    let input = r#"{"filter": "debug | . + 1", "input": 1}"#;
    let ended = host.run(&["run", "transform_executor", "--input", input]).succeeds();
    assert_eq!(ended.stdout, "2\n");
    assert!(!ended.stderr.contains('\x1b'), "a colour without a terminal: {}", ended.stderr);
    let ended = host.run(&["run", "transform_executor", "--json", "--input", input]).succeeds();
    assert_eq!((ended.json()["output"].clone(), ended.stderr.as_str()), (2.into(), ""));
}

#[test]
fn every_verb_has_help() {
    let host = TestHost::fresh();
    for verb in ["load", "plugins", "run", "jobs", "serve", "plugin", "explain", "bench"] {
        let help = host.run(&[verb, "--help"]).succeeds();
        assert!(help.stdout.contains("Usage: apflow-host"), "{}", help.stdout);
    }
    let version = host.run(&["--version"]).succeeds();
    assert_eq!(version.stdout.trim(), concat!("apflow-host ", env!("CARGO_PKG_VERSION")));
}
