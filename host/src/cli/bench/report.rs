//! The figures of a benchmark: rows, ratios, and the machine they were measured on.

use std::collections::BTreeMap;
use std::time::Duration;

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
    /// Ratios of medians, by what is compared.
    ratios: BTreeMap<&'static str, f64>,
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
    name: &'static str,
    unit: &'static str,
    median: f64,
    p99: f64,
    n: usize,
}

impl Row {
    /// Sums up measured times. None when nothing was measured.
    pub(super) fn new(name: &'static str, mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let at = |hundredths: usize| times.get((times.len().checked_sub(1)?) * hundredths / 100);
        // To the nanosecond: more digits are noise.
        let us = |time: &Duration| (time.as_secs_f64() * 1e9).round() / 1e3;
        let (median, p99) = (us(at(50)?), us(at(99)?));
        Some(Self { name, unit: "us", median, p99, n: times.len() })
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
        Self { bench, machine, rows, ratios: BTreeMap::new() }
    }

    /// Adds the ratio of two medians, if both rows were measured.
    pub(super) fn ratio(mut self, name: &'static str, of: &str, to: &str) -> Self {
        let median =
            |wanted: &str| self.rows.iter().find(|row| row.name == wanted).map(|r| r.median);
        if let (Some(of), Some(to)) = (median(of), median(to)) {
            self.ratios.insert(name, of / to);
        }
        self
    }

    pub(super) fn text(&self) -> String {
        let row = |row: &Row| {
            vec![
                row.name.to_owned(),
                format!("{:.1}", row.median),
                format!("{:.1}", row.p99),
                row.n.to_string(),
            ]
        };
        let rows = self.rows.iter().map(row).collect();
        let table = columns(&["", "MEDIAN µs", "P99 µs", "N"], rows, &[1, 2, 3]);
        let ratios = self.ratios.iter();
        let ratios =
            ratios.fold(String::new(), |text, (name, ratio)| format!("{text}\n{name}: {ratio:.2}"));
        let Machine { cpu, cores, os, build } = &self.machine;
        let warning = if *build == "debug" {
            "\nThis is a debug build: its figures say little. Build with --release to measure."
        } else {
            ""
        };
        format!("{cpu}, {cores} cores, {os}, {build} build\n\n{table}\n{ratios}{warning}")
    }
}

/// The name of the processor, where the system tells it.
fn cpu() -> Option<String> {
    let mut text = String::new();
    let file = File::open_ambient("/proc/cpuinfo", ambient_authority()).ok()?;
    file.take(1 << 16).read_to_string(&mut text).ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
