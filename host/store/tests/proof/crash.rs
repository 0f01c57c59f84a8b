//! A process that is killed over and over, at any statement, loses nothing that it acknowledged.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use apflow_store::Store;

use crate::dice::Dice;
use crate::oracle::Oracle;
use crate::place::Place;
use crate::victim::{ADDRESS, DIES_AT, SEED};

/// How often a victim is killed, unless `APFLOW_PROOF_ROUNDS` says otherwise.
const ROUNDS: u64 = 25;
/// The latest statement at which one dies.
const STATEMENTS_MAX: u64 = 1_200;
const SIGKILL: i32 = 9;

#[test]
fn what_was_acknowledged_survives_a_kill_at_any_statement() {
    let place = Place::make();
    let mut oracle = Oracle::default();
    let (first, rounds) =
        (setting("APFLOW_PROOF_FIRST_SEED", 1), setting("APFLOW_PROOF_ROUNDS", ROUNDS));
    let mut killed = 0;
    for seed in first..first + rounds {
        killed += u64::from(kill_one(&place, seed, &mut oracle));
    }
    assert!(killed > rounds / 2, "only {killed} of {rounds} were killed");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let counts = runtime.block_on(async {
        let store = Store::open(&place.url().parse().unwrap()).await.unwrap();
        let counts = oracle.judge(&store).await;
        store.close().await;
        counts
    });
    assert!(counts.submits > 0 && counts.ends > 0, "{counts:?}");
    // Past what the test runner captures.
    let last = first + rounds - 1;
    writeln!(
        std::io::stderr(),
        "seeds {first} to {last}: {killed} of {rounds} were killed; {counts}"
    )
    .unwrap();
}

/// Starts a victim and hears it out. Whether it was killed before it was done.
#[expect(clippy::disallowed_methods, reason = "the victim is a process of its own")]
fn kill_one(place: &Place, seed: u64, oracle: &mut Oracle) -> bool {
    let dies_at = 1 + Dice(seed).below(STATEMENTS_MAX);
    let mut victim = Command::new(std::env::current_exe().unwrap());
    victim.args(["--exact", "victim::works_until_it_is_killed", "--ignored", "--nocapture"]);
    victim.env(ADDRESS, place.url()).env(SEED, seed.to_string());
    victim.env(DIES_AT, dies_at.to_string());
    let mut victim = victim.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(victim.stdout.take().unwrap());
    let mut line = String::new();
    while said.read_line(&mut line).unwrap() > 0 {
        oracle.hear(&line);
        line.clear();
    }
    let ended = victim.wait().unwrap();
    assert!(ended.success() || ended.signal() == Some(SIGKILL), "seed {seed}: {ended}");
    !ended.success()
}

/// A number that whoever runs the tests may set.
#[expect(clippy::disallowed_methods, reason = "it is no setting of the host")]
pub(crate) fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}
