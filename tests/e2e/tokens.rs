//! What opens the HTTP API: tokens in the database, JSON web tokens, and keys of the environment; and
//! how guessing is slowed down.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};

use crate::host::TestHost;
use crate::serving::{Answer, Serving};

const TOKENS: &str = "/api/v1/tokens";
const OLD: &str = "0123456789abcdef0123456789abcdef";
const NEW: &str = "fedcba9876543210fedcba9876543210";

impl Serving<'_> {
    /// Makes a token as the operator. Its text and its id.
    fn token_for(&self, spec: &Value) -> (String, String) {
        let made = self.ask(&format!("POST {TOKENS}"), Some(self.token()), &text(spec));
        let made = made.is(201).json();
        let word = |name: &str| made[name].as_str().unwrap().to_owned();
        (word("token"), word("id"))
    }

    /// Lists jobs with this token.
    pub(crate) fn list_as(&self, token: &str) -> Answer {
        self.ask("GET /api/v1/jobs", Some(token), b"")
    }

    /// Submits a job with this token, and returns its principal.
    pub(crate) fn submit_as(&self, token: &str) -> Value {
        let job = json!({"executor": "transform_executor", "inputs": {"filter": "1"}});
        self.ask("POST /api/v1/jobs", Some(token), &text(&job)).is(202).json()["principal"].clone()
    }

    /// Fails unless this token is refused like any other.
    #[track_caller]
    pub(crate) fn refuses(&self, token: &str) {
        let answer = self.list_as(token);
        let challenge = "Bearer realm=\"apflow-host\", error=\"invalid_token\"";
        assert_eq!(answer.headers["www-authenticate"], challenge);
        let problem = answer.problem(401, "unauthorized");
        let detail =
            "the token is not valid: it may be mistyped, revoked, past, or of another host";
        assert_eq!(problem["detail"], detail);
    }
}

