//! Who may do what: every verb, in every role, on what is one's own and what is another's, with every
//! kind of token.
//!
//! The verbs come from the table of operations and the permissions from the roles, so a new verb is
//! in the matrix as soon as [`CLASSES`] says what its path names.

use std::fmt;

use apflow_api::{Entry, Method, TABLE, UploadFile};
use apflow_model::access::Permission;
use apflow_model::policies::Policies;
use apflow_model::role::Role;
use serde_json::{Value, json};

use crate::callers::{Caller, make_token};
use crate::host::TestHost;
use crate::serving::{Answer, Serving};

/// What a path names, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Nothing that belongs to anybody.
    Nobodys,
    /// A job.
    Job,
    /// A file that a task left.
    JobFile,
    /// A task.
    Task,
    /// A schedule.
    Schedule,
    /// The name of a schedule, which may be there or not.
    ScheduleName,
    /// A file that somebody uploaded.
    Upload,
    /// A token.
    Token,
}

use Class::{Job, JobFile, Nobodys, Schedule, ScheduleName, Task, Token, Upload};

/// What the path of each verb names. A verb that is not here fails the test: add it.
const CLASSES: &[(&str, Class)] = &[
    ("approvals.list", Nobodys),
    ("audit.export", Nobodys),
    ("audit.list", Nobodys),
    ("audit.verify", Nobodys),
    ("breakers.list", Nobodys),
    ("breakers.reset", Nobodys),
    ("breakers.reset_all", Nobodys),
    ("budgets.list", Nobodys),
    ("budgets.remove", Nobodys),
    ("budgets.set", Nobodys),
    ("cache.clear", Nobodys),
    ("cache.list", Nobodys),
    ("files.list", Job),
    ("files.open", JobFile),
    ("files.upload", Nobodys),
    ("host.examine", Nobodys),
    ("jobs.cancel", Job),
    ("jobs.cancel_all", Nobodys),
    ("jobs.delete", Job),
    ("jobs.events", Job),
    ("jobs.find", Job),
    ("jobs.list", Nobodys),
    ("jobs.purge_before", Nobodys),
    ("jobs.retry", Job),
    ("jobs.submit", Nobodys),
    ("plugins.grant", Nobodys),
    ("plugins.list", Nobodys),
    ("plugins.release", Nobodys),
    ("plugins.remove", Nobodys),
    ("plugins.show", Nobodys),
    ("plugins.verify", Nobodys),
    ("policies.list", Nobodys),
    ("policies.put", Nobodys),
    ("policies.remove", Nobodys),
    ("policies.show", Nobodys),
    ("run.parallel", Nobodys),
    ("run.task", Nobodys),
    ("schedules.list", Nobodys),
    ("schedules.pause", Schedule),
    ("schedules.put", ScheduleName),
    ("schedules.remove", Schedule),
    ("schedules.resume", Schedule),
    ("schedules.show", Schedule),
    ("schedules.trigger", Schedule),
    ("tasks.approve", Task),
    ("tasks.cancel", Task),
    ("tasks.checkpoints", Task),
    ("tasks.deny", Task),
    ("tasks.find", Task),
    ("tasks.list", Nobodys),
    ("tasks.retry", Task),
    ("tokens.create", Nobodys),
    ("tokens.list", Nobodys),
    ("tokens.revoke", Token),
    ("tokens.revoke_jwt", Nobodys),
    ("tokens.show", Token),
    ("tools.health", Nobodys),
    ("tools.list", Nobodys),
    ("tools.run", Nobodys),
    ("tools.show", Nobodys),
    ("uploads.delete", Upload),
    ("uploads.list", Nobodys),
    ("usage.report", Nobodys),
];

/// A verb, as it is called from afar.
#[derive(Clone, Copy)]
struct Verb {
    name: &'static str,
    permission: Permission,
    method: &'static str,
    path: &'static str,
    class: Class,
}

impl Verb {
    /// Every verb of the table, and those that carry bytes.
    fn all() -> Vec<Self> {
        let class = |name| {
            let known = CLASSES.iter().find(|(known, _)| *known == name);
            known.unwrap_or_else(|| panic!("say in `CLASSES` what the path of `{name}` names")).1
        };
        let of_entry = |entry: &Entry| Self {
            name: entry.name,
            permission: entry.permission,
            method: match entry.method {
                Method::Get => "GET",
                Method::Post => "POST",
                Method::Put => "PUT",
                Method::Delete => "DELETE",
            },
            path: entry.path,
            class: class(entry.name),
        };
        let (open, upload) = ("files.open", "files.upload");
        let bytes = [
            Self {
                name: open,
                permission: Permission::JobsRead,
                method: "GET",
                path: "/api/v1/jobs/{id}/files/{task}/{name}",
                class: class(open),
            },
            Self {
                name: upload,
                permission: Permission::JobsSubmit,
                method: "POST",
                path: UploadFile::PATH,
                class: class(upload),
            },
        ];
        TABLE.iter().map(of_entry).chain(bytes).collect()
    }

