//! A host that runs untrusted executors safely, as WASI components.
