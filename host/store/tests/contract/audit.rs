//! The audit is one chain, whoever adds to it, and is added to with what it tells of.

use apflow_model::audit::{Decision, Flaw, Record, Verification, Verifier};
use apflow_model::id::JobId;
use apflow_store::{AuditFilter, JobFilter, NewJob, ROWS_PER_SLICE_MAX, Store};
use serde_json::json;
use tokio::task::JoinSet;

use crate::host::{Host, at, spec};

fn record(principal: &str, verb: &str, ms: u64) -> Record {
    Record {
        at: at(ms),
        principal: Some(principal.to_owned()),
        role: Some("user".to_owned()),
        verb: verb.to_owned(),
        target: None,
        decision: Decision::Allowed,
        code: None,
        reason: Some("it's \"odd\"\0\n{}".to_owned()),
        request: None,
        peer: None,
    }
}

async fn verify(store: &Store) -> Verification {
    let chain = store.audit_chain().await.unwrap();
    let mut verifier = Verifier::new(chain.removed, None);
    loop {
        let lines = store.audit_after(verifier.head().n).await.unwrap();
        if lines.is_empty() {
            return verifier.end(None, Some(chain.last));
        }
        for line in lines {
            if let Err(flaw) = line.and_then(|line| verifier.follow(&line)) {
                return verifier.end(Some(flaw), Some(chain.last));
            }
        }
    }
}

/// A host with so many lines, a millisecond apart.
async fn host_with(lines: u64) -> Host {
    let host = Host::start().await;
    for ms in 1..=lines {
        let verb = if ms % 2 == 0 { "jobs.find" } else { "jobs.submit" };
        host.store.record(record("ada", verb, ms)).await.unwrap();
    }
    host
}

#[tokio::test]
async fn a_job_is_stored_with_its_line() {
    let host = Host::start().await;
    let new = || NewJob {
        spec: spec(json!({"executor": "noop_executor"})),
        principal: "ada".to_owned(),
        grants: Vec::new(),
    };
    let submit = host.store.submit(new(), at(5));
    let (job, left) = Store::recorded(record("ada", "jobs.submit", 5), submit).await;
    let (job, lines) = (job.unwrap(), host.store.audit_after(0).await.unwrap());
    assert_eq!((left, lines.len()), (None, 1));
    let line = lines[0].clone().unwrap();
    assert_eq!((line.n, line.record.target), (1, Some(job.id.to_string())));
    assert!(verify(&host.store).await.intact);
    // Claims and ends have no lines.
    let claimed = host.claim_one(6).await;
    host.settle(&claimed, 7, crate::host::completed()).await;
    assert_eq!(host.store.audit_chain().await.unwrap().last.n, 1);
}

#[tokio::test]
async fn what_changed_nothing_has_no_line_yet() {
    let host = Host::start().await;
    let asked = record("ada", "jobs.cancel", 1);
    let cancel = host.store.cancel_job(JobId(7), at(1));
    let (cancelled, left) = Store::recorded(asked.clone(), cancel).await;
    assert_eq!((cancelled.unwrap(), left), (None, Some(asked)));
    assert_eq!(host.store.audit_chain().await.unwrap().last.n, 0);
}

#[tokio::test]
async fn only_the_first_of_several_changes_has_a_line() {
    let host = Host::start().await;
    let (first, second) = (host.submit(noop()).await.id, host.submit(noop()).await.id);
    let cancel_both = async {
        host.store.cancel_job(first, at(1)).await.unwrap();
        host.store.cancel_job(second, at(1)).await.unwrap();
    };
    Store::recorded(record("ada", "jobs.cancel_all", 1), cancel_both).await;
    assert_eq!(host.store.audit_chain().await.unwrap().last.n, 1);
}

fn noop() -> serde_json::Value {
    json!({"executor": "noop_executor"})
}

#[tokio::test]
async fn two_processes_add_to_one_chain() {
    let host = Host::start().await;
    let other = Store::open(&host.database.address()).await.unwrap();
    let mut adding = JoinSet::new();
    for n in 0..100 {
        let store = if n % 2 == 0 { host.store.clone() } else { other.clone() };
        adding.spawn(async move { store.record(record("ada", "jobs.find", n)).await.unwrap() });
    }
    adding.join_all().await;
    let found = verify(&host.store).await;
    assert_eq!((found.intact, found.lines), (true, 100), "{found}");
    other.close().await;
}

#[tokio::test]
async fn a_change_is_recorded_after_lines_of_another_process_even_if_they_are_gone() {
    let host = Host::start().await;
    let other = Store::open(&host.database.address()).await.unwrap();
    for (ms, store) in (1..).zip([&host.store, &other, &other, &host.store, &other, &host.store]) {
        if ms == 6 {
            assert_eq!(other.forget_audit(at(6)).await.unwrap(), 5);
        }
        let new = NewJob { spec: spec(noop()), principal: "ada".to_owned(), grants: Vec::new() };
        let submit = store.submit(new, at(ms));
        let (job, left) = Store::recorded(record("ada", "jobs.submit", ms), submit).await;
        assert_eq!((job.is_ok(), left), (true, None));
        assert_eq!(store.audit_chain().await.unwrap().last.n, ms);
    }
    let found = verify(&host.store).await;
    assert_eq!((found.intact, found.lines), (true, 1), "{found}");
    let jobs = host.store.list_jobs(&JobFilter::default(), None, 10).await.unwrap().jobs;
    assert_eq!(jobs.len(), 6);
    other.close().await;
}