    /// What is asked of it, for what belongs to this principal.
    fn request(&self, own: &Belongings) -> (String, Value) {
        let id = match self.class {
            Job | JobFile => &own.job,
            Task => &own.task,
            Upload => &own.upload,
            Token => &own.token,
            Nobodys | Schedule | ScheduleName => "nothing",
        };
        let name = match self.class {
            Schedule | ScheduleName => &own.schedule,
            Nobodys | Job | JobFile | Task | Upload | Token => "nothing",
        };
        let path = self.path.replace("{id}", id).replace("{name}", name);
        let path = path.replace("{task}", "task").replace("{key}", "executor:nothing");
        let path = path.replace("{principal}", "nobody").replace("{unit}", "tokens");
        let path = path.replace("{period}", "day");
        let query = if self.name == "files.upload" { "?name=a.txt" } else { "" };
        let body = match self.name {
            "jobs.submit" | "run.task" => small(),
            "run.parallel" => json!({ "tasks": [small()] }),
            "budgets.set" => json!({ "cap": 1 }),
            "policies.put" => json!({ "thresholds": [{ "at": 1, "action": "block" }] }),
            "jobs.purge_before" => json!({ "before": "2020-01-01T00:00:00Z" }),
            "schedules.put" => schedule(),
            "tokens.create" => json!({ "name": "another", "role": "nobody" }),
            "tokens.revoke_jwt" => {
                json!({ "jti": "nothing", "expires_at": "2100-01-01T00:00:00Z" })
            }
            "files.upload" => json!("bytes"),
            _ => Value::Null,
        };
        (format!("{} {path}{query}", self.method), body)
    }

    /// The permission that lets somebody reach what is another's.
    fn manages(&self) -> Option<Permission> {
        match self.class {
            Nobodys => None,
            Job | JobFile | Task | Upload => Some(Permission::JobsManage),
            Schedule | ScheduleName => Some(Permission::SchedulesManage),
            Token => Some(Permission::TokensManage),
        }
    }
}

/// What a caller is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// Nobody is known by this token.
    Stranger,
    /// The role may not do this.
    Forbidden,
    /// There is no such thing.
    Unknown,
    /// The name is taken.
    Taken,
    /// Whatever the verb says of it.
    LetIn,
}

impl Expected {
    fn of(verb: &Verb, role: &Role, is_own: bool) -> Self {
        let may = |permission| role.permissions.contains(&permission);
        match verb.manages() {
            _ if !may(verb.permission) => Self::Forbidden,
            Some(manages) if !is_own && !may(manages) => {
                if verb.class == ScheduleName {
                    Self::Taken
                } else {
                    Self::Unknown
                }
            }
            _ => Self::LetIn,
        }
    }

    /// Whether this is it.
    fn is(self, verb: &Verb, answer: &Answer) -> bool {
        let code = code(answer);
        let is_unknown = match verb.class {
            Nobodys | ScheduleName => false,
            // The job is known, and has no such file: the same code says both.
            JobFile => self == Self::Unknown && code == "unknown-file",
            Job => code == "unknown-job",
            Task => code == "unknown-task",
            Schedule => code == "unknown-schedule",
            Upload => code == "unknown-file",
            Token => code == "unknown-token",
        };
        match self {
            Self::Stranger => answer.status == 401 && code == "unauthorized",
            Self::Forbidden => answer.status == 403 && code == "forbidden",
            Self::Unknown => answer.status == 404 && is_unknown,
            Self::Taken => answer.status == 409 && code == "schedule-taken",
            Self::LetIn => {
                !matches!(answer.status, 401 | 403 | 405 | 500..)
                    && code != "unknown-route"
                    && !is_unknown
            }
        }
    }
}

fn code(answer: &Answer) -> String {
    let problem = serde_json::from_slice::<Value>(answer.body()).unwrap_or_default();
    problem["code"].as_str().unwrap_or_default().to_owned()
}

/// What belongs to a principal.
struct Belongings {
    job: String,
    task: String,
    schedule: String,
    upload: String,
    token: String,
}

fn small() -> Value {
    json!({ "executor": "transform_executor", "inputs": { "filter": "1" } })
}

fn schedule() -> Value {
    json!({ "cron": "@yearly", "job": small() })
}

