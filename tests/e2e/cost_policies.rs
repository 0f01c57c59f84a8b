//! Cost policies of `policies.yaml` and by API, and posting what they notify of.

use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};

use crate::host::TestHost;
use crate::server::{Reply, Server};
use crate::serving::{Answer, Serving};

const OF_FILE: &str = "\
cost_policies:
  careful:
    thresholds:
      - { at: 0.8, action: notify }
      - { at: 1, action: block }
";

impl Serving<'_> {
    fn change_policy(&self, what: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.ask(what, Some(self.token()), body.as_bytes())
    }

    /// The names of the policies in force, with where they are from.
    fn policies(&self) -> Vec<String> {
        let listed = self.get("/api/v1/policies").is(200).json();
        let shown = |policy: &Value| format!("{} {}", policy["name"], policy["from"]);
        let policies = listed["policies"].as_array().unwrap().iter();
        policies.map(shown).map(|text| text.replace('"', "")).collect()
    }
}

#[test]
fn a_policy_is_put_changed_shown_and_removed() {
    for host in TestHost::on_each_database() {
        let host = host.with_policies(OF_FILE);
        let serving = Serving::start(&host);
        let thresholds = json!([{ "at": 0.5, "action": "downgrade", "chain": ["a/b", "c/d"] }]);
        let put = "PUT /api/v1/policies/thrifty";
        let shown = serving.change_policy(put, &json!({ "thresholds": thresholds })).is(200).json();
        assert_eq!((&shown["thresholds"], &shown["from"]), (&thresholds, &json!("api")));
        assert_eq!(shown["changed_by"], "admin");
        assert_eq!(serving.policies(), ["careful file", "thrifty api"]);
        let shown = serving.get("/api/v1/policies/careful").is(200).json();
        assert_eq!(
            (&shown["thresholds"][1]["action"], &shown["from"]),
            (&json!("block"), &json!("file"))
        );

        // What the file has is changed there alone.
        let block = json!({ "thresholds": [{ "at": 1, "action": "block" }] });
        for (what, body) in [("PUT", &block), ("DELETE", &Value::Null)] {
            let answer = serving.change_policy(&format!("{what} /api/v1/policies/careful"), body);
            answer.problem(409, "policy-in-file");
        }
        // Of two hosts, or a host and its command line, each sees what the other put.
        host.run(&["policies", "put", "strict", "[{\"at\": 1, \"action\": \"block\"}]"]).succeeds();
        serving.until(|| serving.policies().contains(&"strict api".to_owned()));
        serving.change_policy("DELETE /api/v1/policies/thrifty", &Value::Null).is(200);
        let again = serving.change_policy("DELETE /api/v1/policies/thrifty", &Value::Null);
        again.problem(404, "unknown-policy");
        // The file takes a name over, and gives it back.
        host.write_policies(
            "cost_policies: { strict: { thresholds: [{ at: 0.9, action: block }] } }",
        );
        serving.until(|| serving.policies() == ["strict file"]);
        host.write_policies("roles: {}\n");
        serving.until(|| serving.policies() == ["strict api"]);
        let listed = host.run(&["policies", "list"]).succeeds().stdout;
        assert!(listed.contains("strict") && listed.contains("100 % block"), "{listed}");
    }
}

#[test]
fn a_wrong_policy_is_refused_with_its_place() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let (wrong, unreadable) = ((422, "invalid-policy"), (400, "invalid-request"));
    for (thresholds, (status, code), says) in [
        (json!([]), wrong, "`thresholds`"),
        (json!([{ "at": 1.2, "action": "block" }]), unreadable, "to 1"),
        (json!([{ "at": 1e-7, "action": "block" }]), unreadable, "from 0.000001"),
        (
            json!([{ "at": 1, "action": "downgrade", "chain": ["a/b", "a/b"] }]),
            wrong,
            "`a/b` twice",
        ),
        (json!([{ "at": 1, "action": "notify", "webhook": "ftp://x" }]), wrong, "`webhook`"),
        (json!([{ "at": 1, "action": "explode" }]), unreadable, "`downgrade` with `chain`"),
    ] {
        let put = "PUT /api/v1/policies/wrong";
        let answer = serving.change_policy(put, &json!({ "thresholds": thresholds }));
        let problem = answer.problem(status, code);
        assert!(problem["detail"].as_str().unwrap().contains(says), "{problem:#}");
    }
    assert!(serving.policies().is_empty());
    let host = TestHost::new().with_policies("cost_policies:\n  x:\n    thresholds: [{ at: 2 }]\n");
    let error = host.run(&["policies", "check"]).exits(70);
    assert!(error.stderr.contains("3:24"), "{}", error.stderr);
}

#[test]
fn who_is_notified_hears_it_again_until_they_take_it_signed_and_by_the_same_id() {
    let secret = [7_u8; 32];
    for host in TestHost::on_each_database() {
        let tries = AtomicUsize::new(0);
        let server = Server::start(move |_| {
            Reply::status(if tries.fetch_add(1, Ordering::SeqCst) < 2 { 500 } else { 204 })
        });
        let settings =
            format!("lease_seconds: 3\nwebhook_secret: whsec_{}\n", STANDARD.encode(secret));
        let host = host.with_settings(&settings);
        let serving = Serving::start(&host);
        let insert = format!(
            "INSERT INTO notification (id, at, job_id, policy, webhook, body) \
             VALUES (1, 5, 7, 'careful', '{}', '{{\"policy\":\"careful\"}}')",
            server.url("/hook")
        );
        host.spoil(&[insert.leak()]);
        server.wait_for_hits(3);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        for hit in server.hits() {
            let id = &hit.headers["webhook-id"];
            assert_eq!((&*hit.method, &*hit.path, &**id), ("POST", "/hook", "n_5_1"));
            assert_eq!(hit.body, b"{\"policy\":\"careful\"}");
            let mut signed = format!("{id}.{}.", hit.headers["webhook-timestamp"]).into_bytes();
            signed.extend(&hit.body);
            let signature = hit.headers["webhook-signature"].strip_prefix("v1,").unwrap();
            let signature = STANDARD.decode(signature).unwrap();
            hmac::verify(&key, &signed, &signature).unwrap();
        }
        assert_eq!(serving.stop(), Some(0));
        assert_eq!(server.hits().len(), 3, "what was taken is not posted again");
    }
}
