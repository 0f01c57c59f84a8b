//! Shrinks the stack of the component: less memory to set up for each attempt. Natively it does
//! nothing.

#[expect(clippy::disallowed_methods, reason = "cargo talks to build scripts in variables")]
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let families = std::env::var("CARGO_CFG_TARGET_FAMILY").unwrap_or_default();
    if families.split(',').any(|family| family == "wasm") {
        println!("cargo:rustc-link-arg-cdylib=-zstack-size=65536");
    }
}
