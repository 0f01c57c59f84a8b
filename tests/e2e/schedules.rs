//! Schedules: over HTTP, on the command line, and while the host is killed again and again.

use apflow_model::clock::Timestamp;
use serde_json::{Value, json};

use crate::guests::BEHAVES;
use crate::host::TestHost;
use crate::serving::{Answer, Serving};

/// The whole seconds since the Unix epoch that a tick is at.
fn seconds(tick: &Value) -> i64 {
    let tick: Timestamp = serde_json::from_value(tick.clone()).unwrap();
    assert_eq!(tick.unix_ms() % 1_000, 0, "{tick}");
    tick.unix_ms() / 1_000
}

impl Serving<'_> {
    fn put(&self, name: &str, schedule: &Value) -> Answer {
        let what = format!("PUT /api/v1/schedules/{name}");
        self.ask(&what, Some(self.token()), schedule.to_string().as_bytes())
    }

    fn schedule(&self, name: &str) -> Value {
        self.get(&format!("/api/v1/schedules/{name}")).is(200).json()
    }

    fn change(&self, what: &str) -> Answer {
        self.ask(what, Some(self.token()), b"")
    }

    /// Waits until a schedule has submitted so many jobs.
    fn fires(&self, name: &str, count: u64) {
        self.until(|| self.schedule(name)["counts"]["fired"].as_u64().unwrap() >= count);
    }
}

/// A schedule that ticks every second.
fn secondly(more: &Value) -> Value {
    let job = json!({"executor": "transform_executor", "inputs": {"filter": "1"}});
    let mut schedule = json!({"cron": "* * * * * *", "job": job, "overlap": "allow"});
    schedule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    schedule
}

#[test]
fn every_tick_fires_once_although_the_host_is_killed_again_and_again() {
    for host in TestHost::on_each_database() {
        let serving = Serving::start(&host);
        let put = serving.put("tidy", &secondly(&json!({"missed": "all:100"}))).is(200).json();
        let first = seconds(&put["next_at"]);
        let mut serving = serving;
        for count in 1..=3 {
            serving.fires("tidy", count);
            serving.kill();
            serving = Serving::start(&host);
        }
        serving.fires("tidy", 5);
        let paused = serving.change("POST /api/v1/schedules/tidy/pause").is(200).json();
        let jobs = host.jobs();
        let ticks: Vec<i64> =
            jobs.iter().rev().map(|job| seconds(&job["origin"]["tick"])).collect();
        let expected: Vec<i64> = (first..).take(ticks.len()).collect();
        assert_eq!(ticks, expected, "each tick has one job, in order");
        assert_eq!(paused["counts"]["fired"], ticks.len());
        assert_eq!(paused["counts"]["missed"], 0);
        for job in jobs {
            let ended = serving.ended(job["id"].as_str().unwrap());
            assert_eq!(ended["principal"], "admin");
            // One that ran at two kills is quarantined, as another fact says.
            let fault = &ended["tasks"][0]["fault"];
            let is_well = ended["state"] == "completed" || fault["code"] == "host-lost";
            assert!(is_well, "{ended:#}");
        }
    }
}

#[test]
fn of_ticks_without_a_host_the_last_is_made_up_for_and_the_others_are_counted() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let first = seconds(&serving.put("tidy", &secondly(&json!({}))).is(200).json()["next_at"]);
    serving.fires("tidy", 1);
    serving.kill();
    // Until some ticks have passed, by the clock of the host's own preview.
    let before = host.run(&["schedules", "show", "tidy", "--json"]).succeeds().json();
    let next = |count| -> i64 {
        let arguments = ["schedules", "next", "* * * * * *", "--count", count, "--json"];
        seconds(&host.run(&arguments).succeeds().json()["next"][0])
    };
    while next("1") < seconds(&before["next_at"]) + 4 {}
    let serving = Serving::start(&host);
    serving.fires("tidy", before["counts"]["fired"].as_u64().unwrap() + 1);
    let paused = serving.change("POST /api/v1/schedules/tidy/pause").is(200).json();
    let counts = &paused["counts"];
    let (fired, missed) = (counts["fired"].as_i64().unwrap(), counts["missed"].as_i64().unwrap());
    assert!(missed >= 3, "{paused:#}");
    assert_eq!(fired + missed, seconds(&paused["last_at"]) - first + 1, "{paused:#}");
    assert_eq!(host.jobs().len(), usize::try_from(fired).unwrap());
}

#[test]
fn a_schedule_is_made_shown_paused_triggered_and_removed_over_http() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let job = json!({"executor": "transform_executor", "inputs": {"filter": "1 + 1"}});
    let nightly = json!({"cron": "30 2 * * *", "time_zone": "Europe/Berlin", "job": job,
                         "starts_at": "2040-03-24T12:00:00Z"});
    let put = serving.put("nightly", &nightly).is(200).json();
    assert_eq!((&put["job"], &put["missed"]), (&job, &json!("last")));
    let shown = serving.schedule("nightly");
    // Clocks go forward on the second of these days.
    let expected = json!([
        "2040-03-25T01:30:00.000Z",
        "2040-03-26T00:30:00.000Z",
        "2040-03-27T00:30:00.000Z",
        "2040-03-28T00:30:00.000Z",
        "2040-03-29T00:30:00.000Z",
    ]);
    assert_eq!(shown["next"], expected);
    let paused = serving.change("POST /api/v1/schedules/nightly/pause").is(200).json();
    assert_eq!((&paused["paused"], &paused["next_at"]), (&json!(true), &Value::Null));
    let run = serving.change("POST /api/v1/schedules/nightly/trigger").is(202).json();
    assert_eq!(run["origin"]["schedule"], "nightly");
    let ended = serving.ended(run["id"].as_str().unwrap());
    assert_eq!(ended["tasks"][0]["output"], 2);
    let resumed = serving.change("POST /api/v1/schedules/nightly/resume").is(200).json();
    assert_eq!((&resumed["next_at"], &resumed["last_job"]), (&expected[0], &run["id"]));
    let listed = serving.get("/api/v1/schedules").is(200).json();
    assert_eq!(listed["schedules"][0]["name"], "nightly");
    assert_eq!(listed["schedules"][0].get("job"), None);
    serving.change("DELETE /api/v1/schedules/nightly").is(200);
    serving.get("/api/v1/schedules/nightly").problem(404, "unknown-schedule");
    assert_eq!(host.jobs().len(), 1, "its job stays");
}

