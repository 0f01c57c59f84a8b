//! What wit-bindgen generates from `wit/`.

#![doc(hidden)]
#![expect(clippy::pedantic, reason = "generated from wit/")]

wit_bindgen::generate!({
    path: "../../wit",
    world: "executor",
    pub_export_macro: true,
    default_bindings_module: "apflow_guests::bindings",
    with: {
        "wasi:io/error@0.2.12": wasip2::io::error,
        "wasi:io/poll@0.2.12": wasip2::io::poll,
        "wasi:io/streams@0.2.12": wasip2::io::streams,
    },
});
