//! First-party plugin rest_executor.
