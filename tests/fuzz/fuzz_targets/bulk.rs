//! Hands what the fuzzer makes up to the target `bulk`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| scim_fuzz::targets::bulk(data));
