//! What wit-bindgen generates from `wit/`.

#![doc(hidden)]
#![expect(clippy::pedantic, reason = "generated from wit/")]

wit_bindgen::generate!({
    path: "../../wit",
    world: "executor",
    pub_export_macro: true,
    default_bindings_module: "apflow_guests::bindings",
});
