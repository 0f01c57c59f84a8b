//! The sandbox of apflow-host: all wasmtime, and nothing else.
