//! The wasmtime engines, their pool of instances, and the thread that ticks their epochs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use apflow_model::limit::Limits;
use wasmtime::{Config, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::error::SandboxError;
use crate::limiter::{CORE_INSTANCES_MAX, MEMORIES_MAX, TABLES_MAX};

/// How often a running guest gives way to other tasks, and so the longest that a spinning guest
/// outlives its time limit or the drop of its future.
const TICK: Duration = Duration::from_millis(5);

/// Memory of a slot that is zeroed by hand between two tenants, not given back to the kernel. Small
/// guests live in it wholly: instantiation then makes no system call.
const KEEP_RESIDENT_BYTES: usize = 256 << 10;

/// The stack of a guest's calls, in bytes.
pub(crate) const STACK_BYTES_MAX: usize = 512 << 10;

/// What code an engine generates. Components are compiled for one profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// One engine a profile, made when it is first needed.
pub(crate) struct Engines {
    instances_max: u32,
    made: Mutex<[Option<Engine>; 4]>,
    ticker: Ticker,
}

impl Engines {
    pub(crate) fn new(instances_max: u32) -> Result<Self, SandboxError> {
        let ticker = Ticker::start().map_err(|error| SandboxError::Engine(error.to_string()))?;
        Ok(Self { instances_max, made: Mutex::default(), ticker })
    }

    pub(crate) fn get(&self, profile: Profile) -> Result<Engine, SandboxError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = &mut made[profile.index()];
        if let Some(engine) = slot {
            return Ok(engine.clone());
        }
        let engine = make(profile, true, self.instances_max)?;
        self.ticker.add(&engine);
        Ok(slot.insert(engine).clone())
    }
}

/// Makes an engine with a pool, or without one where the address space is too small for it.
pub(crate) fn make(
    profile: Profile,
    epochs: bool,
    instances_max: u32,
) -> Result<Engine, SandboxError> {
    let mut config = Config::new();
    config.epoch_interruption(epochs);
    config.consume_fuel(profile.fuel);
    config.max_wasm_stack(STACK_BYTES_MAX);
    config.concurrency_support(profile.concurrency);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(instances_max)));
    Engine::new(&config).or_else(|error| {
        tracing::warn!(%error, "no room for a pool of instances: each one is allocated by itself");
        config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
        // Memories then grow by moving, instead of reserving 4 GiB of addresses each.
        config.memory_reservation(0).memory_guard_size(0).memory_may_move(true);
        Engine::new(&config).map_err(|error| SandboxError::Engine(format!("{error:#}")))
    })
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

/// The thread that ends every guest's time slice.
struct Ticker {
    engines: Arc<Mutex<Vec<EngineWeak>>>,
    is_stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start() -> std::io::Result<Self> {
        let engines = Arc::new(Mutex::new(Vec::<EngineWeak>::new()));
        let is_stopped = Arc::new(AtomicBool::new(false));
        let (ticked, stopped) = (Arc::clone(&engines), Arc::clone(&is_stopped));
        let thread = std::thread::Builder::new().name("epoch-ticker".into()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(TICK);
                let engines = ticked.lock().unwrap_or_else(PoisonError::into_inner);
                engines.iter().filter_map(EngineWeak::upgrade).for_each(|e| e.increment_epoch());
            }
        })?;
        Ok(Self { engines, is_stopped, thread: Some(thread) })
    }

    fn add(&self, engine: &Engine) {
        self.engines.lock().unwrap_or_else(PoisonError::into_inner).push(engine.weak());
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // The thread cannot panic, and nothing is left to be done if it did.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use apflow_model::fault::FaultCode;
    use wasmtime::Store;
    use wasmtime::component::{Component, Instance, Linker};

    use super::*;
    use crate::trap;

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
        let engine = make(PLAIN, false, INSTANCES_MAX).unwrap();
        let component = Component::new(&engine, largest()).unwrap();
        let all: Vec<_> = (0..INSTANCES_MAX).map(|_| instantiate(&component).unwrap()).collect();
        assert_eq!(all.len(), 3);
    }

    #[test]
    fn a_full_pool_is_a_retryable_fault() {
        let engine = make(PLAIN, false, 1).unwrap();
        let component = Component::new(&engine, largest()).unwrap();
        let held = instantiate(&component).unwrap();
        let error = instantiate(&component).err().unwrap();
        let fault = trap::fault(&error, None, &Limits::default(), b"");
        assert_eq!(fault.code, FaultCode::Retryable, "{fault}");
        drop(held);
        instantiate(&component).unwrap();
    }
}
