//! Limits on what one store may hold: linear memory, tables, instances.

use apflow_model::limit::{Breach, Limits};
use wasmtime::{ResourceLimiter, Result};

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
    table_elements_max: u64,
    memory_bytes: u64,
    pub(crate) memory_bytes_peak: u64,
    pub(crate) breach: Option<Breach>,
}

impl Limiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory_bytes_max: limits.memory_bytes,
            table_elements_max: limits.table_elements,
            memory_bytes: 0,
            memory_bytes_peak: 0,
            breach: None,
        }
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
        if wanted as u64 > self.table_elements_max {
            self.breach.get_or_insert(Breach::Table(self.table_elements_max));
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

    fn limiter() -> Limiter {
        Limiter::new(&Limits { memory_bytes: 100, table_elements: 7, ..Limits::default() })
    }

    #[test]
    fn memories_share_one_limit_and_the_peak_is_kept() {
        let mut limiter = limiter();
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(0, 40, None).unwrap());
        assert!(!limiter.memory_growing(40, 41, None).unwrap());
        assert_eq!(limiter.memory_bytes_peak, 100);
        assert_eq!(limiter.breach, Some(Breach::Memory(100)));
    }

    #[test]
    fn each_table_has_a_limit() {
        let mut limiter = limiter();
        assert!(limiter.table_growing(0, 7, None).unwrap());
        assert!(!limiter.table_growing(0, 8, None).unwrap());
        assert_eq!(limiter.breach, Some(Breach::Table(7)));
    }
}
