//! Reports of what calls of models used and cost: over HTTP, on the command line, and for whom.

use serde_json::{Value, json};

use crate::callers::Caller;
use crate::guests::{CLAIMS_ENDLESS_TOKENS, OVERSPENDS_ITS_BUDGET};
use crate::host::TestHost;
use crate::serving::Serving;

/// Charges of two days: `ada`'s of two models, one of them without a price, and one of `bob`'s tool.
const CHARGES: &str = "INSERT INTO charge (task_id, attempt, number, job_id, at, principal, executor, \
    is_tool, wanted, model, input, output, cached, micro_usd) VALUES \
    (11, 1, 1, 1, 1769846400000, 'ada', 'llm_executor', FALSE, 'a/big', 'a/big', 100, 20, 50, 1500000), \
    (11, 1, 2, 1, 1769846401000, 'ada', 'llm_executor', FALSE, 'a/big', 'a/new', 10, 5, 0, NULL), \
    (21, 1, 1, 2, 1769932800000, 'bob', 'summary', TRUE, 'a/big', 'a/big', 7, 3, 0, 500)";

#[test]
fn what_was_used_is_told_by_each_grouping_and_adds_up() {
    for host in TestHost::on_each_database() {
        let serving = Serving::start(&host);
        host.spoil(&[CHARGES]);
        let report = |query: &str| serving.get(&format!("/api/v1/usage{query}")).is(200).json();
        let all = report("");
        assert_eq!((&all["by"], &all["rows"]), (&Value::Null, &json!([])));
        let total = json!({
            "calls": 3, "tasks": 2, "tokens_input": 117, "tokens_output": 28, "tokens_cached": 50,
            "tokens": 145, "micro_usd": 1_500_500, "calls_unpriced": 1,
        });
        assert_eq!(all["total"], total);
        assert_eq!(report("?scope=global"), all);
        assert_eq!(report("?scope=principal"), report("?by=principal"));
        for by in ["task", "job", "principal", "executor", "tool", "model", "day"] {
            let report = report(&format!("?by={by}"));
            assert_eq!(report["total"], total, "{by}");
            for field in ["calls", "tokens", "micro_usd", "calls_unpriced"] {
                let rows = report["rows"].as_array().unwrap().iter();
                let sum: u64 = rows.filter_map(|row| row[field].as_u64()).sum();
                assert_eq!(json!(sum), total[field], "{field} by {by}");
            }
        }
        let models = report("?by=model&limit=1");
        assert_eq!(models["rows"][0]["key"], "a/big");
        let cursor = models["cursor"].as_str().unwrap();
        let rest = report(&format!("?by=model&limit=1&cursor={cursor}"));
        assert_eq!(rest["rows"][0]["micro_usd"], Value::Null, "{rest:#}");
        assert_eq!(
            (&rest["rows"][0]["calls_unpriced"], &rest["cursor"]),
            (&json!(1), &Value::Null)
        );
        let second = report("?by=day&since=2026-02-01T00:00:00Z&until=2026-02-02T00:00:00Z");
        assert_eq!(second["rows"][0]["key"], "2026-02-01");
        assert_eq!((&second["total"]["calls"], &second["rows"][1]), (&json!(1), &Value::Null));
        assert_eq!(report("?by=tool&tool=summary")["total"]["calls"], 1);
        assert_eq!(report("?executor=summary")["total"]["calls"], 0);
    }
}

