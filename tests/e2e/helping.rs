//! What the program says of itself: help as it was reviewed, manual pages, and completion of what is
//! typed, by the names of what there is.
//!
//! `APFLOW_RENEW_HELP=1 cargo test -p apflow-host --test e2e -- helping` writes the reviewed texts anew.

use std::fs;

use crate::host::{TestHost, project};

/// The help of a verb and of all below it.
fn help(host: &TestHost, path: &[String], text: &mut String) {
    let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
    arguments.push("-h");
    let shown = host.run_with(&arguments, "", &[("COLUMNS", "100")]).succeeds().stdout;
    let typed = arguments.join(" ");
    text.extend(["$ apflow-host ", &typed, "\n", &shown, "\n"]);
    for verb in verbs(&shown) {
        help(host, &[path, &[verb]].concat(), text);
    }
}

/// The verbs that a help lists.
fn verbs(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| !line.is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn the_help_of_every_verb_is_as_it_was_reviewed() {
    let host = TestHost::fresh();
    let top = host.run(&["-h"]).succeeds().stdout;
    let folder = project().join("tests/e2e/help");
    let renews = std::env::var("APFLOW_RENEW_HELP").is_ok();
    let all = verbs(&top);
    assert!(all.len() > 20, "{all:?}");
    for verb in &all {
        let mut text = String::new();
        help(&host, std::slice::from_ref(verb), &mut text);
        let file = folder.join(format!("{verb}.txt"));
        if renews {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&file, &text).unwrap();
        }
        let reviewed = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(text, reviewed, "{} is not reviewed: see this file", file.display());
        assert!(text.contains("\nExample:\n  apflow-host "), "{text}");
    }
    for entry in fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let verb = name.trim_end_matches(".txt");
        assert!(all.iter().any(|known| known == verb), "there is no verb `{verb}`");
    }
}

#[test]
fn every_verb_has_a_manual_page() {
    let host = TestHost::fresh();
    let folder = host.data().join("man");
    host.run(&["man", folder.to_str().unwrap()]).succeeds();
    let page = fs::read_to_string(folder.join("apflow-host-jobs-list.1")).unwrap();
    assert!(page.contains(".SH SYNOPSIS") && page.contains("state failed"), "{page}");
    assert!(folder.join("apflow-host.1").exists() && folder.join("apflow-host-serve.1").exists());
}

/// What a shell is offered after these words, the last of which may be begun.
fn offered(host: &TestHost, words: &[&str]) -> String {
    let index = words.len().to_string();
    let environment =
        [("APFLOW_COMPLETE", "bash"), ("_CLAP_COMPLETE_INDEX", &*index), ("_CLAP_IFS", "\n")];
    let arguments = [&["--", "apflow-host"], words].concat();
    host.run_with(&arguments, "", &environment).succeeds().stdout
}

#[test]
fn verbs_options_and_names_are_completed() {
    let host = TestHost::new();
    let run = ["run", "transform_executor", "--input", r#"{"filter": "1"}"#];
    host.run(&run).succeeds();
    let job = host.jobs()[0]["id"].as_str().unwrap().to_owned();
    assert!(offered(&host, &["jo"]).contains("jobs"));
    assert!(offered(&host, &["jobs", "list", "--st"]).contains("--state"));
    assert!(offered(&host, &["jobs", "show", ""]).contains(&job));
    assert!(offered(&host, &["tasks", "show", "t_"]).contains("t_"));
    assert!(offered(&host, &["plugins", "show", "rest"]).contains("rest_executor"));
    assert!(offered(&host, &["tools", "show", "j"]).contains("jq"));
    assert!(offered(&host, &["config", "get", "http.dr"]).contains("http.drain_seconds"));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = host.run(&["completions", shell]).succeeds().stdout;
        assert!(script.contains("APFLOW_COMPLETE"), "{shell}: {script}");
    }
}

#[test]
fn what_is_mistyped_is_answered_with_the_nearest() {
    let host = TestHost::new();
    for (typed, code, meant) in [
        (&["jbos", "list"][..], 2, "jobs"),
        (&["jobs", "lst"], 2, "list"),
        (&["jobs", "list", "--stat", "failed"], 2, "--state"),
        (&["explain", "capability-dented"], 1, "did you mean `capability-denied`?"),
        (&["config", "get", "atempts_max"], 1, "did you mean `attempts_max`?"),
        (&["run", "rest_executr"], 1, "rest_executor"),
        (&["tools", "show", "jqq"], 1, "jq"),
    ] {
        host.run(typed).exits(code).says(&[meant]);
    }
    let all = host.run(&["explain"]).succeeds().stdout;
    assert!(all.contains("capability-denied") && all.lines().count() > 30, "{all}");
}
