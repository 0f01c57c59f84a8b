//! Lists of the command line: page by page, and by tool.

use serde_json::Value;

use crate::guests::{BEHAVES, PANICS};
use crate::host::TestHost;

/// What a list shows page by page, `limit` at a time: `key` of each of its `things`, which may be a
/// pointer.
fn paged(host: &TestHost, list: &[&str], things: &str, key: &str, limit: usize) -> Vec<String> {
    let (mut shown, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let limits = ["--limit", &limit.to_string()].map(str::to_owned);
        let after = cursor.iter().flat_map(|cursor| ["--cursor".to_owned(), cursor.clone()]);
        let more: Vec<String> = limits.into_iter().chain(after).collect();
        let words: Vec<&str> =
            list.iter().copied().chain(more.iter().map(String::as_str)).collect();
        let text = host.run(&words).succeeds();
        let page = host.run(&[&words[..], &["--json"]].concat()).succeeds().json();
        let all = page[things].as_array().unwrap();
        assert!(all.len() <= limit, "{words:?}: {page}");
        shown.extend(all.iter().map(|one| typed(one.pointer(key).unwrap())));
        if page["cursor"].is_null() {
            assert!(!text.stderr.contains("--cursor"), "{words:?}: {}", text.stderr);
            return shown;
        }
        // What is said to a person is what is to be typed.
        let next = typed(&page["cursor"]);
        text.says(&["more: --cursor", next.as_str()]);
        cursor = Some(next);
    }
}

/// A text or a number as it is typed.
fn typed(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Fails unless a list shows the same in pages of each size.
#[track_caller]
fn is_paged(host: &TestHost, list: &[&str], things: &str, key: &str) {
    let whole = paged(host, list, things, key, 1000);
    assert!(whole.len() > 2, "{list:?}: {whole:?}");
    for limit in [1, 2] {
        assert_eq!(paged(host, list, things, key, limit), whole, "{list:?} by {limit}");
    }
    host.run(&[list, &["--limit", "0"]].concat()).exits(2).says(&["--limit"]);
}

#[test]
fn every_list_is_had_page_by_page() {
    let host = TestHost::new();
    let input = r#"{"filter": "1"}"#;
    let spec = r#"{"executor": "transform_executor", "inputs": {"filter": "1"}}"#;
    for name in ["a", "b", "c"] {
        host.run(&["run", "transform_executor", "--input", input]).succeeds();
        let cron = ["--cron", "@daily", "--job", spec, "--paused"];
        host.run(&[&["schedules", "add", name], &cron[..]].concat()).succeeds();
        host.run(&["tokens", "create", name, "--role", "user"]).succeeds();
        host.run(&["budgets", "set", name, "--tokens", "7"]).succeeds();
        let policy = r#"[{"at": 0.9, "action": "block"}]"#;
        host.run(&["policies", "put", name, policy]).succeeds();
    }
    for (list, things, key) in [
        (["jobs", "list"], "jobs", "/id"),
        (["tasks", "list"], "tasks", "/id"),
        (["schedules", "list"], "schedules", "/name"),
        (["tokens", "list"], "tokens", "/id"),
        (["budgets", "list"], "budgets", "/owner"),
        (["policies", "list"], "policies", "/name"),
    ] {
        is_paged(&host, &list, things, key);
    }
    is_paged(&host, &["audit", "list", "--verb", "schedules.put"], "lines", "/n");
    // There are many, and pages of one take long.
    for (list, things) in [(["plugins", "list"], "plugins"), (["tools", "list"], "tools")] {
        let whole = paged(&host, &list, things, "/manifest/name", 1000);
        assert!(whole.len() > 5 && whole.is_sorted(), "{whole:?}");
        assert_eq!(paged(&host, &list, things, "/manifest/name", 6), whole);
        host.run(&[&list[..], &["--limit", "1001"]].concat()).exits(2).says(&["--limit"]);
    }
}

#[test]
fn breakers_are_had_page_by_page() {
    let rule = "breakers: { executors: { failures: 1 } }\n";
    let host = TestHost::new().with_settings(rule);
    let fails = |name: &str| {
        let folder = crate::guests::plugin_folder(name, &PANICS.component(), "");
        host.run(&["load", crate::guests::path(&folder)]).succeeds();
        host.run(&["run", name]).exits(1);
    };
    for name in ["one", "two", "three"] {
        fails(name);
    }
    is_paged(&host, &["breakers", "list"], "breakers", "/key");
}

#[test]
fn jobs_and_tasks_are_listed_by_executor_and_by_tool() {
    let host = TestHost::new();
    BEHAVES.load(&host, "");
    host.run(&["run", "behaves"]).succeeds();
    let tool = host.run(&["tools", "run", "sort", "--json", "--input", r#"{"text": "b\na"}"#]);
    let task = tool.succeeds().json();
    let listed = |list: &str, filter: [&str; 2]| -> Vec<Value> {
        let words = [&[list, "list", "--json"][..], &filter[..]].concat();
        let listed = host.run(&words).succeeds().json();
        listed[list].as_array().unwrap().iter().map(|one| one["id"].clone()).collect()
    };
    assert_eq!(listed("jobs", ["--tool", "sort"]), [task["job_id"].clone()]);
    assert_eq!(listed("tasks", ["--tool", "sort"]), [task["id"].clone()]);
    for list in ["jobs", "tasks"] {
        assert_eq!(listed(list, ["--executor", "behaves"]).len(), 1);
        assert_eq!(listed(list, ["--tool", "jq"]), [Value::Null; 0]);
    }
}
