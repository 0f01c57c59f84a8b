//! What wit-bindgen generates from `wit/`: the raw contract, without JSON, schemas or WASI.
//!
//! A plugin that must be tiny can build on it: implement
//! `exports::apflow::plugin::run::Guest` and name the type in `export!`. Natively every import is a
//! stub that panics.

#![doc(hidden)]
#![expect(clippy::pedantic, reason = "generated from wit/")]

wit_bindgen::generate!({
    path: "../wit",
    world: "executor",
    pub_export_macro: true,
    default_bindings_module: "apflow_sdk::bindings",
    with: {
        "wasi:io/error@0.2.12": wasip2::io::error,
        "wasi:io/poll@0.2.12": wasip2::io::poll,
        "wasi:io/streams@0.2.12": wasip2::io::streams,
    },
});