impl Belongings {
    /// Makes everything for this principal, whatever role it is tried in later.
    fn of(serving: &Serving, principal: &str) -> Self {
        let owner = Caller::new(serving, principal, "user");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let job = owner.post("/jobs?wait=60", &small()).is(200).json();
        let upload = owner.post("/files?name=a.txt", &json!("bytes")).is(201).json();
        let upload = text(&upload["file_id"]);
        let (id, task) = (text(&job["id"]), text(&job["tasks"][0]["id"]));
        let schedule = format!("of_{principal}");
        let mut own = Self { job: id, task, schedule, upload, token: String::new() };
        own.renew(serving, principal, None);
        own
    }

    /// Makes anew what the verb before may have taken away.
    fn renew(&mut self, serving: &Serving, principal: &str, after: Option<&Verb>) {
        let class = after.map(|verb| verb.class);
        if matches!(class, None | Some(Schedule)) {
            let owner = Caller::new(serving, principal, "user");
            owner.ask(&format!("PUT /schedules/{}", self.schedule), &schedule()).is(200);
        }
        if matches!(class, None | Some(Token)) {
            let token = make_token(serving, principal, "user");
            token["id"].as_str().unwrap().clone_into(&mut self.token);
        }
        if class == Some(Upload) {
            *self = Self::of(serving, principal);
        }
    }
}

/// What was asked, for the message of a failure.
struct Case<'case> {
    verb: &'case Verb,
    role: &'case str,
    of: &'case str,
    what: &'case str,
}

impl fmt::Display for Case<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Case { verb, role, of, what } = self;
        write!(formatter, "{} as {role}, {of}: {what}", verb.name)
    }
}

/// The shipped roles, and one that may do nothing.
fn roles() -> Vec<Role> {
    let text = "roles: { nobody: { permissions: [] } }";
    Policies::parse(text).unwrap().roles.all().cloned().collect()
}

fn host() -> TestHost {
    // Guesses are slowed down elsewhere; here they are counted by hundreds.
    TestHost::new()
        .with_settings("auth: { guesses_per_minute: 1000000 }\n")
        .with_policies("roles: { nobody: { permissions: [] } }\nrate_limits: { enabled: false }\n")
}

#[test]
fn every_verb_is_open_to_those_roles_alone_that_may_and_to_owners() {
    let host = host();
    let serving = Serving::start(&host);
    let mut others = Belongings::of(&serving, "other");
    let mut wrong = Vec::new();
    let mut count = 0;
    for role in roles() {
        let principal = format!("own_{}", role.name);
        let mut own = Belongings::of(&serving, &principal);
        let caller = Caller::new(&serving, &principal, &role.name);
        for verb in &Verb::all() {
            for is_own in [true, false] {
                if !is_own && verb.class == Nobodys {
                    continue;
                }
                let (belongings, owner) =
                    if is_own { (&mut own, principal.as_str()) } else { (&mut others, "other") };
                let (what, body) = verb.request(belongings);
                let body = if body.is_null() { String::new() } else { body.to_string() };
                let answer = serving.ask(&what, Some(&caller.token), body.as_bytes());
                count += 1;
                let expected = Expected::of(verb, &role, is_own);
                if !expected.is(verb, &answer) {
                    let of = if is_own { "its own" } else { "another's" };
                    let case = Case { verb, role: &role.name, of, what: &what };
                    let said = (answer.status, code(&answer));
                    wrong.push(format!("{case}: expected {expected:?}, was told {said:?}"));
                }
                if expected == Expected::LetIn {
                    belongings.renew(&serving, owner, Some(verb));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    println!("{count} requests");
}

#[test]
fn no_verb_is_open_to_a_token_that_is_missing_or_bad_or_past_or_revoked() {
    let host = host();
    let serving = Serving::start(&host);
    let own = Belongings::of(&serving, "root");
    let expired = Caller::new(&serving, "root", "admin");
    let revoked = make_token(&serving, "root", "admin");
    let id = revoked["id"].as_str().unwrap();
    serving.ask(&format!("DELETE /api/v1/tokens/{id}"), Some(serving.token()), b"").is(200);
    host.spoil(&["UPDATE api_token SET expires_at = created_at + 1 \
         WHERE role = 'admin' AND revoked_at IS NULL"]);
    let revoked = revoked["token"].as_str().unwrap();
    let cut = &expired.token[..expired.token.len() - 1];
    let tokens = [
        ("no token", None),
        ("a bad token", Some("apf_bad")),
        ("a cut token", Some(cut)),
        ("an expired token", Some(expired.token.as_str())),
        ("a revoked token", Some(revoked)),
    ];
    let mut wrong = Vec::new();
    for verb in &Verb::all() {
        let (what, body) = verb.request(&own);
        for (of, token) in tokens {
            let answer = serving.ask(&what, token, body.to_string().as_bytes());
            if !Expected::Stranger.is(verb, &answer) {
                let case = Case { verb, role: "admin", of, what: &what };
                wrong.push(format!("{case}: {} {}", answer.status, code(&answer)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The host answers all the same.
    serving.get("/api/v1/jobs").is(200);
}
