//! The host's side of `wit/`, generated.
//!
//! Only the own world is bound here: WASI comes with its own crates.

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "apflow:plugin/executor",
    imports: {
        "apflow:plugin/checkpoint": async | trappable,
        "apflow:plugin/budget.remaining": async | trappable,
        "apflow:plugin/budget.reserve": async | trappable,
        "apflow:plugin/budget.reserve-call": async | trappable,
        "apflow:plugin/budget.[static]reservation.commit": async | trappable,
        "apflow:plugin/log": async | trappable,
        "apflow:plugin/dial.connect": async | trappable,
        "apflow:plugin/dial.[static]connection.secure": async | trappable,
        "apflow:plugin/dial.[static]connection.authenticate-smtp": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "wasi:io": wasmtime_wasi::p2::bindings::io,
        "apflow:plugin/dial.connection": crate::egress::Connection,
        "apflow:plugin/budget.reservation": crate::port::Reservation,
    },
});
