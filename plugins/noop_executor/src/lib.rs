//! First-party plugin noop_executor.
