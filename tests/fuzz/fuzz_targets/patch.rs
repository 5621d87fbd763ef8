//! Hands what the fuzzer makes up to the target `patch`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| scim_fuzz::targets::patch(data));
