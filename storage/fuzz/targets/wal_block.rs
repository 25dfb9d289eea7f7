//! Blocks of a segment: headers, and parts of frames under a right checksum.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tsdb::fuzzing::wal_block(bytes));
