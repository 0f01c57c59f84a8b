//! Looks for bytes that break the target `capability`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| apflow_fuzz::capability(bytes));
