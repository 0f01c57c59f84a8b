//! The host's side of `wit/`, generated.
//!
//! Only the own world is bound here: WASI comes with its own crates.

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "apflow:plugin/executor",
    imports: {
        "apflow:plugin/checkpoint": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "apflow:plugin/budget.reservation": crate::reservation::Reservation,
    },
});
