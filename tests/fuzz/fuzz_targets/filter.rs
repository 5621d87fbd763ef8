//! Hands what the fuzzer makes up to the target `filter`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| scim_fuzz::targets::filter(data));
