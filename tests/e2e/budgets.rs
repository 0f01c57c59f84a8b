//! Budgets of principals: set, shown, changed and removed.

use serde_json::{Value, json};

use crate::callers::Caller;
use crate::host::TestHost;
use crate::serving::{Answer, Serving};

impl Serving<'_> {
    fn set_budget(&self, key: &str, budget: &Value) -> Answer {
        let what = format!("PUT /api/v1/budgets/{key}");
        self.ask(&what, Some(self.token()), budget.to_string().as_bytes())
    }

    /// The keys of the budgets that there are, with what is left of each.
    fn budgets(&self, query: &str) -> Vec<(String, u64)> {
        let listed = self.get(&format!("/api/v1/budgets{query}")).is(200).json();
        shown(&listed)
    }
}

fn shown(listed: &Value) -> Vec<(String, u64)> {
    let key = |budget: &Value| {
        let word = |name: &str| budget[name].as_str().unwrap().to_owned();
        format!("{}/{}/{}", word("owner"), word("unit"), word("period"))
    };
    let budgets = listed["budgets"].as_array().unwrap().iter();
    budgets.map(|budget| (key(budget), budget["left"].as_u64().unwrap())).collect()
}

#[test]
fn a_budget_is_set_changed_listed_by_pages_and_removed() {
    for host in TestHost::on_each_database() {
        let serving = Serving::start(&host);
        let set = serving.set_budget("ada/tokens/day", &json!({ "cap": 1000 })).is(200).json();
        assert_eq!(
            (&set["cap"], &set["spent"], &set["left"]),
            (&json!(1000), &json!(0), &json!(1000))
        );
        assert!(set["ends_at"].as_str().unwrap().ends_with("T00:00:00.000Z"), "{set:#}");
        serving.set_budget("ada/tokens/day", &json!({ "cap": 2000 })).is(200);
        serving.set_budget("bob/micro_usd/all", &json!({ "cap": 5 })).is(200);
        let set = ["budgets", "set", "ada", "--micro-usd", "7000000", "--per", "month"];
        let set = host.run(&set).succeeds().stdout;
        assert!(set.contains("7.000000 USD"), "{set}");
        let all = [
            ("ada/tokens/day", 2000),
            ("ada/micro_usd/month", 7_000_000),
            ("bob/micro_usd/all", 5),
        ];
        let all = all.map(|(key, left)| (key.to_owned(), left));
        assert_eq!(serving.budgets(""), all);
        assert_eq!(serving.budgets("?principal=bob"), all[2..]);
        let first = serving.get("/api/v1/budgets?limit=2").is(200).json();
        assert_eq!(
            (shown(&first), &first["cursor"]),
            (all[..2].to_vec(), &json!("ada/micro_usd/month"))
        );
        assert_eq!(serving.budgets("?limit=2&cursor=ada/micro_usd/month"), all[2..]);
        let list = host.run(&["budgets", "list"]).succeeds().stdout;
        assert!(list.contains("2000 tokens") && list.contains("7.000000 USD"), "{list}");

        host.run(&["budgets", "remove", "ada", "tokens", "day"]).succeeds();
        let remove = ["budgets", "remove", "ada", "tokens", "day", "--json"];
        assert_eq!(host.run(&remove).exits(1).error()["code"], "unknown-budget");
        assert_eq!(serving.budgets(""), all[1..]);
    }
}

#[test]
fn a_wrong_budget_is_refused_with_its_place() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let set = |key: &str, body: Value| serving.set_budget(key, &body);
    set("ada/tokens/day", json!({ "cap": 1, "policy": "none" })).problem(404, "unknown-policy");
    for (key, body, says) in [
        ("ada/dollars/day", json!({ "cap": 1 }), "`unit`"),
        ("ada/tokens/year", json!({ "cap": 1 }), "`period`"),
        ("ada/tokens/day", json!({ "cap": 2_000_000_000_000_000_u64 }), "`cap`"),
        ("ada/tokens/day", json!({ "cap": -1 }), "the body"),
        ("ada/tokens/day", json!({ "cap": 1, "colour": 1 }), "colour"),
        ("ada/tokens/day", json!({}), "cap"),
    ] {
        let problem = set(key, body).problem(400, "invalid-request");
        assert!(problem["detail"].as_str().unwrap().contains(says), "{problem:#}");
    }
    assert!(serving.budgets("").is_empty());
}

#[test]
fn a_principal_sees_its_own_budgets_and_sets_none() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    for name in ["ada", "bob"] {
        serving.set_budget(&format!("{name}/tokens/all"), &json!({ "cap": 10 })).is(200);
    }
    let ada = Caller::new(&serving, "ada", "user");
    let own = [("ada/tokens/all".to_owned(), 10)];
    assert_eq!(shown(&ada.get("/budgets").is(200).json()), own);
    assert!(shown(&ada.get("/budgets?principal=bob").is(200).json()).is_empty());
    let set = ada.ask("PUT /budgets/ada/tokens/all", &json!({ "cap": 1000 }));
    set.problem(403, "forbidden");
}
