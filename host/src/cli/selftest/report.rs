//! What the self-test found: a line for each guest, and what the host itself took.

use std::io::Read;

use apflow_model::limit::Bytes;
use cap_std::ambient_authority;
use cap_std::fs::File;
use serde::Serialize;

use super::verdict::Verdict;
use crate::cli::output::{columns, shorten};

/// How much of a reason a table has room for.
const REASON_CHARACTERS_MAX: usize = 100;

/// What the self-test found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    guests: Vec<Verdict>,
    /// The most memory that the host's process held at once. None where the system does not say.
    peak_memory_bytes: Option<u64>,
}

impl Report {
    pub(super) fn new(guests: Vec<Verdict>) -> Self {
        Self { guests, peak_memory_bytes: peak_memory_bytes() }
    }

    /// Whether every guest was contained.
    pub(super) fn is_good(&self) -> bool {
        self.guests.iter().all(|verdict| verdict.contained)
    }

    pub(super) fn text(&self) -> String {
        let row = |verdict: &Verdict| {
            let contained = if verdict.contained { "yes" } else { "NO" };
            let limit = shorten(&verdict.limit, REASON_CHARACTERS_MAX);
            vec![verdict.name.to_owned(), contained.to_owned(), format!("{:.1}", verdict.ms), limit]
        };
        let rows = self.guests.iter().map(row).collect();
        let table = columns(&["GUEST", "CONTAINED", "MS", "HELD BY"], rows, &[2]);
        let contained = self.guests.iter().filter(|verdict| verdict.contained).count();
        let peak = self.peak_memory_bytes.map_or_else(String::new, |bytes| {
            format!("; the host took {} of memory at most", Bytes(bytes))
        });
        format!("{table}\n\n{contained} of {} guests contained{peak}", self.guests.len())
    }
}

/// The most memory that this process held at once, where the system tells it.
fn peak_memory_bytes() -> Option<u64> {
    let mut text = String::new();
    let file = File::open_ambient("/proc/self/status", ambient_authority()).ok()?;
    file.take(1 << 16).read_to_string(&mut text).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}
