//! Hands what the fuzzer makes up to the target `cursor`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| scim_fuzz::targets::cursor(data));
