//! One script of forty steps, on the data directory and through a server: the same comes of both.

use std::collections::HashMap;

use crate::guests::{BEHAVES, NEVER_ENDS, USES_FILES, path};
use crate::host::TestHost;
use crate::serving::Serving;

const FILTER: &str = r#"{"filter": "1 + 1"}"#;
const FOREST: &str = r#"{"name": "forest", "tasks": [
    {"id": "one", "executor": "transform_executor", "inputs": {"filter": "1"}},
    {"id": "two", "executor": "transform_executor", "dependencies": ["one"],
     "inputs": {"filter": ". + 1", "input": {"$from": "one"}}}]}"#;
const SPEC: &str = r#"{"executor": "transform_executor", "inputs": {"filter": "1"}}"#;

/// The steps. `j#1` is the first job that was shown, `t#1` the first task, `k#1` the first token.
const STEPS: [&[&str]; 40] = [
    &["plugins", "list"],
    &["load", "{behaves}"],
    &["load", "{behaves}", "--json"],
    &["load", "{faulty}"],
    &["load", "rest_executor", "--grant", "http=https://api.example.com"],
    &["load", "rest_executor", "--grant", "none", "--json"],
    &["plugins", "show", "behaves"],
    &["plugins", "show", "nothing"],
    &["plugins", "list", "--json"],
    &["tools", "list"],
    &["tools", "show", "jq"],
    &["tools", "run", "jq", "--json", "--input", r#"{"filter": ".a", "input": {"a": 1}}"#],
    &["run", "transform_executor", "--json", "--input", FILTER],
    &["run", "transform_executor", "--input", FILTER],
    &["run", "transform_executor", "--input", "{}"],
    &["run", "no_executor"],
    &["run", "transform_executor", "--idempotency-key", "k", "--json", "--input", FILTER],
    &["run", "transform_executor", "--idempotency-key", "k", "--json", "--input", FILTER],
    &["run", "transform_executor", "--idempotency-key", "k", "--input", r#"{"filter": "2"}"#],
    &["run", "batch", "--json", "--tasks", FOREST],
    &["run", "batch", "--tasks", FOREST],
    &["jobs", "list", "--json"],
    &["jobs", "list", "--state", "failed"],
    &["jobs", "show", "j#1"],
    &["jobs", "show", "j#2", "--json"],
    &["jobs", "show", "j_0000000000000", "--json"],
    &["jobs", "watch", "j#2"],
    &["jobs", "watch", "j#2", "--after", "2", "--json"],
    &["jobs", "cancel", "j#1"],
    &["tasks", "list", "--executor", "transform_executor", "--limit", "3"],
    &["tasks", "show", "t#1", "--json"],
    &["tasks", "checkpoints", "t#1"],
    &["schedules", "add", "nightly", "--cron", "@daily", "--job", SPEC, "--paused"],
    &["schedules", "show", "nightly", "--json"],
    &["schedules", "remove", "nightly"],
    &["tokens", "create", "reports", "--role", "readonly", "--scope", "jobs-read"],
    &["tokens", "list", "--json"],
    &["breakers", "list"],
    &["jobs", "purge", "j#1", "--json"],
    &["jobs", "purge", "--before", "2020-01-01", "--state", "failed"],
];

/// What a step printed and ended with.
#[derive(Debug, PartialEq, Eq)]
struct Printed {
    step: String,
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

#[test]
fn the_same_forty_steps_print_the_same_in_both_modes() {
    let direct = TestHost::new();
    let here = play(&direct);
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let there = play(&host);
    for (one, other) in here.iter().zip(&there) {
        assert_eq!(one, other);
    }
    assert_eq!((here.len(), there.len()), (STEPS.len(), STEPS.len()));
    // They really went through the server: nothing else counts requests.
    let metrics = serving.get("/metrics").is(200);
    let metrics = String::from_utf8_lossy(metrics.body()).into_owned();
    for operation in ["schedules.put", "jobs.submit", "plugins.grant", "jobs.purge_before"] {
        let line = format!("operation=\"{operation}\"");
        assert!(metrics.contains(&line), "{operation} did not come through the server");
    }
}

#[test]
fn files_are_saved_the_same_in_both_modes() {
    let asks = "capabilities: { fs: { out: write, scratch: 1MiB } }";
    let saved = |host: &TestHost| {
        USES_FILES.load(host, asks);
        let input = r#"{"args": ["write", "/out/a", "x", "write", "/out/b c", "yy"]}"#;
        let task = host.run(&["run", "uses_files", "--json", "--input", input]).succeeds().json();
        let job = task["job_id"].as_str().unwrap();
        let folder = tempfile::TempDir::new().unwrap();
        let files = host.run(&["jobs", "files", job, "--save", path(&folder), "--json"]).succeeds();
        let below = folder.path().join(task["id"].as_str().unwrap());
        let files = files.json()["files"].as_array().unwrap().clone();
        let read = |file: &serde_json::Value| {
            let name = file["name"].as_str().unwrap().to_owned();
            let bytes = std::fs::read(below.join(&name)).unwrap();
            assert_eq!(bytes.len() as u64, file["size"].as_u64().unwrap());
            (name, bytes)
        };
        files.iter().map(read).collect::<Vec<_>>()
    };
    let direct = saved(&TestHost::new());
    let host = TestHost::new();
    let _serving = Serving::start(&host);
    assert_eq!(saved(&host), direct);
    assert!(!direct.is_empty());
}

#[test]
fn an_audit_is_exported_and_verified_through_a_server() {
    let host = TestHost::new();
    let _serving = Serving::start(&host);
    for _ in 0..3 {
        host.run(&["jobs", "list"]).succeeds();
    }
    let exported = host.run(&["audit", "export"]).succeeds().stdout;
    assert!(exported.lines().count() >= 5, "{exported}");
    let verified = host.run_with(&["audit", "verify", "--file", "-"], &exported, &[]).succeeds();
    assert!(verified.stdout.contains("each as it was written"), "{}", verified.stdout);
    host.run(&["audit", "verify", "--json"]).succeeds();
}

#[test]
fn a_guest_that_is_loaded_through_a_server_needs_the_same_consent() {
    let asks = "capabilities: { env: [LANG], http: [\"https://api.example.com\"] }";
    let refused = |host: &TestHost| {
        NEVER_ENDS.load(host, "");
        let folder = NEVER_ENDS.folder(asks);
        let ended = host.run(&["load", path(&folder)]).exits(3);
        let locked = folder.path().join("grants.lock");
        std::fs::write(&locked, "nonsense: 1\n").unwrap();
        let locked = locked.to_str().unwrap();
        let invalid = host.run(&["load", path(&folder), "--locked", locked]).exits(1);
        host.run(&["load", path(&folder), "--yes"]).succeeds();
        [ended.stderr, invalid.stderr]
            .map(|text| without_request(&text.replace(path(&folder), "FOLDER")))
    };
    let direct = refused(&TestHost::new());
    let host = TestHost::new();
    let _serving = Serving::start(&host);
    assert_eq!(refused(&host), direct);
    assert!(direct[0].contains("apflow-host load FOLDER --yes"), "{}", direct[0]);
}

/// Plays the script.
fn play(host: &TestHost) -> Vec<Printed> {
    let behaves = BEHAVES.folder("");
    let faulty = BEHAVES.folder("limits: { memroy: 1MiB }");
    let mut names = Names::default();
    let play = |step: &&[&str]| {
        let typed = |word: &&str| match *word {
            "{behaves}" => path(&behaves).to_owned(),
            "{faulty}" => path(&faulty).to_owned(),
            word => names.typed(word),
        };
        let typed: Vec<String> = step.iter().map(typed).collect();
        let words: Vec<&str> = typed.iter().map(String::as_str).collect();
        let ended = host.run(&words);
        let mut shown = |text: &str| {
            let text = text.replace(path(&behaves), "BEHAVES").replace(path(&faulty), "FAULTY");
            names.shown(&without_request(&text))
        };
        let (stdout, stderr) = (shown(&ended.stdout), shown(&ended.stderr));
        Printed { step: step.join(" "), code: ended.code, stdout, stderr }
    };
    STEPS.iter().map(play).collect()
}

/// Only a server gives requests a number.
fn without_request(text: &str) -> String {
    let is_of_one = |line: &&str| !line.contains("as request ") && !line.contains("\"request\": ");
    let lines = text.lines().filter(is_of_one);
    // What comes before it in JSON has no comma without it.
    lines.map(|line| line.trim_end_matches(',').to_owned() + "\n").collect()
}

/// The ids that were shown, each kind by the order in which they came.
#[derive(Default)]
struct Names {
    ids: Vec<String>,
    by_id: HashMap<String, String>,
}

impl Names {
    /// A word with the id that it stands for.
    fn typed(&self, word: &str) -> String {
        let named = |id: &&String| self.by_id[*id] == word;
        self.ids.iter().find(named).cloned().unwrap_or_else(|| word.to_owned())
    }

    /// A text without what no two runs have alike: ids, times, durations and sizes.
    fn shown(&mut self, text: &str) -> String {
        let mut lines = Vec::new();
        for line in text.lines() {
            let words: Vec<String> = line.split_whitespace().map(|word| self.word(word)).collect();
            lines.push(without_amounts(&words));
        }
        lines.join("\n")
    }

    fn word(&mut self, word: &str) -> String {
        if let Some(at) = word.find('T').filter(|_| word.contains("202") && word.contains('Z')) {
            let start = at.saturating_sub(10);
            let end = word.find('Z').map_or(word.len(), |end| end + 1);
            return self.word(&format!("{}<moment>{}", &word[..start], &word[end..]));
        }
        let start = ["j_", "t_", "k_"].into_iter().find_map(|kind| {
            word.match_indices(kind).map(|(at, _)| at).find(|at| is_id(&word[at + 2..]))
        });
        let Some(start) = start else { return word.to_owned() };
        let (before, rest) = word.split_at(start);
        let (id, after) = rest.split_at(15);
        if !self.by_id.contains_key(id) {
            let kind = &id[..1];
            let of_kind = self.by_id.values().filter(|name| name.starts_with(kind)).count();
            self.by_id.insert(id.to_owned(), format!("{kind}#{}", of_kind + 1));
            self.ids.push(id.to_owned());
        }
        let after = self.word(after);
        format!("{before}{}{after}", self.by_id[id])
    }
}

fn is_id(text: &str) -> bool {
    let characters = |text: &str| text.bytes().take_while(u8::is_ascii_alphanumeric).count();
    text.len() >= 13
        && text.is_char_boundary(13)
        && characters(text) == 13
        && text != "0000000000000"
}

/// Amounts are those before a unit, and after the key of one in JSON.
fn without_amounts(words: &[String]) -> String {
    const UNITS: [&str; 8] = ["ms", "µs", "s", "B", "KiB", "MiB", "min", "ns"];
    const KEYS: [&str; 8] = [
        "wall_us",
        "cpu_us",
        "memory_bytes_peak",
        "compile_us",
        "output_bytes",
        "token",
        "hint",
        "last_used_at",
    ];
    let is_key = |word: &String| KEYS.iter().any(|key| *word == format!("\"{key}\":"));
    let is_unit = |word: &String| {
        let word = word.trim_end_matches([',', ')', ';', ':']);
        UNITS.contains(&word)
    };
    let is_token = |word: &str| word.starts_with("apf_");
    let shown = words.iter().enumerate().map(|(index, word)| {
        let after_key = index > 0 && is_key(&words[index - 1]);
        let before_unit = words.get(index + 1).is_some_and(is_unit);
        let has_digit = word.bytes().any(|byte| byte.is_ascii_digit());
        let is_unit_after = index > 0
            && is_unit(word)
            && words[index - 1].bytes().any(|byte| byte.is_ascii_digit());
        let is_amount = after_key || (before_unit && has_digit) || is_token(word) || is_unit_after;
        if is_amount { "N" } else { word.as_str() }
    });
    shown.collect::<Vec<_>>().join(" ")
}
