//! What this process is called, and what it uses of its machine, as Linux tells. Elsewhere nothing is
//! shown.

use std::time::Duration;

use apflow_model::metric::Page;
use cap_std::ambient_authority;
use cap_std::fs::Dir;

/// The clock ticks of `/proc`, in milliseconds: Linux has fixed them for all programs.
const TICK_MS: u64 = 10;

/// What people know this process by: its machine and its number there.
pub(crate) fn name() -> String {
    let machine = Dir::open_ambient_dir("/proc/sys/kernel", ambient_authority())
        .and_then(|folder| folder.read_to_string("hostname"));
    // Elsewhere than on Linux, the number has to do.
    let machine = machine.unwrap_or_default();
    format!("{}/{}", machine.trim(), std::process::id())
}

/// Shows the processor time, memory and open files of this process.
pub(crate) fn show_metrics(page: &mut Page) {
    let Some(usage) = read() else { return };
    let help = "Time that the process spent on processors.";
    let cpu = Duration::from_millis(usage.cpu_ticks * TICK_MS);
    page.counter("process_cpu_seconds_total", help).show(&[], cpu.as_secs_f64());
    let help = "Memory of the process that is in RAM.";
    page.gauge("process_resident_memory_bytes", help).show(&[], usage.resident_bytes);
    page.gauge("process_threads", "Threads of the process.").show(&[], usage.threads);
    page.gauge("process_open_fds", "Open files and sockets.").show(&[], usage.open_fds);
    if let Some(fds_max) = usage.fds_max {
        let help = "The most open files and sockets.";
        page.gauge("process_max_fds", help).show(&[], fds_max);
    }
}

struct Usage {
    cpu_ticks: u64,
    resident_bytes: u64,
    threads: u64,
    open_fds: usize,
    fds_max: Option<u64>,
}

fn read() -> Option<Usage> {
    let proc = Dir::open_ambient_dir("/proc/self", ambient_authority()).ok()?;
    let stat = proc.read_to_string("stat").ok()?;
    // The name of the program is in brackets, and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |n: usize| fields.get(n)?.parse::<u64>().ok();
    let status = proc.read_to_string("status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = resident.split_whitespace().next()?.parse().ok()?;
    let limits = proc.read_to_string("limits").unwrap_or_default();
    let fds_max = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    Some(Usage {
        cpu_ticks: field(11)? + field(12)?,
        resident_bytes: kibibytes << 10,
        threads: field(17)?,
        open_fds: proc.read_dir("fd").ok()?.count(),
        fds_max: fds_max.and_then(|max| max.split_whitespace().next()?.parse().ok()),
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_something() {
        let usage = read().unwrap();
        assert!(usage.resident_bytes > 1 << 20);
        assert!(usage.open_fds >= 3 && usage.threads >= 1);
        assert!(usage.fds_max.is_none_or(|max| max >= usage.open_fds as u64));
    }
}
