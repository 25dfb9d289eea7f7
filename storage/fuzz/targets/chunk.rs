//! Chunks of every encoding, read in all ways and gone on with.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tsdb::fuzzing::chunk(bytes));