#[test]
fn what_is_wrong_with_a_schedule_is_said_with_its_place() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let job = json!({"executor": "transform_executor", "inputs": {"filter": "1"}});
    let refused = |schedule: &Value, code, place: &str, word: &str| {
        let problem = serving.put("tidy", schedule).problem(422, code);
        assert_eq!(problem["pointer"], place, "{problem:#}");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{problem:#}");
    };
    let value = json!({"cron": "0 3 32 * *", "job": job});
    refused(&value, "invalid-schedule", "/cron", "the day of month is `32`: expected 1 to 31");
    let value = json!({"cron": "@daily", "time_zone": "Europe/Berln", "job": job});
    refused(&value, "invalid-schedule", "/time_zone", "did you mean `Europe/Berlin`");
    let value = json!({"cron": "@daily", "job": {"executor": "transform_exekutor"}});
    refused(&value, "unknown-executor", "/job/executor", "did you mean `transform_executor`");
    let value = json!({"cron": "@daily", "job": {"tasks": [{"executor": "transform_executor"}]}});
    refused(&value, "invalid-input", "/job/tasks/0/inputs", "filter");
    serving.put("Tidy!", &json!({"cron": "@daily", "job": job})).problem(422, "invalid-schedule");
    assert_eq!(serving.get("/api/v1/schedules").is(200).json()["schedules"], json!([]));
}

#[test]
fn a_schedule_whose_plugin_is_gone_says_so_and_goes_on_when_it_is_back() {
    let host = TestHost::new();
    BEHAVES.load(&host, "");
    let serving = Serving::start(&host);
    serving.put("tidy", &secondly(&json!({"job": {"executor": "behaves"}}))).is(200);
    serving.fires("tidy", 1);
    host.run(&["plugins", "remove", "behaves"]).succeeds();
    let fails = || serving.schedule("tidy")["counts"]["failed"].as_u64().unwrap() > 0;
    serving.until(fails);
    let shown = serving.schedule("tidy");
    let fault = shown["last_fault"]["message"].as_str().unwrap();
    assert!(fault.starts_with("/job/executor: there is no executor `behaves`"), "{fault}");
    let fired = shown["counts"]["fired"].as_u64().unwrap();
    BEHAVES.load(&host, "");
    serving.fires("tidy", fired + 1);
    assert_eq!(serving.schedule("tidy")["last_fault"], Value::Null);
}

#[test]
fn the_command_line_keeps_schedules_as_well() {
    let host = TestHost::new();
    let job = r#"{"executor": "transform_executor", "inputs": {"filter": "1"}}"#;
    let add = ["schedules", "add", "nightly", "--cron", "0 3 * * *", "--job", job];
    let added = host.run(&add).succeeds();
    assert!(added.stdout.starts_with("added `nightly`: next at "), "{}", added.stdout);
    let zone = [&add[..], &["--zone", "asia/tokyo", "--missed", "all:3"]].concat();
    let added = host.run(&zone).succeeds();
    assert!(added.stdout.contains("T03:00:00+09:00"), "{}", added.stdout);
    let listed = host.run(&["schedules", "list"]).succeeds();
    assert!(listed.stdout.contains("Asia/Tokyo"), "{}", listed.stdout);
    let shown = host.run(&["schedules", "show", "nightly"]).succeeds();
    let nexts = shown.stdout.lines().filter(|line| line.starts_with("next "));
    assert_eq!(nexts.count(), 5, "{}", shown.stdout);
    host.run(&["schedules", "pause", "nightly"]).succeeds();
    let listed = host.run(&["schedules", "list"]).succeeds();
    assert!(listed.stdout.contains("paused"), "{}", listed.stdout);
    host.run(&["schedules", "resume", "nightly"]).succeeds();
    let run = host.run(&["schedules", "trigger", "nightly", "--json"]).succeeds().json();
    assert_eq!(run["principal"], "operator");
    host.run(&["schedules", "remove", "nightly"]).succeeds();
    host.run(&["schedules", "show", "nightly"]).exits(1).says(&["error[unknown-schedule]: "]);
    let wrong = ["schedules", "add", "nightly", "--cron", "0 24 * * *", "--job", job];
    host.run(&wrong).exits(2).says(&["the hour is `24`: expected 0 to 23"]);
}

#[test]
fn a_preview_shows_ticks_as_clocks_do_and_makes_nothing() {
    let host = TestHost::fresh();
    let shown = host
        .run(&[
            "schedules",
            "next",
            "30 2 * * *",
            "--zone",
            "Europe/Berlin",
            "--count",
            "3",
            "--from",
            "2026-03-27T12:00:00Z",
        ])
        .succeeds();
    let expected =
        "2026-03-28T02:30:00+01:00\n2026-03-29T03:30:00+02:00\n2026-03-30T02:30:00+02:00\n";
    assert_eq!(shown.stdout, expected);
    assert!(!host.data().exists());
}
