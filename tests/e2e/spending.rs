//! Budgets as guests meet them: what is enough, what is blocked, and what runs on another model.

use serde_json::{Value, json};

use crate::guests::SPENDS_AGAIN_AND_AGAIN;
use crate::host::TestHost;
use crate::providers::{self, KEYS, answer};
use crate::server::Server;
use crate::serving::Serving;

const POLICIES: &str = "\
cost_policies:
  hard: { thresholds: [{ at: 1, action: block }] }
  cheaper:
    thresholds:
      - { at: 1, action: downgrade, chain: [test/small] }
rate_limits: { enabled: false }
";

/// What a million tokens of each model cost in micro-USD: a token costs 1 and 0.1.
const PRICES: &str = "\
providers:
  test:
    as_of: 2026-01-02
    source: of a test
    models:
      big: { input: 1000000, output: 1000000 }
      small: { input: 100000, output: 100000 }
";

fn spender(host: &TestHost) {
    SPENDS_AGAIN_AND_AGAIN.load(host, "capabilities: { clocks: true }");
}

impl Serving<'_> {
    /// Runs a job to its end, and says what its first task was told.
    fn spent(&self, job: &Value) -> (Value, Value) {
        let accepted = self.submit("", job).is(202).json();
        let job = self.ended(accepted["id"].as_str().unwrap());
        let said = job["tasks"][0]["output"]["said"].clone();
        (job, said)
    }

    fn decisions(&self, job: &Value) -> Vec<Value> {
        let id = job["id"].as_str().unwrap();
        let page = self.get(&format!("/api/v1/jobs/{id}/events")).is(200).json();
        let events = page["events"].as_array().unwrap().iter();
        let decided = events.filter(|event| event["kind"] == "cost_decided");
        decided.map(|event| event["data"].clone()).collect()
    }
}

#[test]
fn the_second_call_of_600_out_of_1000_is_blocked_with_the_reason_of_the_policy() {
    for host in TestHost::on_each_database() {
        let host = host.with_policies(POLICIES);
        spender(&host);
        let serving = Serving::start(&host);
        let task = json!({
            "executor": SPENDS_AGAIN_AND_AGAIN.name(), "inputs": { "calls": 2, "tokens": 600 },
            "model": "test/big", "token_budget": 1000, "cost_policy": "hard",
        });
        let (job, said) = serving.spent(&task);
        assert_eq!(said[0], "test/big");
        let reason = said[1].as_str().unwrap();
        assert!(
            reason.starts_with("policy `hard` blocks at 100 %: 600 of 1000 are gone"),
            "{reason}"
        );
        assert_eq!(job["tasks"][0]["usage"]["tokens_output"], 600, "{job:#}");
        let decided = serving.decisions(&job);
        assert_eq!((decided.len(), &decided[0]["action"]), (1, &json!("block")));
        assert_eq!(decided[0]["reason"], reason);
    }
}

#[test]
fn with_a_chain_the_second_call_runs_on_the_next_model() {
    let host = TestHost::new().with_policies(POLICIES);
    std::fs::write(host.config_file().with_file_name("prices.yaml"), PRICES).unwrap();
    spender(&host);
    let serving = Serving::start(&host);
    let task = json!({
        "executor": SPENDS_AGAIN_AND_AGAIN.name(), "inputs": { "calls": 2, "tokens": 600 },
        "model": "test/big", "cost_policy": "cheaper",
    });
    let (job, said) = serving.spent(&json!({ "tasks": [task], "cost_budget_micro_usd": 1000 }));
    assert_eq!(said, json!(["test/big", "test/small"]), "{job:#}");
    let usage = &job["tasks"][0]["usage"];
    assert_eq!((&usage["micro_usd"], &usage["tokens_output"]), (&json!(660), &json!(1200)));
    let decided = serving.decisions(&job);
    assert_eq!(
        (&decided[0]["action"], &decided[0]["model"]),
        (&json!("downgrade"), &json!("test/small"))
    );
}

#[test]
fn tasks_that_share_a_budget_use_all_of_it_and_no_more() {
    for host in TestHost::on_each_database() {
        spender(&host);
        let serving = Serving::start(&host);
        let task = json!({
            "executor": SPENDS_AGAIN_AND_AGAIN.name(), "inputs": { "calls": 100, "tokens": 7 },
        });
        let tasks = vec![task; 16];
        let (job, _) = serving.spent(&json!({ "tasks": tasks, "token_budget": 7_003 }));
        let receipts = job["tasks"].as_array().unwrap().iter();
        let spent: u64 =
            receipts.map(|task| task["usage"]["tokens_output"].as_u64().unwrap()).sum();
        assert_eq!(spent, 7_000, "all but what no call fits into");
        assert_eq!(serving.get("/api/v1/usage").is(200).json()["total"]["tokens"], 7_000);
        serving.stop();
        let found = host.run(&["doctor", "--json"]).succeeds().json();
        assert_eq!(found["findings"], json!([]), "{found:#}");
    }
}

