//! The server that verbs go to: whether it is there, is of this version, keeps the same time, and takes
//! the token, and for how long; and what it finds of itself.

use std::time::Duration;

use apflow_api::{Diagnosis, ExamineHost, SystemClock, chain};
use apflow_model::clock::{Clock, Timestamp};
use apflow_model::doctor::Finding;

use super::token;
use crate::remote::{Client, RemoteError};

/// How far the clock of the server may be from that of this machine.
const CLOCK_OFF_MAX: Duration = Duration::from_secs(5);

/// How long before its end a token should be replaced.
const TOKEN_LEFT_MIN: Duration = Duration::from_hours(7 * 24);

const CHECKS: [&str; 5] =
    ["server-unreachable", "server-version", "server-token", "server-clock", "server-token-ends"];

/// What a look at a server found.
pub(super) struct Looked {
    /// The names of the checks.
    pub(super) checks: [&'static str; 5],
    /// What is wrong with the way to it.
    pub(super) findings: Vec<Finding>,
    /// What it found of itself. None when it did not look: then `unexamined` says why.
    pub(super) diagnosis: Option<Diagnosis>,
    /// Why nothing is known of its database and files.
    pub(super) unexamined: Option<String>,
}

/// Looks at the server, and has it examine itself where `asked` says so.
pub(super) async fn look(client: &Client, asked: Option<ExamineHost>) -> Looked {
    let mut looked =
        Looked { checks: CHECKS, findings: Vec::new(), diagnosis: None, unexamined: None };
    let health = match client.probe().await {
        Ok(health) => health,
        Err(error) => {
            let why = "the server that verbs go to answers, as an apflow-host does";
            looked.add(CHECKS[0], chain(&error), why, advice(&error));
            looked.unexamined = Some("it is not reached".to_owned());
            return looked;
        }
    };
    let (theirs, ours) = (health.version, env!("CARGO_PKG_VERSION"));
    if theirs != ours {
        let found = format!("{} is of version {theirs}, and this of {ours}", client.server());
        let why = "the server is of the version of this program: else one may ask what the other does \
                   not know";
        looked.add(CHECKS[1], found, why, "install the same version on both".to_owned());
    }
    let Some(asked) = asked else { return looked };
    let before = SystemClock.now();
    match client.invoke(&asked).await {
        Ok(diagnosis) => {
            let off = off(before, diagnosis.examined_at, SystemClock.now());
            if off > CLOCK_OFF_MAX {
                let why = "the clock of the server agrees with that of this machine to a few seconds: \
                           JSON web tokens that are made here end by the clock of the server";
                let fix = "have both machines set their clocks, by `systemd-timesyncd` or `chrony`";
                looked.add(CHECKS[3], format!("{} s", off.as_secs()), why, fix.to_owned());
            }
            looked.diagnosis = Some(diagnosis);
            looked.look_at_token(client).await;
        }
        Err(error) => {
            if error.code() == Some("unauthorized") {
                let why = "the server takes the token that this machine shows to it";
                looked.add(CHECKS[2], chain(&error), why, advice(&error));
            }
            // A token that may do less than that is no fault.
            if error.code() == Some("forbidden") {
                looked.look_at_token(client).await;
            }
            looked.unexamined = Some(chain(&error));
        }
    }
    looked
}

impl Looked {
    /// Looks when the token ends that the server takes.
    async fn look_at_token(&mut self, client: &Client) {
        let Some(end) = token::end(client).await else { return };
        if end > SystemClock.now().after(TOKEN_LEFT_MIN) {
            return;
        }
        let why = "the token that this machine shows to the server is good for another week";
        let fix = "make another, by `apflow-host tokens create NAME --role ROLE`, or by `apflow-host \
                   config gen-token --role ROLE --save` where the secret is, and put it into \
                   `APFLOW_API_AUTH_TOKEN`, or into `config.yaml` as `api_token`";
        self.add(CHECKS[4], format!("it ends at {end}"), why, fix.to_owned());
    }

    fn add(&mut self, check: &'static str, found: String, why: &'static str, remedy: String) {
        self.findings.push(Finding {
            check: check.into(),
            count: 1,
            examples: vec![found],
            why: why.into(),
            remedy: remedy.into(),
            is_repairable: false,
        });
    }
}

fn advice(error: &RemoteError) -> String {
    error
        .advice()
        .unwrap_or("`apflow-host config path` says where its address comes from")
        .to_owned()
}

/// How far a moment is from the span in which it was told.
fn off(before: Timestamp, told: Timestamp, after: Timestamp) -> Duration {
    before.since(told).max(told.since(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_off_by_what_the_answer_cannot_explain() {
        let at = |seconds: i64| Timestamp::from_unix_ms(seconds * 1_000);
        let off = |before, told, after| off(at(before), at(told), at(after)).as_secs();
        assert_eq!(
            [off(10, 10, 10), off(10, 12, 15), off(10, 4, 15), off(10, 40, 15)],
            [0, 0, 6, 25]
        );
    }
}
