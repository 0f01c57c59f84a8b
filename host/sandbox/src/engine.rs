//! The wasmtime engines: those that run components, from a pool of instances, and those that only
//! compile for them.

use std::sync::{Arc, Mutex, PoisonError};

use apflow_model::limit::Limits;
use serde::{Deserialize, Serialize};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::error::SandboxError;
use crate::limiter::{CORE_INSTANCES_MAX, MEMORIES_MAX, TABLES_MAX};
use crate::ticker::Ticker;

/// Memory of a slot that is zeroed by hand between two tenants, not given back to the kernel. Small
/// guests live in it wholly: instantiation then makes no system call.
const KEEP_RESIDENT_BYTES: usize = 256 << 10;

/// The stack of a guest's calls, in bytes.
pub(crate) const STACK_BYTES_MAX: usize = 512 << 10;

/// What code an engine generates. Components are compiled for one profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Profile {
    /// Whether every instruction is counted.
    pub(crate) fuel: bool,
    /// Whether the component model's async built-ins work. They cost every call about a third, so
    /// only components that need them get them.
    pub(crate) concurrency: bool,
}

impl Profile {
    fn index(self) -> usize {
        usize::from(self.fuel) + 2 * usize::from(self.concurrency)
    }
}

/// An engine that runs components.
#[derive(Clone)]
pub(crate) struct Runner {
    pub(crate) engine: Engine,
    /// Whether it has a pool of instances.
    pub(crate) is_pooled: bool,
}

/// One engine a profile, made when it is first needed.
pub(crate) struct Engines {
    instances_max: u32,
    made: Mutex<[Option<Runner>; 4]>,
    pub(crate) ticker: Arc<Ticker>,
}

impl Engines {
    pub(crate) fn new(instances_max: u32) -> Result<Self, SandboxError> {
        let ticker = Ticker::start().map_err(|error| SandboxError::Engine(error.to_string()))?;
        Ok(Self { instances_max, made: Mutex::default(), ticker: Arc::new(ticker) })
    }

    pub(crate) fn get(&self, profile: Profile) -> Result<Runner, SandboxError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = &mut made[profile.index()];
        if let Some(runner) = slot {
            return Ok(runner.clone());
        }
        let runner = make(profile, true, self.instances_max)?;
        self.ticker.add(&runner.engine);
        Ok(slot.insert(runner).clone())
    }
}

/// Makes an engine with a pool, or without one where the address space is too small for it.
pub(crate) fn make(
    profile: Profile,
    epochs: bool,
    instances_max: u32,
) -> Result<Runner, SandboxError> {
    let mut pooled = config(profile, epochs, true);
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(instances_max)));
    match Engine::new(&pooled) {
        Ok(engine) => Ok(Runner { engine, is_pooled: true }),
        Err(error) => {
            tracing::warn!(%error, "no room for a pool: each instance is allocated by itself");
            let engine = engine(&config(profile, epochs, false))?;
            Ok(Runner { engine, is_pooled: false })
        }
    }
}

/// Makes an engine that takes no room for instances. It compiles for those that run components of
/// this profile, with a pool or without.
pub(crate) fn make_compiler(profile: Profile, is_pooled: bool) -> Result<Engine, SandboxError> {
    engine(&config(profile, true, is_pooled))
}

fn engine(config: &Config) -> Result<Engine, SandboxError> {
    Engine::new(config).map_err(|error| SandboxError::Engine(format!("{error:#}")))
}

/// What the code of an engine depends on: the same for the one that compiles as for the one that
/// runs it.
fn config(profile: Profile, epochs: bool, is_pooled: bool) -> Config {
    let mut config = Config::new();
    config.epoch_interruption(epochs);
    config.consume_fuel(profile.fuel);
    config.max_wasm_stack(STACK_BYTES_MAX);
    config.concurrency_support(profile.concurrency);
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    if !is_pooled {
        // Memories then grow by moving, instead of reserving 4 GiB of addresses each.
        config.memory_reservation(0).memory_guard_size(0).memory_may_move(true);
    }
    config
}

