//! Definitions and contents of a head.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tsdb::fuzzing::checkpoint(bytes));
