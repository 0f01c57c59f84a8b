//! What the store promises, table by table, on a true file: the same facts as in `postgres.rs`.
//!
//! Each module says `cfg(test)` so that clippy knows its helpers for tests.

#[cfg(test)]
#[path = "on_a_file.rs"]
mod database;

#[cfg(test)]
mod admission;
#[cfg(test)]
mod approvals;
#[cfg(test)]
mod attempts;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod breakers;
#[cfg(test)]
mod budgets;
#[cfg(test)]
mod cache;
#[cfg(test)]
mod cancel;
#[cfg(test)]
mod checkpoints;
#[cfg(test)]
mod concurrency;
#[cfg(test)]
mod cost_policies;
#[cfg(test)]
mod deadlines;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod eager;
#[cfg(test)]
mod events;
#[cfg(test)]
mod fallbacks;
#[cfg(test)]
mod files;
#[cfg(test)]
mod floor;
#[cfg(test)]
mod forests;
#[cfg(test)]
mod host;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod lanes;
#[cfg(test)]
mod leases;
#[cfg(test)]
mod notifications;
#[cfg(test)]
mod opening;
#[cfg(test)]
mod owners;
#[cfg(test)]
mod plugins;
#[cfg(test)]
mod quarantine;
#[cfg(test)]
mod redrive;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod schedules;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod standing;
#[cfg(test)]
mod stock;
#[cfg(test)]
mod task_list;
#[cfg(test)]
mod tasks;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod tool_runs;
#[cfg(test)]
mod usage;
#[cfg(test)]
mod writer;
