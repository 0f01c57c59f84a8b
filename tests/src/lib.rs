//! End-to-end tests of apflow-host.
