//! Reports of what was used: whatever they are grouped by, they add up to the same.

use std::collections::BTreeMap;

use apflow_model::clock::Timestamp;
use apflow_model::id::{JobId, TaskId};
use apflow_model::money::{MicroUsd, Tokens};
use apflow_model::usage_report::{DAY_MS, UsageBy, UsageSums};
use apflow_store::{Store, UsageFilter, UsagePage};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::host::{Host, at};

/// A row of the ledger.
#[derive(Debug, Clone)]
struct Charge {
    task: i64,
    at: i64,
    principal: usize,
    executor: usize,
    is_tool: bool,
    model: Option<usize>,
    input: u64,
    output: u64,
    cached: u64,
    micro_usd: Option<u64>,
}

const NAMES: [&str; 4] = ["ada", "bob/x", "c d", "zoë"];

impl Charge {
    /// Each job has ten tasks.
    fn job(&self) -> i64 {
        self.task / 10
    }

    fn day(&self) -> i64 {
        self.at / DAY_MS
    }

    /// What the row of it is called.
    fn key(&self, by: UsageBy) -> Option<String> {
        let name = |name: usize| NAMES[name].to_owned();
        match by {
            UsageBy::Task => Some(TaskId(self.task).to_string()),
            UsageBy::Job => Some(JobId(self.job()).to_string()),
            UsageBy::Principal => Some(name(self.principal)),
            UsageBy::Executor => (!self.is_tool).then(|| name(self.executor)),
            UsageBy::Tool => self.is_tool.then(|| name(self.executor)),
            UsageBy::Model => self.model.map(name),
            UsageBy::Day => {
                let start = Timestamp::from_unix_ms(self.day() * DAY_MS).to_string();
                Some(start[..10].to_owned())
            }
        }
    }

    fn insert(&self, number: usize) -> String {
        let number_or_null =
            |value: Option<u64>| value.map_or("NULL".to_owned(), |n| n.to_string());
        let name = |name: usize| format!("'{}'", NAMES[name]);
        format!(
            "INSERT INTO charge (task_id, attempt, number, job_id, at, principal, executor, is_tool, \
             model, input, output, cached, micro_usd) \
             VALUES ({}, 1, {number}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {});",
            self.task,
            self.job(),
            self.at,
            name(self.principal),
            name(self.executor),
            self.is_tool,
            self.model.map_or("NULL".to_owned(), name),
            self.input,
            self.output,
            self.cached,
            number_or_null(self.micro_usd),
        )
    }
}

/// Charges within three days, of few tasks, so that rows hold several.
fn charges() -> impl Strategy<Value = Vec<Charge>> {
    let names = 0..NAMES.len();
    let start = at(0).unix_ms();
    let tokens = 0..1_000_000_000_000_u64;
    let priced = prop::option::of(0..1_000_000_000_u64);
    let charge = (
        (10..60_i64, start..start + 3 * DAY_MS),
        (names.clone(), names.clone(), any::<bool>(), prop::option::of(names)),
        (tokens.clone(), tokens, 0..1_000_u64, priced),
    );
    let charge = charge.prop_map(|((task, at), (principal, executor, is_tool, model), used)| {
        let (input, output, cached, micro_usd) = used;
        let cached = cached.min(input);
        Charge { task, at, principal, executor, is_tool, model, input, output, cached, micro_usd }
    });
    prop::collection::vec(charge, 200)
}

/// Charges of the same database each time, with what they add up to.
fn added_up<'a>(charges: impl Iterator<Item = &'a Charge>) -> UsageSums {
    let mut tasks = std::collections::BTreeSet::new();
    let (mut sums, mut cost) = (UsageSums::default(), None);
    for charge in charges {
        tasks.insert(charge.task);
        sums.calls += 1;
        sums.tokens_input.0 += charge.input;
        sums.tokens_output.0 += charge.output;
        sums.tokens_cached.0 += charge.cached;
        sums.tokens.0 += charge.input + charge.output;
        sums.calls_unpriced += u64::from(charge.micro_usd.is_none());
        cost = charge.micro_usd.map(|more| more + cost.unwrap_or(0)).or(cost);
    }
    if sums.calls > 0 {
        sums.micro_usd = cost.map(MicroUsd);
    }
    UsageSums { tasks: tasks.len() as u64, ..sums }
}

