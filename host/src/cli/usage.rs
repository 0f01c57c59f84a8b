//! `usage`: what calls of models used and cost.

use std::collections::BTreeMap;

use apflow_api::{Page, ReportUsage, UsageReport};
use apflow_model::clock::Timestamp;
use apflow_model::id::JobId;
use apflow_model::money::MicroUsd;
use apflow_model::usage_report::{UsageBy, UsageKey, UsageRow, UsageSums};
use clap::{Args, ValueEnum};

use super::error::CliError;
use super::exit::Exit;
use super::json;
use super::operator::invoke;
use super::output::{Output, columns};
use super::page::note_more;
use super::plot::{Point, plot};
use crate::config::Config;

/// The most rows that one page of a report holds.
const ROWS_PER_PAGE_MAX: u32 = 1_000;

/// How a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Columns, for people.
    Table,
    /// As the HTTP API answers it.
    Json,
    /// Comma-separated values (RFC 4180), with a line of names first.
    Csv,
}

#[derive(Debug, Args)]
pub(crate) struct Usage {
    /// A row for each: task, job, principal, executor, tool, model or day.
    #[arg(long)]
    by: Option<UsageBy>,
    /// Only since this day, for example `2026-01-31`, or this moment in RFC 3339.
    #[arg(long, value_parser = json::day_or_moment)]
    since: Option<Timestamp>,
    /// Only before this day or moment.
    #[arg(long, value_parser = json::day_or_moment)]
    until: Option<Timestamp>,
    /// Only of jobs of this principal.
    #[arg(long)]
    principal: Option<String>,
    /// Only of this executor.
    #[arg(long)]
    executor: Option<String>,
    /// Only of this tool.
    #[arg(long)]
    tool: Option<String>,
    /// Only calls of this model, for example `anthropic/claude-sonnet-4`.
    #[arg(long)]
    model: Option<String>,
    /// Only of this job.
    #[arg(long)]
    job: Option<JobId>,
    /// How it is printed; `--json` is the same as `--format json`.
    #[arg(long, value_enum, default_value = "table", conflicts_with = "plot")]
    format: Format,
    /// Draw what was spent each day, as bars.
    #[arg(long, conflicts_with = "by")]
    plot: bool,
    /// How many rows, from 1 to 100000.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// The cursor that the rows before ended with.
    #[arg(long)]
    cursor: Option<String>,
}

pub(crate) async fn run(config: &Config, usage: Usage, output: &Output) -> Result<Exit, CliError> {
    let (format, is_plot) = (usage.format, usage.plot);
    let report = report(config, usage).await?;
    match format {
        _ if is_plot => output.result(&report, || drawn(&report, output.width())),
        Format::Table => output.result(&report, || table(&report)),
        Format::Csv => output.result(&report, || csv(&report)),
        Format::Json => output.json(&report),
    }
    note_more(report.cursor.as_ref(), output);
    Ok(Exit::Ok)
}

/// Gets so many rows, page by page.
async fn report(config: &Config, usage: Usage) -> Result<UsageReport, CliError> {
    let mut cursor = usage.cursor;
    let mut rows: Vec<UsageRow> = Vec::new();
    loop {
        let left = usage.limit - u32::try_from(rows.len()).unwrap_or(usage.limit).min(usage.limit);
        let page = Page { limit: Some(left.clamp(1, ROWS_PER_PAGE_MAX)), cursor };
        let asked = ReportUsage {
            by: if usage.plot { Some(UsageBy::Day) } else { usage.by },
            scope: None,
            since: usage.since,
            until: usage.until,
            principal: usage.principal.clone(),
            executor: usage.executor.clone(),
            tool: usage.tool.clone(),
            model: usage.model.clone(),
            job: usage.job,
            page,
        };
        let mut report = invoke(config, asked).await?;
        rows.append(&mut report.rows);
        let is_full = u32::try_from(rows.len()).is_ok_and(|count| count >= usage.limit);
        if is_full || report.cursor.is_none() {
            return Ok(UsageReport { rows, ..report });
        }
        cursor = report.cursor;
    }
}

fn table(report: &UsageReport) -> String {
    let head = report.by.map_or("", UsageBy::name).to_uppercase();
    let heads =
        [&*head, "CALLS", "TASKS", "INPUT", "OUTPUT", "CACHED", "TOKENS", "COST", "NOT PRICED"];
    let mut rows: Vec<Vec<String>> =
        report.rows.iter().map(|row| cells(row.key.as_deref().unwrap_or("-"), &row.sums)).collect();
    rows.push(cells("total", &report.total));
    columns(&heads, rows, &[1, 2, 3, 4, 5, 6, 7, 8])
}

fn cells(key: &str, sums: &UsageSums) -> Vec<String> {
    let cost = sums.micro_usd.map_or_else(|| "unknown".to_owned(), |cost| cost.to_string());
    let unpriced = match sums.calls_unpriced {
        0 => String::new(),
        1 => "1 call".to_owned(),
        calls => format!("{calls} calls"),
    };
    vec![
        key.to_owned(),
        sums.calls.to_string(),
        sums.tasks.to_string(),
        sums.tokens_input.to_string(),
        sums.tokens_output.to_string(),
        sums.tokens_cached.to_string(),
        sums.tokens.to_string(),
        cost,
        unpriced,
    ]
}

