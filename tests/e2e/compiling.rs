//! Components that are made to keep a compiler busy.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::guests::{path, plugin_folder};
use crate::host::TestHost;
use crate::serving::Serving;

/// Much more than a compilation of the bomb may take here, and much less than it would take.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_component_that_takes_too_long_to_compile_is_refused() {
    let host = TestHost::new();
    let folder = bomb(100_000);
    let start = Instant::now();
    let load = ["load", path(&folder), "--compile-timeout", "500ms"];
    host.run(&load).exits(1).says(&[
        "error[component-refused]: ",
        "compiling it took more than 500 ms",
        "`APFLOW_COMPILE_TIMEOUT`",
    ]);
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    host.holds_nothing();
}

#[test]
fn a_component_with_too_large_a_function_is_not_even_compiled() {
    let host = TestHost::new();
    let folder = bomb(300_000);
    let text = "a function may have at most 1 MiB";
    host.run(&["load", path(&folder)]).exits(1).says(&["error[component-refused]: ", text]);
    host.holds_nothing();
}

#[test]
fn a_host_goes_on_while_it_compiles_what_takes_too_long() {
    let host = TestHost::new();
    let folder = bomb(30_000);
    host.run(&["load", path(&folder)]).succeeds();
    // The next use compiles it again, under a limit that it cannot keep.
    let code = fs::read_dir(host.data().join("code")).unwrap();
    code.for_each(|file| fs::remove_file(file.unwrap().path()).unwrap());
    let serving = Serving::start_with(&host, &[("APFLOW_COMPILE_TIMEOUT", "300ms")]);
    let slowest = std::thread::scope(|scope| {
        let submitting = scope.spawn(|| serving.submit("", &json!({ "executor": "bomb" })));
        let mut slowest = Duration::ZERO;
        while !submitting.is_finished() {
            let start = Instant::now();
            serving.ask("GET /health", None, b"").is(200);
            slowest = slowest.max(start.elapsed());
        }
        let problem = submitting.join().unwrap().problem(422, "component-refused");
        assert!(problem["detail"].as_str().unwrap().contains("more than 300 ms"), "{problem}");
        slowest
    });
    assert!(slowest < Duration::from_secs(1), "the host was away for {slowest:?}");
}

/// A plugin with one function of so many conditions, one in the other. The time to compile it grows
/// with the square of them.
fn bomb(depth: usize) -> TempDir {
    let (open, close) = ("local.get 0 if ".repeat(depth), "end ".repeat(depth));
    let text = format!(
        r#"(component
            (core module $main
                (func (export "run") (result i32) (local i32) {open} {close} i32.const 0))
            (core instance $main (instantiate $main))
            (func $run (result (result)) (canon lift (core func $main "run")))
            (instance $exported (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $exported)))"#
    );
    plugin_folder("bomb", &wat::parse_str(text).unwrap(), "")
}
