//! The figures of a benchmark: rows, ratios, and the machine they were measured on.

use std::collections::BTreeMap;
use std::time::Duration;

use apflow_model::limit::Bytes;
use cap_std::ambient_authority;
use cap_std::fs::File;
use serde::Serialize;
use std::io::Read;

use crate::cli::output::columns;

/// What a benchmark found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    bench: &'static str,
    machine: Machine,
    rows: Vec<Row>,
    /// Ratios of medians, by what is compared; of p99 where it says so.
    ratios: BTreeMap<String, f64>,
    /// How often a second, by the row whose median says how long it takes once.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    a_second: BTreeMap<String, f64>,
    /// What was counted.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    counts: BTreeMap<&'static str, u64>,
    /// The most memory of the host that was in use at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes_peak: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Machine {
    cpu: String,
    cores: usize,
    os: &'static str,
    build: &'static str,
}

/// One thing that was measured.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    name: String,
    unit: &'static str,
    median: f64,
    p99: f64,
    max: f64,
    n: usize,
}

impl Row {
    /// Sums up measured times. None when nothing was measured.
    pub(super) fn new(name: impl Into<String>, times: Vec<Duration>) -> Option<Self> {
        // To the nanosecond: more digits are noise.
        let us = |time: Duration| (time.as_secs_f64() * 1e9).round() / 1e3;
        Self::of(name.into(), "us", times.into_iter().map(us).collect())
    }

    /// Sums up sizes, in bytes. None when nothing was measured.
    pub(super) fn sizes(name: impl Into<String>, sizes: &[Bytes]) -> Option<Self> {
        // To a hundredth.
        let mib = |size: &Bytes| {
            let hundredths = size.0.saturating_mul(100) >> 20;
            f64::from(u32::try_from(hundredths).unwrap_or(u32::MAX)) / 100.0
        };
        Self::of(name.into(), "MiB", sizes.iter().map(mib).collect())
    }

    fn of(name: String, unit: &'static str, mut values: Vec<f64>) -> Option<Self> {
        values.sort_unstable_by(f64::total_cmp);
        let at = |hundredths| values.get(values.len().checked_sub(1)? * hundredths / 100).copied();
        let (median, p99, max) = (at(50)?, at(99)?, at(100)?);
        Some(Self { name, unit, median, p99, max, n: values.len() })
    }
}

impl Report {
    pub(super) fn new(bench: &'static str, rows: Vec<Row>) -> Self {
        let machine = Machine {
            cpu: cpu().unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            os: std::env::consts::OS,
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
        };
        let (ratios, a_second, counts) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { bench, machine, rows, ratios, a_second, counts, memory_bytes_peak: None }
    }

    /// Adds the ratio of two medians, if both rows were measured.
    pub(super) fn ratio(self, name: &str, of: &str, to: &str) -> Self {
        self.add_ratio(name.to_owned(), (of, to), |row| row.median)
    }

    /// Adds the ratio of two p99, if both rows were measured.
    pub(super) fn ratio_p99(self, of: &str, to: &str) -> Self {
        self.add_ratio(format!("p99 {of} / p99 {to}"), (of, to), |row| row.p99)
    }

    fn add_ratio(mut self, name: String, (of, to): (&str, &str), by: fn(&Row) -> f64) -> Self {
        let find = |wanted: &str| self.rows.iter().find(|row| row.name == wanted).map(by);
        if let (Some(of), Some(to)) = (find(of), find(to)) {
            self.ratios.insert(name, of / to);
        }
        self
    }

    /// Adds how often a second it can be done what the median of a row says the time of.
    pub(super) fn a_second(mut self, of: &str) -> Self {
        if let Some(row) = self.rows.iter().find(|row| row.name == of) {
            self.a_second.insert(of.to_owned(), (1e6 / row.median).round());
        }
        self
    }

    /// Adds how often something came about.
    pub(super) fn count(mut self, what: &'static str, times: u64) -> Self {
        self.counts.insert(what, times);
        self
    }

    /// Adds the most memory that this process had so far, where the system tells it.
    pub(super) fn with_memory(self) -> Self {
        Self { memory_bytes_peak: memory_of("VmHWM").map(|memory| memory.0), ..self }
    }

    pub(super) fn text(&self) -> String {
        let row = |row: &Row| {
            vec![
                row.name.clone(),
                if row.unit == "us" { "µs".to_owned() } else { row.unit.to_owned() },
                format!("{:.1}", row.median),
                format!("{:.1}", row.p99),
                format!("{:.1}", row.max),
                row.n.to_string(),
            ]
        };
        let rows = self.rows.iter().map(row).collect();
        let table = columns(&["", "", "MEDIAN", "P99", "MAX", "N"], rows, &[2, 3, 4, 5]);
        let ratios = self.ratios.iter();
        let ratios =
            ratios.fold(String::new(), |text, (name, ratio)| format!("{text}\n{name}: {ratio:.2}"));
        let rates = self.a_second.iter();
        let rates = rates.fold(String::new(), |text, (name, rate)| {
            format!("{text}\n{name}: {rate:.0} a second")
        });
        let counts = self.counts.iter();
        let counts = counts.fold(String::new(), |text, (what, n)| format!("{text}\n{what}: {n}"));
        let memory = self
            .memory_bytes_peak
            .map(|bytes| format!("\nthe host had at most {} of memory", Bytes(bytes)));
        let memory = memory.unwrap_or_default();
        let Machine { cpu, cores, os, build } = &self.machine;
        let warning = if *build == "debug" {
            "\nThis is a debug build: its figures say little. Build with --release to measure."
        } else {
            ""
        };
        format!(
            "{cpu}, {cores} cores, {os}, {build} build\n\n{table}\n{rates}{ratios}{counts}{memory}{warning}"
        )
    }
}

/// How much memory this process has now, where the system tells it.
pub(super) fn memory() -> Option<Bytes> {
    memory_of("VmRSS")
}

fn memory_of(what: &str) -> Option<Bytes> {
    let line = line_of("/proc/self/status", what)?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Bytes(kib * 1024))
}

/// The name of the processor, where the system tells it.
fn cpu() -> Option<String> {
    Some(line_of("/proc/cpuinfo", "model name")?.trim().to_owned())
}

/// What the system says of something in one of its files of lines `name: value`.
fn line_of(file: &str, name: &str) -> Option<String> {
    let mut text = String::new();
    let file = File::open_ambient(file, ambient_authority()).ok()?;
    file.take(1 << 16).read_to_string(&mut text).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.to_owned())
}
