//! Limits on what one store may hold: linear memory, tables, instances.

use apflow_model::limit::Breach;
use wasmtime::{ResourceLimiter, Result};

/// The most elements of one table. Function tables of large programs have tens of thousands.
pub(crate) const TABLE_ELEMENTS_MAX: usize = 100_000;
/// The most core instances of one component: the largest known toolchain, `componentize-py`, makes
/// 38.
pub(crate) const CORE_INSTANCES_MAX: usize = 60;
/// The most tables of one component.
pub(crate) const TABLES_MAX: usize = 20;
/// The most linear memories of one component.
pub(crate) const MEMORIES_MAX: usize = 4;

/// Refuses growth over the limits, and remembers the peak and the first refusal.
///
/// A refused growth is no trap: the guest sees `-1`, as by its own specification, and may do with
/// less. If the attempt then ends badly, the refusal is the reason that is reported.
pub(crate) struct Limiter {
    memory_bytes_max: u64,
    memory_bytes: u64,
    pub(crate) memory_bytes_peak: u64,
    pub(crate) breach: Option<Breach>,
}

impl Limiter {
    pub(crate) fn new(memory_bytes_max: u64) -> Self {
        Self { memory_bytes_max, memory_bytes: 0, memory_bytes_peak: 0, breach: None }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, now: usize, wanted: usize, _: Option<usize>) -> Result<bool> {
        // The limit is on all memories of the store together: a component has one memory for each
        // of its core modules.
        let total = self.memory_bytes.saturating_add((wanted - now) as u64);
        if total > self.memory_bytes_max {
            self.breach.get_or_insert(Breach::Memory(self.memory_bytes_max));
            return Ok(false);
        }
        self.memory_bytes = total;
        self.memory_bytes_peak = self.memory_bytes_peak.max(total);
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, wanted: usize, _: Option<usize>) -> Result<bool> {
        if wanted > TABLE_ELEMENTS_MAX {
            self.breach.get_or_insert(Breach::Table(TABLE_ELEMENTS_MAX as u64));
            return Ok(false);
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_share_one_limit_and_the_peak_is_kept() {
        let mut limiter = Limiter::new(100);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(0, 40, None).unwrap());
        assert!(!limiter.memory_growing(40, 41, None).unwrap());
        assert_eq!(limiter.memory_bytes_peak, 100);
        assert_eq!(limiter.breach, Some(Breach::Memory(100)));
    }

    #[test]
    fn a_table_has_a_fixed_limit() {
        let mut limiter = Limiter::new(100);
        assert!(limiter.table_growing(0, TABLE_ELEMENTS_MAX, None).unwrap());
        assert!(!limiter.table_growing(0, TABLE_ELEMENTS_MAX + 1, None).unwrap());
    }
}