fn text(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// A host whose guests may be wrong as often as a test needs.
pub(crate) fn patient(auth: &str) -> TestHost {
    TestHost::new().with_settings(&format!("auth:\n  guesses_per_minute: 1000\n{auth}"))
}

/// Changes the settings of a host that was started before.
fn change(host: &TestHost, from: &str, to: &str) {
    let settings = fs::read_to_string(host.config_file()).unwrap();
    assert!(settings.contains(from), "{settings}");
    fs::write(host.config_file(), settings.replace(from, to)).unwrap();
}

pub(crate) fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

#[test]
fn a_token_opens_what_its_scopes_leave_until_it_is_revoked() {
    for host in TestHost::on_each_database() {
        let serving = Serving::start(&host);
        let spec = json!({"name": "ci", "principal": "ada", "role": "agent",
                          "scopes": ["jobs-read"], "expires_days": 7});
        let (token, id) = serving.token_for(&spec);
        serving.list_as(&token).is(200);
        let job = json!({"executor": "transform_executor", "inputs": {"filter": "1"}});
        let submit = serving.ask("POST /api/v1/jobs", Some(&token), &text(&job));
        submit.problem(403, "forbidden");
        let path = format!("{TOKENS}/{id}");
        serving.until(|| !serving.get(&path).json()["last_used_at"].is_null());
        let shown = serving.get(&path).is(200).json();
        assert_eq!((&shown["state"], &shown["principal"]), (&json!("active"), &json!("ada")));
        assert_eq!(shown["hint"], token[..10]);
        let listed = serving.get(TOKENS).is(200);
        assert!(!String::from_utf8_lossy(listed.body()).contains(&token));
        serving.refuses(&token.replace("apf_", "apg_"));
        serving.refuses(&token[..61]);
        serving.list_as(&token).is(200);
        let revoked = serving.ask(&format!("DELETE {path}"), Some(serving.token()), b"");
        assert_eq!(revoked.is(200).json()["state"], "revoked");
        serving.refuses(&token);
        assert_eq!(serving.stop(), Some(0));
        Serving::start(&host).refuses(&token);
    }
}

#[test]
fn whoever_holds_a_token_sees_and_revokes_its_own_alone() {
    let host = patient("");
    let serving = Serving::start(&host);
    let (ada, id) = serving.token_for(&json!({"name": "ada", "role": "user"}));
    let (bob, other) = serving.token_for(&json!({"name": "bob", "role": "user"}));
    let listed = serving.ask(&format!("GET {TOKENS}"), Some(&ada), b"").is(200).json();
    assert_eq!(
        (listed["tokens"].as_array().unwrap().len(), &listed["tokens"][0]["id"]),
        (1, &json!(id))
    );
    for method in ["GET", "DELETE"] {
        let theirs = serving.ask(&format!("{method} {TOKENS}/{other}"), Some(&ada), b"");
        theirs.problem(404, "unknown-token");
    }
    serving.list_as(&bob).is(200);
    let make = json!({"name": "eve", "role": "user"});
    serving.ask(&format!("POST {TOKENS}"), Some(&ada), &text(&make)).problem(403, "forbidden");
    serving.ask(&format!("DELETE {TOKENS}/{id}"), Some(&ada), b"").is(200);
    serving.refuses(&ada);
}

#[test]
fn nobody_makes_a_token_for_more_than_what_they_may_do() {
    let host = patient("");
    let serving = Serving::start(&host);
    let scopes = ["tokens-manage", "jobs-read", "plugins-read"];
    let (maker, _) =
        serving.token_for(&json!({"name": "maker", "role": "admin", "scopes": scopes}));
    let make = |spec: Value| serving.ask(&format!("POST {TOKENS}"), Some(&maker), &text(&spec));
    make(json!({"name": "x", "role": "readonly"})).is(201);
    make(json!({"name": "x", "role": "admin", "scopes": ["jobs-read"]})).is(201);
    make(json!({"name": "x", "role": "admin"})).problem(403, "forbidden");
    make(json!({"name": "x", "role": "user"})).problem(403, "forbidden");
    make(json!({"name": "x", "role": "owner"})).problem(422, "unknown-role");
    for wrong in [
        json!({"name": "", "role": "readonly"}),
        json!({"name": "x", "role": "readonly", "scopes": ["jobs-reed"]}),
        json!({"name": "x", "role": "readonly", "expires_days": 0}),
        json!({"name": "x", "role": "readonly", "colour": "red"}),
        json!({"name": "x"}),
    ] {
        make(wrong).problem(400, "invalid-request");
    }
}

#[test]
fn a_token_ends_when_its_time_is_over() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let (token, id) = serving.token_for(&json!({"name": "ci", "role": "user"}));
    host.spoil(&["UPDATE api_token SET expires_at = 1"]);
    serving.refuses(&token);
    let shown = serving.get(&format!("{TOKENS}/{id}")).is(200).json();
    assert_eq!(shown["state"], "expired");
}

#[test]
fn the_command_line_makes_and_revokes_tokens_of_a_host_that_runs() {
    let host = patient("");
    let serving = Serving::start(&host);
    let made = host.run(&["tokens", "create", "ci", "--role", "user", "--scope", "jobs-read"]);
    let made = made.succeeds().says(&["it is not shown again"]);
    let token = made.stdout.trim();
    serving.list_as(token).is(200);
    let listed = host.run(&["tokens", "list", "--json"]).succeeds().json();
    let id = listed["tokens"][0]["id"].as_str().unwrap();
    assert!(host.run(&["tokens", "show", id]).succeeds().stdout.contains("jobs-read"));
    host.run(&["tokens", "revoke", id]).succeeds();
    // What the host remembers is seconds old.
    serving.until(|| serving.list_as(token).status == 401);
    host.run(&["tokens", "revoke", "k_0000000000000"]).exits(1).says(&["tokens list"]);
    host.run(&["tokens", "create", "ci", "--role", "owner"]).exits(1).says(&["no role `owner`"]);
    let misspelt = ["tokens", "create", "ci", "--role", "user", "--scope", "jobs-reed"];
    host.run(&misspelt).exits(2).says(&["did you mean `jobs-read`"]);
}

