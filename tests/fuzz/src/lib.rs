//! What reads the bytes of strangers: one function a target, which fails when a promise is broken.
//!
//! `replay.rs` gives them the corpus and thousands of mutations of it in every test run; the package
//! in `cargo-fuzz/` lets a fuzzer look further.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a target panics when it has found something"
)]

mod addresses;
mod cache;
mod manifests;
mod patterns;
mod payloads;

pub use addresses::url_and_address;
pub use cache::code_cache;
pub use manifests::manifest;
pub use patterns::capability;
pub use payloads::payload;

/// A target: it takes any bytes.
pub type Target = fn(&[u8]);

/// Every target by its name, with how many mutations a test run has time for.
pub const TARGETS: [(&str, Target, usize); 5] = [
    ("manifest", manifest, 1_500),
    ("capability", capability, 5_000),
    ("url_and_address", url_and_address, 10_000),
    ("code_cache", code_cache, 150),
    ("payload", payload, 300),
];
