//! The engine of apflow-host: what happens to a task.