/// Makes a JSON web token on the command line.
fn generate(host: &TestHost, more: &[&str]) -> (String, Value) {
    let verb = ["config", "gen-token", "--json"];
    let made = host.run(&[&verb, more].concat()).succeeds().json();
    (made["token"].as_str().unwrap().to_owned(), made["claims"].clone())
}

#[test]
fn a_secret_is_rotated_without_a_token_that_stops_working() {
    let host = patient(&format!("  jwt_secrets: [{OLD}]\n"));
    let serving = Serving::start(&host);
    let (old, claims) = generate(&host, &["--role", "user", "--subject", "ada", "--expiry", "30"]);
    assert_eq!(serving.submit_as(&old), "ada");
    assert_eq!((&claims["role"], &claims["iss"]), (&json!("user"), &json!("apflow-host")));
    serving.stop();
    change(&host, OLD, &format!("{NEW}, {OLD}"));
    let serving = Serving::start(&host);
    let (new, claims) = generate(&host, &["--role", "readonly"]);
    serving.list_as(&old).is(200);
    serving.list_as(&new).is(200);
    let job = json!({"executor": "transform_executor", "inputs": {"filter": "1"}});
    serving.ask("POST /api/v1/jobs", Some(&new), &text(&job)).problem(403, "forbidden");
    serving.stop();
    change(&host, &format!("{NEW}, {OLD}"), NEW);
    let serving = Serving::start(&host);
    serving.refuses(&old);
    serving.list_as(&new).is(200);
    let jti = json!({"jti": claims["jti"]});
    let revoked =
        serving.ask(&format!("POST {TOKENS}/revoked"), Some(serving.token()), &text(&jti));
    revoked.is(200);
    serving.refuses(&new);
    host.run(&["config", "verify-token", &old]).exits(1);
    let claimed = host.run_with(&["config", "verify-token", "--json"], &new, &[]).succeeds().json();
    assert_eq!((&claimed["valid"], &claimed["claims"]["role"]), (&json!(true), &json!("readonly")));
}

/// A JSON web token that is signed in one way or another.
pub(crate) fn jwt(head: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(head), encode(claims));
    let signature = sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

pub(crate) fn by_secret(secret: &[u8]) -> impl Fn(&[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    move |signed| hmac::sign(&key, signed).as_ref().to_vec()
}

#[test]
fn a_json_web_token_that_is_not_quite_right_opens_nothing() {
    let host = patient(&format!("  jwt_secrets: [{OLD}]\n  jwt_audience: here\n"));
    let serving = Serving::start(&host);
    let exp = unix_now() + 1_000;
    let good = json!({"sub": "ada", "role": "user", "exp": exp, "aud": ["here"]});
    let head = json!({"alg": "HS256"});
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        jwt(&head, &claims, by_secret(OLD.as_bytes()))
    };
    assert_eq!(serving.submit_as(&with("x", json!(1))), "ada");
    for (name, value) in [
        ("exp", json!(unix_now() - 1_000)),
        ("exp", json!(null)),
        ("nbf", json!(exp)),
        ("iat", json!(exp)),
        ("aud", json!("there")),
        ("sub", json!("")),
        ("role", json!("owner")),
        ("role", json!(["user", "admin"])),
        ("role", json!(null)),
    ] {
        serving.refuses(&with(name, value));
    }
    let none = jwt(&json!({"alg": "none"}), &good, |_| Vec::new());
    serving.refuses(&none);
    serving.refuses(&jwt(&head, &good, by_secret(b"")));
    serving.refuses(&jwt(&head, &good, by_secret(NEW.as_bytes())));
    serving.refuses(&jwt(&json!({"alg": "RS256"}), &good, by_secret(OLD.as_bytes())));
}

