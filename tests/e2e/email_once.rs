//! Mails of a host that is killed around the send: each arrives once, or its task says that nobody
//! knows; none arrives twice.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::host::TestHost;
use crate::mailbox::{LAST_LINE, Mailbox, Moment};
use crate::server::{Reply, Server};
use crate::serving::Serving;

/// How often the host is killed around a mail over SMTP.
const ROUNDS: usize = 50;
/// How often around one over HTTP.
const HTTP_ROUNDS: usize = 8;
/// What decides the moments: the same ones in every run.
const SEED: u64 = 0x6d61_696c;

#[test]
fn a_mail_arrives_once_or_its_task_says_unknown_whenever_the_host_is_killed() {
    let host = TestHost::new().with_settings("quarantine: { sessions_lost: 0 }\n");
    let (mailbox, mut dice) = (Mailbox::start(), Dice(SEED));
    let grant = format!("tcp=127.0.0.1:{}", mailbox.port());
    host.run(&["load", "send_email_executor", "--grant", &grant]).succeeds();
    let job = json!({ "executor": "send_email_executor", "inputs": {
        "from": "shop@example.com", "to": "a@example.org", "subject": "Hello",
        "text": format!("Hello.\n{LAST_LINE}"),
        "smtp": { "host": "127.0.0.1", "port": mailbox.port(), "security": "none" },
    } });
    let mut serving = Serving::start(&host);
    let mut ends = BTreeMap::new();
    for round in 0..ROUNDS {
        // Around the dot, where it matters, more often than before it.
        let moment = match dice.roll(2) {
            0 => Moment::ALL[5 + dice.roll(3)],
            _ => Moment::ALL[dice.roll(Moment::ALL.len())],
        };
        let is_held = dice.roll(2) == 0;
        mailbox.choose(moment, is_held);
        let accepted = serving.submit("", &job).is(202).json();
        mailbox.wait();
        serving.kill();
        mailbox.release();
        serving = Serving::start(&host);
        let ended = serving.ended(accepted["id"].as_str().unwrap());
        let end = judge(&ended["tasks"][0], &mailbox);
        assert!(end.is_ok(), "round {round}, {moment:?}, held: {is_held}: {end:?}: {ended:#}");
        *ends.entry(end.unwrap()).or_insert(0) += 1;
    }
    let line = format!("\nkilled {ROUNDS} times around a mail over SMTP: {ends:?}\n");
    // Past what the test runner captures.
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    assert_eq!(ends.values().sum::<usize>(), ROUNDS);
}

#[test]
fn a_provider_that_knows_the_key_takes_a_mail_once_whenever_the_host_is_killed() {
    let host = TestHost::new().with_settings("quarantine: { sessions_lost: 0 }\n");
    let (taken, gate) = (Arc::<Mutex<BTreeMap<String, usize>>>::default(), Gate::default());
    let (books, waiting) = (Arc::clone(&taken), gate.clone());
    let server = Server::start(move |hit| {
        let key = hit.headers["idempotency-key"].clone();
        let id = json!({ "id": format!("re_{key}") });
        let is_new = match books.lock().unwrap().entry(key) {
            Entry::Vacant(entry) => *entry.insert(1) == 1,
            Entry::Occupied(mut entry) => {
                *entry.get_mut() += 1;
                false
            }
        };
        if is_new {
            waiting.wait();
        }
        Reply::json(&id)
    });
    secrets(&host, &server);
    let grants = [format!("http={}", server.origin()), "secret=email_api_key".to_owned()];
    host.run(&["load", "send_email_executor", "--grant", &grants[0], "--grant", &grants[1]])
        .succeeds();
    let job = json!({ "executor": "send_email_executor", "inputs": {
        "from": "shop@example.com", "to": "a@example.org", "subject": "Hello", "text": "Hello.",
        "http": { "base_url": server.origin() },
    } });
    let mut serving = Serving::start(&host);
    for round in 0..HTTP_ROUNDS {
        gate.hold(round % 2 == 0);
        let hits = server.hits().len();
        let accepted = serving.submit("", &job).is(202).json();
        server.wait_for_hits(hits + 1);
        serving.kill();
        gate.hold(false);
        serving = Serving::start(&host);
        let ended = serving.ended(accepted["id"].as_str().unwrap());
        let task = &ended["tasks"][0];
        let id = task["id"].as_str().unwrap();
        assert_eq!(task["state"], "completed", "{ended:#}");
        // The key says whose task it is as well.
        let key = task["output"]["message_id"].as_str().unwrap().trim_start_matches("re_");
        assert!(key.ends_with(id), "{ended:#}");
        assert!((1..=2).contains(&taken.lock().unwrap()[key]), "{ended:#}");
    }
    let hit = &server.hits()[0];
    assert_eq!(hit.headers["authorization"], "Bearer a key of eight or more");
}

/// Says how a mail ended, in words for the count, or what is wrong with that.
fn judge(task: &Value, mailbox: &Mailbox) -> Result<&'static str, String> {
    let id = format!("{}@example.com", task["id"].as_str().unwrap());
    let message = task["fault"]["message"].as_str().unwrap_or_default();
    match (task["state"].as_str(), mailbox.taken(&id)) {
        (Some("completed"), 1) => Ok("arrived once"),
        (Some("failed"), 0) if message.starts_with("unknown: ") => Ok("unknown, not arrived"),
        (Some("failed"), 1) if message.starts_with("unknown: ") => Ok("unknown, arrived once"),
        (_, taken) => Err(format!("<{id}> was taken {taken} times")),
    }
}

/// Gives the host a key that belongs to this server.
fn secrets(host: &TestHost, server: &Server) {
    use std::os::unix::fs::PermissionsExt;
    let file = host.config_file().with_file_name("secrets.yaml");
    let key = host.config_file().with_file_name("key");
    std::fs::write(&key, "a key of eight or more\n").unwrap();
    let from = key.display();
    let text =
        format!("email_api_key: {{ from: {{ file: {from} }}, http: [\"{}\"] }}\n", server.origin());
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Holds a provider's first answer to a mail, until it does not.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, std::sync::Condvar)>);

impl Gate {
    fn hold(&self, is_held: bool) {
        *self.0.0.lock().unwrap() = is_held;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let is_held = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(is_held, |is_held| *is_held).unwrap());
    }
}

/// Numbers that look like chance, and are the same in every run (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let sides = u64::try_from(sides).unwrap();
        usize::try_from((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides).unwrap()
    }
}
