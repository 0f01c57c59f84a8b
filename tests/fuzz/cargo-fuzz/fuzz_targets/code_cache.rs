//! Looks for bytes that break the target `code_cache`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| apflow_fuzz::code_cache(bytes));