/// Two turns of 600 tokens each, by what the provider says.
fn twice_600() -> (Server, Value) {
    let server = Server::start(|hit| answer(&hit.path, "Yes.", 10, 590));
    let inputs = json!({ "turns": ["One?", "Two?"], "max_tokens": 590 });
    (server, json!({ "executor": "llm_executor", "model": "openai/gpt-5", "inputs": inputs }))
}

#[test]
fn a_model_is_not_called_a_second_time_when_the_policy_blocks_that() {
    let (server, mut task) = twice_600();
    let host = providers::host(&server.origin()).with_policies(POLICIES);
    (task["token_budget"], task["cost_policy"]) = (json!(1000), json!("hard"));
    let tasks = json!([task]).to_string();
    let ended = host.run_with(&["run", "batch", "--json", "--tasks", &tasks], "", &KEYS).exits(3);
    let task = ended.json()["tasks"][0].clone();
    assert_eq!(task["fault"]["code"], "budget-exhausted", "{task:#}");
    let message = task["fault"]["message"].as_str().unwrap();
    let reason = "policy `hard` blocks at 100 %: 600 of 1000 are gone";
    assert!(message.contains(reason), "{message}");
    assert_eq!((server.hits().len(), providers::tokens(&task)), (1, [10, 590, 1]));
}

#[test]
fn a_model_that_is_too_dear_gives_way_to_the_next_and_the_receipt_says_so() {
    let (server, mut task) = twice_600();
    let policies = POLICIES.replace("test/small", "ollama/llama3");
    let host = providers::host(&server.origin()).with_policies(&policies);
    let prices = PRICES.replace("test:", "openai:").replace("big:", "gpt-5:");
    std::fs::write(host.config_file().with_file_name("prices.yaml"), prices).unwrap();
    let serving = Serving::start_with(&host, &KEYS);
    task["cost_policy"] = json!("cheaper");
    let (job, _) = serving.spent(&json!({ "tasks": [task], "cost_budget_micro_usd": 1000 }));
    assert_eq!(job["state"], "completed", "{job:#}");
    let asked: Vec<String> = server.hits().into_iter().map(|hit| hit.path).collect();
    assert_eq!(asked, ["/v1/chat/completions", "/api/chat"]);
    let receipt = job["tasks"][0]["models"].as_array().unwrap().iter();
    let receipt: Vec<_> = receipt
        .map(|call| {
            json!([call["wanted"], call["model"], call["tokens_output"], call["micro_usd"]])
        })
        .collect();
    let went = |model: &str, micro_usd: u64| json!(["openai/gpt-5", model, 590, micro_usd]);
    assert_eq!(receipt, [went("ollama/llama3", 0), went("openai/gpt-5", 600)], "{job:#}");
    let decided = serving.decisions(&job);
    assert_eq!(
        (&decided[0]["action"], &decided[0]["model"]),
        (&json!("downgrade"), &json!("ollama/llama3"))
    );
}

/// Killed twice, what it had handed out of its blocks counts as lost, and the rest is spent by those
/// who try again.
#[test]
fn sixty_four_tasks_never_use_more_than_their_budget_although_their_host_is_killed() {
    const CAP: u64 = 300_000;
    for host in TestHost::on_each_database() {
        spender(&host);
        let mut serving = Serving::start(&host);
        let task = json!({
            "executor": SPENDS_AGAIN_AND_AGAIN.name(), "inputs": { "calls": 100, "tokens": 70 },
        });
        let job = json!({ "tasks": vec![task; 64], "token_budget": CAP });
        let accepted = serving.submit("", &job).is(202).json();
        let id = accepted["id"].as_str().unwrap().to_owned();
        let charged = |serving: &Serving<'_>| {
            serving.get("/api/v1/usage").is(200).json()["total"]["tokens"].as_u64().unwrap_or(0)
        };
        let is_ended = |serving: &Serving<'_>| {
            !serving.get(&format!("/api/v1/jobs/{id}")).is(200).json()["ended_at"].is_null()
        };
        for _ in 0..2 {
            let before = charged(&serving);
            serving.until(|| charged(&serving) > before || is_ended(&serving));
            serving.kill();
            serving = Serving::start(&host);
        }
        let job = serving.ended(&id);
        let tasks = job["tasks"].as_array().unwrap().iter();
        let attempts = tasks.flat_map(|task| task["attempts"].as_array().unwrap());
        let (mut spent, mut lost) = (0, 0);
        for attempt in attempts {
            spent += attempt["usage"]["tokens_output"].as_u64().unwrap_or(0);
            lost += u64::from(attempt["fault"]["code"] == "host-lost");
        }
        assert!(lost > 0, "the host was killed in the midst of it");
        assert_eq!(charged(&serving), spent, "the ledger equals the attempts");
        assert!(spent <= CAP, "{spent}");
        serving.stop();
        let found = host.run(&["doctor", "--json"]).succeeds().json();
        assert_eq!(found["findings"], json!([]), "{found:#}");
    }
}