#[test]
fn the_first_start_makes_a_secret_as_well() {
    let host = TestHost::new();
    host.run(&["config", "gen-token", "--role", "user"]).exits(1).says(&["--save"]);
    let serving = Serving::start(&host);
    let mode = fs::metadata(host.config_file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (token, _) = generate(&host, &["--role", "user", "--save"]);
    serving.list_as(&token).is(200);
    let other = TestHost::new();
    let (saved, _) = generate(&other, &["--role", "user", "--save"]);
    Serving::start(&other).list_as(&saved).is(200);
    serving.refuses(&saved);
}

#[test]
fn keys_of_the_environment_open_as_their_roles_say() {
    let host = TestHost::new();
    let keys = "key-of-the-reader:readonly,key:of:the:operator:admin";
    let serving =
        Serving::start_with(&host, &[("APFLOW_API_KEYS", keys), ("APFLOW_JWT_SECRET", OLD)]);
    serving.list_as("key-of-the-reader").is(200);
    serving.ask("GET /api/v1/tokens", Some("key:of:the:operator"), b"").is(200);
    let job = json!({"executor": "transform_executor", "inputs": {"filter": "1"}});
    let submit = serving.ask("POST /api/v1/jobs", Some("key-of-the-reader"), &text(&job));
    submit.problem(403, "forbidden");
    assert!(serving.submit_as("key:of:the:operator").as_str().unwrap().starts_with("key-"));
    let claims = json!({"sub": "ada", "role": "user", "exp": unix_now() + 100});
    serving.list_as(&jwt(&json!({"alg": "HS256"}), &claims, by_secret(OLD.as_bytes()))).is(200);
}

#[test]
fn wrong_settings_are_refused_without_a_word_of_what_is_secret() {
    let host = TestHost::new();
    let refused = |name: &str, value: &str| {
        let ended = host.run_with(&["serve", "--port", "0"], "", &[(name, value)]).exits(70);
        assert!(!ended.stderr.contains("hush"), "{}", ended.stderr);
        ended
    };
    let key = "hush-hush-hush-hush";
    refused("APFLOW_API_KEYS", key).says(&["APFLOW_API_KEYS", "entry 1: expected KEY:ROLE"]);
    refused("APFLOW_API_KEYS", "hush:admin").says(&["entry 1: a key has 16"]);
    refused("APFLOW_API_KEYS", &format!("{key}:owner")).says(&["there is no role `owner`"]);
    refused("APFLOW_API_KEYS", &format!("{key}:user,{key}:admin")).says(&["are the same"]);
    refused("APFLOW_JWT_SECRET", "hush").says(&["APFLOW_JWT_SECRET", "a secret of 4 bytes"]);
    for (auth, place) in [
        ("jwt_secrets: [hush]", "at line 2, column 17"),
        ("jwt_secret: hush", "2:3"),
        ("api_keys: [{token: hush}]", "2:13"),
    ] {
        let host = TestHost::new().with_settings(&format!("auth:\n  {auth}\n"));
        let ended = host.run(&["serve", "--port", "0"]).exits(70).says(&[place]);
        assert!(!ended.stderr.contains("hush"), "{}", ended.stderr);
    }
}

#[test]
fn who_guesses_is_slowed_down_and_who_holds_a_good_token_is_not() {
    let host = TestHost::new().with_settings("auth:\n  guesses_per_minute: 4\n");
    let serving = Serving::start(&host);
    let start = Instant::now();
    for _ in 0..10 {
        serving.ask("GET /api/v1/jobs", None, b"").problem(401, "unauthorized");
    }
    (0..4).for_each(|_| serving.refuses("a-guess"));
    // The last two of them took a second each.
    assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
    let answer = serving.list_as("a-guess");
    let wait: u64 = answer.headers["retry-after"].parse().unwrap();
    assert!((1..=61).contains(&wait), "{wait}");
    answer.problem(429, "rate-limited");
    serving.get("/api/v1/jobs").is(200);
}