#[tokio::test]
async fn what_is_noted_is_stored_when_the_store_is_closed() {
    let host = Host::start().await;
    for n in 0..10 {
        host.store.note(record("ada", "jobs.find", n)).await;
    }
    let host = host.restart().await;
    let found = verify(&host.store).await;
    assert_eq!((found.intact, found.lines), (true, 10), "{found}");
}

#[tokio::test]
async fn a_line_that_was_changed_taken_out_put_in_or_moved_is_named() {
    const PUT_IN: &str = "INSERT INTO audit_line (n, at, verb, decision, hash) VALUES \
        (10, 1, 'jobs.find', 'allowed', \
         '0000000000000000000000000000000000000000000000000000000000000000')";
    for (spoil, flaw) in [
        ("UPDATE audit_line SET principal = 'eve' WHERE n = 3", Flaw::Changed { n: 3 }),
        ("UPDATE audit_line SET decision = 'granted' WHERE n = 4", Flaw::Changed { n: 4 }),
        ("UPDATE audit_line SET reason = NULL WHERE n = 1", Flaw::Changed { n: 1 }),
        ("DELETE FROM audit_line WHERE n = 5", Flaw::Missing { n: 5 }),
        ("DELETE FROM audit_line WHERE n < 3", Flaw::Missing { n: 1 }),
        ("DELETE FROM audit_line WHERE n > 7", Flaw::Cut { n: 7, last: 9 }),
        ("UPDATE audit_line SET n = 12 - n WHERE n = 2", Flaw::Missing { n: 2 }),
        (PUT_IN, Flaw::Changed { n: 10 }),
    ] {
        let host = host_with(9).await;
        assert!(verify(&host.store).await.intact);
        host.spoil(spoil).await;
        assert_eq!(verify(&host.store).await.flaw, Some(flaw), "{spoil}");
    }
}

#[tokio::test]
async fn lines_that_were_kept_long_enough_go_and_the_rest_is_intact() {
    let host = host_with(9).await;
    let before = host.store.audit_chain().await.unwrap();
    assert_eq!(host.store.forget_audit(at(4)).await.unwrap(), 3);
    assert_eq!(host.store.forget_audit(at(4)).await.unwrap(), 0);
    let chain = host.store.audit_chain().await.unwrap();
    assert_eq!((chain.removed.n, chain.last), (3, before.last));
    let rest = verify(&host.store).await;
    assert_eq!((rest.intact, rest.lines, rest.after), (true, 6, chain.removed), "{rest}");
    host.store.record(record("ada", "jobs.find", 10)).await.unwrap();
    assert_eq!(verify(&host.store).await.lines, 7);
    host.spoil("DELETE FROM audit_line WHERE n = 4").await;
    assert_eq!(verify(&host.store).await.flaw, Some(Flaw::Missing { n: 4 }));
}

#[tokio::test]
async fn all_lines_may_go_and_the_numbers_go_on() {
    let host = host_with(3).await;
    const { assert!(ROWS_PER_SLICE_MAX >= 3) };
    assert_eq!(host.store.forget_audit(at(100)).await.unwrap(), 3);
    host.store.record(record("ada", "jobs.find", 10)).await.unwrap();
    let lines = host.store.audit_after(0).await.unwrap();
    assert_eq!(lines[0].as_ref().unwrap().n, 4);
    assert!(verify(&host.store).await.intact);
}

#[tokio::test]
async fn lines_are_listed_newest_first_by_what_is_wanted_of_them() {
    let host = host_with(9).await;
    let mut refused = record("eve", "jobs.find", 10);
    (refused.decision, refused.target) = (Decision::Refused, Some("j_1".to_owned()));
    host.store.record(refused).await.unwrap();
    let list = async |filter: AuditFilter, before, limit| {
        let page = host.store.list_audit(&filter, before, limit).await.unwrap();
        (page.lines.iter().map(|line| line.n).collect::<Vec<_>>(), page.next)
    };
    let any = AuditFilter::default();
    assert_eq!(list(any.clone(), None, 4).await, (vec![10, 9, 8, 7], Some(7)));
    assert_eq!(list(any.clone(), Some(7), 100).await, (vec![6, 5, 4, 3, 2, 1], None));
    assert_eq!(list(any.clone(), Some(3), 2).await, (vec![2, 1], None));
    let of = |principal: &str| AuditFilter { principal: Some(principal.to_owned()), ..any.clone() };
    assert_eq!(list(of("eve"), None, 100).await, (vec![10], None));
    let verb = AuditFilter { verb: Some("jobs.submit".to_owned()), ..of("ada") };
    assert_eq!(list(verb, None, 2).await, (vec![9, 7], Some(7)));
    let decision = AuditFilter { decision: Some(Decision::Refused), ..any.clone() };
    assert_eq!(list(decision, None, 2).await, (vec![10], None));
    let target = AuditFilter { target: Some("j_1".to_owned()), ..any.clone() };
    assert_eq!(list(target, None, 2).await, (vec![10], None));
    let within = AuditFilter { since: Some(at(3)), until: Some(at(6)), ..any };
    assert_eq!(list(within, None, 100).await, (vec![5, 4, 3], None));
}