/// Every row of a report, page by page.
async fn every_row(
    store: &Store,
    by: UsageBy,
    filter: &UsageFilter,
) -> (BTreeMap<Option<String>, UsageSums>, UsageSums) {
    let mut rows = BTreeMap::new();
    let mut after = None;
    loop {
        let page = store.report_usage(Some(by), filter, after.as_ref(), 3).await.unwrap();
        let UsagePage { rows: more, total, next } = page;
        assert!(more.len() <= 3 && (next.is_none() || more.len() == 3));
        for row in more {
            assert!(rows.insert(row.key.clone(), row.sums).is_none(), "{row:?} came twice");
        }
        after = next;
        if after.is_none() {
            return (rows, total);
        }
    }
}

/// Random charges, in a database of their own.
async fn charged(host: &Host) -> Vec<Charge> {
    let charges = charges().new_tree(&mut TestRunner::default()).unwrap().current();
    let inserts = charges.iter().enumerate().map(|(number, charge)| charge.insert(number));
    for insert in inserts {
        host.database.run(insert.leak()).await;
    }
    charges
}

#[tokio::test]
async fn every_grouping_adds_up_to_the_same_total_and_each_row_to_its_charges() {
    let host = Host::start().await;
    let charges = charged(&host).await;
    let expected = added_up(charges.iter());
    for by in UsageBy::ALL {
        let (rows, total) = every_row(&host.store, by, &UsageFilter::default()).await;
        assert_eq!(total, expected, "{by}");
        for (key, sums) in &rows {
            let own = charges.iter().filter(|charge| charge.key(by) == *key);
            assert_eq!(*sums, added_up(own), "{by} {key:?}");
        }
        let tokens: Tokens = rows.values().map(|sums| sums.tokens).sum();
        let calls: u64 = rows.values().map(|sums| sums.calls).sum();
        assert_eq!((tokens, calls), (expected.tokens, expected.calls), "{by}");
    }
}

#[tokio::test]
async fn a_filter_leaves_in_what_it_names_and_nothing_else() {
    let host = Host::start().await;
    let charges = charged(&host).await;
    let middle = at(0).unix_ms() + DAY_MS;
    let (since, until) = (Timestamp::from_unix_ms(middle), Timestamp::from_unix_ms(middle * 2));
    let any = UsageFilter::default;
    let name = |name: usize| Some(NAMES[name].to_owned());
    type Keeps = fn(&Charge, i64) -> bool;
    let cases: [(UsageFilter, Keeps); 7] = [
        (UsageFilter { since: Some(since), ..any() }, |charge, middle| charge.at >= middle),
        (UsageFilter { until: Some(since), ..any() }, |charge, middle| charge.at < middle),
        (UsageFilter { principal: name(1), ..any() }, |charge, _| charge.principal == 1),
        (UsageFilter { executor: name(2), ..any() }, |charge, _| {
            !charge.is_tool && charge.executor == 2
        }),
        (UsageFilter { tool: name(2), ..any() }, |charge, _| {
            charge.is_tool && charge.executor == 2
        }),
        (UsageFilter { model: name(3), ..any() }, |charge, _| charge.model == Some(3)),
        (UsageFilter { job: Some(JobId(2)), since: Some(since), until: Some(until), ..any() }, {
            |charge, middle| charge.job() == 2 && charge.at >= middle
        }),
    ];
    for (filter, keeps) in cases {
        let own: Vec<_> = charges.iter().filter(|charge| keeps(charge, middle)).collect();
        let (rows, total) = every_row(&host.store, UsageBy::Task, &filter).await;
        assert_eq!(total, added_up(own.iter().copied()), "{filter:?}");
        let calls: u64 = rows.values().map(|sums| sums.calls).sum();
        assert_eq!(calls, own.len() as u64, "{filter:?}");
    }
}

#[tokio::test]
async fn nothing_costs_nothing_and_what_has_no_price_is_not_known() {
    let host = Host::start().await;
    let report = async || {
        host.store.report_usage(None, &UsageFilter::default(), None, 10).await.unwrap().total
    };
    assert_eq!(report().await, UsageSums::default());
    let charge = Charge {
        task: 10,
        at: at(0).unix_ms(),
        principal: 0,
        executor: 0,
        is_tool: false,
        model: None,
        input: 7,
        output: 3,
        cached: 2,
        micro_usd: None,
    };
    host.database.run(charge.insert(1).leak()).await;
    let total = report().await;
    assert_eq!((total.tokens, total.micro_usd, total.calls_unpriced), (Tokens(10), None, 1));
    host.database.run(Charge { micro_usd: Some(0), ..charge }.insert(2).leak()).await;
    let total = report().await;
    assert_eq!((total.micro_usd, total.calls_unpriced), (Some(MicroUsd(0)), 1));
}