/// The rows, or the total where there is no row for anything. Costs that are not known are empty.
fn csv(report: &UsageReport) -> String {
    let by = report.by.map_or("all", UsageBy::name);
    let mut text = format!(
        "{by},calls,tasks,tokens_input,tokens_output,tokens_cached,tokens,micro_usd,calls_unpriced\n"
    );
    let total = UsageRow { key: Some("total".to_owned()), sums: report.total };
    let rows = if report.by.is_some() { &report.rows[..] } else { std::slice::from_ref(&total) };
    for UsageRow { key, sums } in rows {
        let fields = [
            quoted(key.as_deref().unwrap_or_default()),
            sums.calls.to_string(),
            sums.tasks.to_string(),
            sums.tokens_input.0.to_string(),
            sums.tokens_output.0.to_string(),
            sums.tokens_cached.0.to_string(),
            sums.tokens.0.to_string(),
            sums.micro_usd.map(|cost| cost.0.to_string()).unwrap_or_default(),
            sums.calls_unpriced.to_string(),
        ];
        text += &(fields.join(",") + "\n");
    }
    text
}

/// A field as RFC 4180 has it: in quotes where it would be read as several.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// What was spent each day, days of nothing included: money, or tokens where nothing has a price.
fn drawn(report: &UsageReport, width: usize) -> String {
    let days: Vec<(i64, &UsageSums)> = report
        .rows
        .iter()
        .filter_map(|row| match UsageBy::Day.read_key(row.key.as_deref()?) {
            Ok(UsageKey::Number(day)) => Some((day, &row.sums)),
            Ok(UsageKey::Name(_)) | Err(_) => None,
        })
        .collect();
    let (Some((first, _)), Some((last, _))) = (days.first(), days.last()) else {
        return "nothing was spent".to_owned();
    };
    let has_price = report.total.micro_usd.is_some_and(|cost| cost.0 > 0);
    let value = |sums: &UsageSums| {
        if has_price { sums.micro_usd.map_or(0, |cost| cost.0) } else { sums.tokens.0 }
    };
    let show = |value: u64| {
        if has_price { MicroUsd(value).to_string() } else { format!("{value} tokens") }
    };
    let values: BTreeMap<i64, u64> = days.iter().map(|(day, sums)| (*day, value(sums))).collect();
    let point = |day: i64| Point {
        label: UsageKey::Number(day).text(UsageBy::Day),
        value: values.get(&day).copied().unwrap_or_default(),
    };
    let points: Vec<Point> = (*first..=*last).map(point).collect();
    let text = plot(&points, width, show);
    if report.total.calls_unpriced > 0 && has_price {
        let unpriced = report.total.calls_unpriced;
        return format!("{text}{unpriced} calls have no price and are not drawn\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use apflow_model::money::Tokens;

    use super::*;

    fn row(key: &str, input: u64, cost: Option<u64>) -> UsageRow {
        let sums = UsageSums {
            calls: 1,
            tasks: 1,
            tokens_input: Tokens(input),
            tokens: Tokens(input),
            micro_usd: cost.map(MicroUsd),
            calls_unpriced: u64::from(cost.is_none()),
            ..UsageSums::default()
        };
        UsageRow { key: (!key.is_empty()).then(|| key.to_owned()), sums }
    }

    fn report(
        by: UsageBy,
        rows: Vec<UsageRow>,
        UsageRow { sums: total, .. }: UsageRow,
    ) -> UsageReport {
        let (since, until, cursor) = (None, None, None);
        UsageReport { by: Some(by), since, until, rows, total, cursor }
    }

    #[test]
    fn a_field_that_would_be_several_is_quoted_and_an_unknown_cost_is_empty() {
        let rows = vec![row("", 1, Some(0)), row("a,\"b\"", 20, None)];
        let text = csv(&report(UsageBy::Model, rows, row("", 21, Some(0))));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("model,calls,tasks,tokens_input,"), "{text}");
        assert_eq!(lines[1], ",1,1,1,0,0,1,0,0");
        assert_eq!(lines[2], "\"a,\"\"b\"\"\",1,1,20,0,0,20,,1");
    }

    #[test]
    fn what_has_no_price_is_never_shown_as_free() {
        let text = table(&report(UsageBy::Job, vec![row("j", 5, None)], row("", 5, None)));
        assert_eq!(text.matches("unknown").count(), 2, "{text}");
        assert_eq!(text.matches("1 call").count(), 2, "{text}");
    }

    #[test]
    fn days_of_nothing_are_drawn_too() {
        let rows = vec![row("2026-01-30", 5, Some(1_000_000)), row("2026-02-02", 5, Some(500_000))];
        let text = drawn(&report(UsageBy::Day, rows, row("", 10, Some(1_500_000))), 60);
        assert!(text.contains("2026-01-30") && text.contains("2026-02-02"), "{text}");
        let bottom = text.lines().nth(7).unwrap();
        assert!(bottom.ends_with("████        ████"), "{text}");
        let none = report(UsageBy::Day, Vec::new(), row("", 0, Some(0)));
        assert_eq!(drawn(&none, 60), "nothing was spent");
    }
}
