//! Looks for bytes that break the target `url_and_address`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| apflow_fuzz::url_and_address(bytes));