/// A pool in which every component finds room for all that one component may have, so that a few
/// large ones cannot starve the others. Room is addresses until it is used.
fn pool(instances_max: u32) -> PoolingAllocationConfig {
    let per_component = |most: usize| u32::try_from(most).unwrap_or(u32::MAX);
    let total = |most: usize| instances_max.saturating_mul(per_component(most));
    let of = |most: u64| usize::try_from(most).unwrap_or(usize::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances_max)
        .total_stacks(instances_max)
        .total_core_instances(total(CORE_INSTANCES_MAX))
        .total_memories(total(MEMORIES_MAX))
        .total_tables(total(TABLES_MAX))
        .max_core_instances_per_component(per_component(CORE_INSTANCES_MAX))
        .max_memories_per_component(per_component(MEMORIES_MAX))
        .max_tables_per_component(per_component(TABLES_MAX))
        .table_elements(of(Limits::TABLE_ELEMENTS_MAX))
        .max_memory_size(of(Limits::MEMORY_BYTES_MAX))
        .max_core_instance_size(1 << 20)
        .max_component_instance_size(1 << 20)
        .max_unused_warm_slots(100)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(KEEP_RESIDENT_BYTES)
        .async_stack_keep_resident(KEEP_RESIDENT_BYTES);
    pool
}

#[cfg(test)]
mod tests {
    use apflow_model::fault::FaultCode;
    use wasmtime::Store;
    use wasmtime::component::{Component, Instance, Linker};

    use super::*;
    use crate::{cache, trap};

    const PLAIN: Profile = Profile { fuel: false, concurrency: false };

    /// A component with as many core instances, tables and memories as one may have.
    fn largest() -> Vec<u8> {
        let instances = |module: &str, count: usize| {
            format!("(core instance (instantiate ${module}))").repeat(count)
        };
        let text = format!(
            "(component
                (core module $table (table 1 funcref))
                (core module $memory (memory 1))
                (core module $nothing)
                {}{}{})",
            instances("table", TABLES_MAX),
            instances("memory", MEMORIES_MAX),
            instances("nothing", CORE_INSTANCES_MAX - TABLES_MAX - MEMORIES_MAX),
        );
        wat::parse_str(text).unwrap()
    }

    fn instantiate(component: &Component) -> wasmtime::Result<(Store<()>, Instance)> {
        let mut store = Store::new(component.engine(), ());
        let instance = Linker::new(component.engine()).instantiate(&mut store, component)?;
        Ok((store, instance))
    }

    #[test]
    fn the_largest_components_cannot_starve_each_other() {
        const INSTANCES_MAX: u32 = 3;
        let engine = make(PLAIN, false, INSTANCES_MAX).unwrap().engine;
        let component = Component::new(&engine, largest()).unwrap();
        let all: Vec<_> = (0..INSTANCES_MAX).map(|_| instantiate(&component).unwrap()).collect();
        assert_eq!(all.len(), 3);
    }

    #[test]
    fn a_full_pool_is_a_retryable_fault() {
        let engine = make(PLAIN, false, 1).unwrap().engine;
        let component = Component::new(&engine, largest()).unwrap();
        let held = instantiate(&component).unwrap();
        let error = instantiate(&component).err().unwrap();
        let fault = trap::fault(&error, None, &Limits::default(), b"");
        assert_eq!(fault.code, FaultCode::Retryable, "{fault}");
        drop(held);
        instantiate(&component).unwrap();
    }

    #[test]
    fn code_of_a_compiler_runs_on_the_engine_it_was_made_for() {
        for fuel in [false, true] {
            let profile = Profile { fuel, concurrency: false };
            let runner = make(profile, true, 1).unwrap();
            assert!(runner.is_pooled);
            let compiler = make_compiler(profile, true).unwrap();
            assert_eq!(cache::hash(&compiler), cache::hash(&runner.engine));
            let other = make_compiler(profile, false).unwrap();
            assert_ne!(cache::hash(&other), cache::hash(&runner.engine));
        }
    }
}