#[test]
fn the_total_is_the_sum_of_all_receipts_to_the_last_token() {
    for host in TestHost::on_each_database() {
        for guest in [CLAIMS_ENDLESS_TOKENS, OVERSPENDS_ITS_BUDGET] {
            guest.load(&host, "");
        }
        let serving = Serving::start(&host);
        let names = [CLAIMS_ENDLESS_TOKENS, OVERSPENDS_ITS_BUDGET, CLAIMS_ENDLESS_TOKENS];
        let tasks: Vec<Value> = names
            .iter()
            .map(|guest| json!({ "executor": guest.name(), "token_budget": 100 }))
            .collect();
        let accepted = serving.submit("", &json!({ "tasks": tasks })).is(202).json();
        let job = serving.ended(accepted["id"].as_str().unwrap());
        let total = serving.get("/api/v1/usage").is(200).json()["total"].clone();
        for field in ["tokens_input", "tokens_output", "tokens_cached", "calls_unpriced"] {
            let tasks = job["tasks"].as_array().unwrap().iter();
            let receipts: u64 = tasks.map(|task| task["usage"][field].as_u64().unwrap()).sum();
            assert_eq!(json!(receipts), total[field], "{field} of {job:#}");
        }
        assert!(
            total["tokens"].as_u64() > Some(1_000_000),
            "they use more than a little: {total:#}"
        );
    }
}

#[test]
fn a_report_that_cannot_be_is_refused_with_its_place() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    for (query, place) in [
        ("since=2026-02-02T00:00:00Z&until=2026-02-01T00:00:00Z", "`until`"),
        ("by=colour", "`by`"),
        ("by=job&scope=task", "`scope`"),
        ("by=day&cursor=yesterday", "`cursor`"),
        ("job=7", "`job`"),
    ] {
        let answer = serving.get(&format!("/api/v1/usage?{query}"));
        let problem = answer.problem(400, "invalid-request");
        assert!(problem["detail"].as_str().unwrap().starts_with(place), "{problem:#}");
    }
    let days = ["--since", "2026-02-02", "--until", "2026-02-01"];
    host.run(&[&["usage"][..], &days].concat()).exits(2).says(&["`until`"]);
}

#[test]
fn who_does_not_manage_jobs_is_told_of_its_own_alone() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    host.spoil(&[CHARGES]);
    let ada = Caller::new(&serving, "ada", "user");
    let own = ada.get("/usage?by=principal").is(200).json();
    let keys: Vec<_> = own["rows"].as_array().unwrap().iter().map(|row| &row["key"]).collect();
    assert_eq!((keys, &own["total"]["calls"]), (vec![&json!("ada")], &json!(2)));
    let others = ada.get("/usage?by=task&principal=bob").is(200).json();
    assert_eq!((&others["rows"], &others["total"]["calls"]), (&json!([]), &json!(0)));
}

#[test]
fn the_command_line_prints_a_table_json_csv_and_bars() {
    let host = TestHost::new();
    let none = host.run(&["usage"]).succeeds().stdout;
    assert!(none.contains("0.000000 USD"), "{none}");
    host.spoil(&[CHARGES]);
    let by_model = ["usage", "--by", "model"];
    let table = host.run(&by_model).succeeds();
    for text in ["MODEL", "a/big", "1.500500 USD", "unknown", "1 call", "total"] {
        assert!(table.stdout.contains(text), "{text} is not in\n{}", table.stdout);
    }
    let json = host.run(&["usage", "--by", "model", "--format", "json"]).succeeds().json();
    assert_eq!(json, host.run(&["usage", "--by", "model", "--json"]).succeeds().json());
    assert_eq!(json["rows"][0]["tokens"], 130);
    let csv = host.run(&["usage", "--by", "model", "--format", "csv"]).succeeds().stdout;
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[1..], ["a/big,2,2,107,23,50,130,1500500,0", "a/new,1,1,10,5,0,15,,1"]);
    let first = host.run(&["usage", "--by", "model", "--limit", "1"]).succeeds();
    assert!(first.stderr.contains("--cursor 'a/big'"), "{}", first.stderr);
    let bars = host.run(&["usage", "--plot"]).succeeds().stdout;
    for text in ["1.500000 USD ┤████", "2026-01-31", "2026-02-01", "1 calls have no price"]
    {
        assert!(bars.contains(text), "{text} is not in\n{bars}");
    }
    assert!(bars.lines().all(|line| line.chars().count() <= 80), "{bars}");
}
