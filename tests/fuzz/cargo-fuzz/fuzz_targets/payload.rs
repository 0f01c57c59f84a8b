//! Looks for bytes that break the target `payload`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| apflow_fuzz::payload(bytes));
