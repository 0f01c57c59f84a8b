//! Many clients at once, by a tool that others wrote: what each is answered, and what that costs.
//!
//! How fast it goes is not tested: `bench http` measures that.

use std::fs;
use std::io::Write;
use std::process::Command;

use serde_json::Value;

use crate::callers::Caller;
use crate::host::{TestHost, project};
use crate::serving::Serving;

const CLIENTS: u64 = 512;

/// The most memory that the host may have taken up, in KiB. A debug build takes 140 MiB to begin with.
const MEMORY_KIB_MAX: u64 = 512 << 10;

/// Every answer is a good one, or says when to come back; no connection breaks, and no job is lost.
#[test]
fn five_hundred_clients_get_honest_answers() {
    let Some(mut wrk) = wrk() else { return };
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let limited = Caller::new(&serving, "ada", "user");
    wrk.args(["--threads", "2", "--connections", &CLIENTS.to_string()]);
    // Slow is not wrong.
    wrk.args(["--duration", "5s", "--timeout", "60s"]);
    wrk.arg("--script").arg(project().join("tests/e2e/load.lua")).arg(serving.url());
    let output = wrk.args(["--", serving.token(), &limited.token]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let counts: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!((&counts["wrong"], &counts["broken"]), (&0.into(), &0.into()), "{said}");
    let count = |what: &str| counts[what].as_u64().unwrap();
    for what in ["accepted", "seen", "refused"] {
        assert!(count(what) > 0, "{said}");
    }
    // Those that wrk hangs up on at its end are stored, or not.
    let stored = stored(&serving);
    let may_be_stored = count("accepted")..=count("accepted") + CLIENTS;
    assert!(may_be_stored.contains(&stored), "{stored} tasks are stored: {said}");
    let memory = memory_kib(serving.process());
    writeln!(std::io::stderr(), "\n{CLIENTS} clients: {}, {memory} KiB of memory\n", said.trim())
        .unwrap();
    assert!(memory <= MEMORY_KIB_MAX, "{memory} KiB");
}

/// How many tasks the host has.
fn stored(serving: &Serving<'_>) -> u64 {
    let page = serving.ask("GET /metrics", None, b"").is(200);
    let page = String::from_utf8_lossy(page.body()).into_owned();
    let counts = page.lines().filter(|line| line.starts_with("apflow_tasks{"));
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// The most memory that a process has had, in KiB.
fn memory_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The tool, if it is installed. On a machine that checks changes, which sets `CI`, it is a failure
/// if not.
fn wrk() -> Option<Command> {
    if Command::new("wrk").arg("--version").output().is_ok() {
        return Some(Command::new("wrk"));
    }
    let missing = "wrk is not installed (apt-get install wrk)";
    assert!(std::env::var_os("CI").is_none(), "{missing}");
    // Past what the test runner captures.
    let said = writeln!(std::io::stderr(), "\nSKIPPED what needs wrk: {missing}\n");
    said.unwrap();
    None
}
