//! Hands what the fuzzer makes up to the target `resource`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| scim_fuzz::targets::resource(data));
