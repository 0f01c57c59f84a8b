//! First-party plugin transform_executor.
