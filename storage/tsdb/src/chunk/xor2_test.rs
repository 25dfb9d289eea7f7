//! The XOR2 reader against Prometheus' own bytes and against damage.

use model::{Sample, is_stale_marker};
use proptest::prelude::*;

use super::*;

struct Golden {
    name: &'static str,
    samples: Vec<(i64, Sample)>,
    bytes: Vec<u8>,
}

fn golden() -> Vec<Golden> {
    let read = |line: &'static str| {
        let mut fields = line.split(' ');
        let (name, samples, bytes) = (fields.next().unwrap(), fields.next().unwrap(), fields.next().unwrap());
        Golden { name, samples: samples.split(',').map(read_sample).collect(), bytes: unhex(bytes) }
    };
    include_str!("xor2_golden.txt").lines().filter(|line| !line.starts_with('#')).map(read).collect()
}

fn read_sample(field: &str) -> (i64, Sample) {
    let mut parts = field.split(':');
    let (start, at, bits) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    let value = f64::from_bits(u64::from_str_radix(bits, 16).unwrap());
    (start.parse().unwrap(), Sample { timestamp_ms: at.parse().unwrap(), value })
}

fn unhex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn what_prometheus_wrote_is_read() {
    let golden = golden();
    assert!(golden.iter().flat_map(|case| &case.samples).any(|(_, sample)| is_stale_marker(sample.value)));
    for Golden { name, samples, bytes } in golden {
        let mut reader = Xor2Reader::new(&bytes).unwrap();
        for (index, (start_ms, sample)) in samples.iter().enumerate() {
            let read = reader.next_sample().unwrap().unwrap();
            let context = format!("{name} sample {index}");
            assert_eq!(read.timestamp_ms, sample.timestamp_ms, "{context}");
            assert_eq!(read.value.to_bits(), sample.value.to_bits(), "{context}");
            assert_eq!(reader.start_timestamp_ms(), *start_ms, "{context}");
        }
        assert_eq!(reader.next_sample(), Ok(None));
        let (mut timestamps_ms, mut values) = (vec![7], vec![7.0]);
        decode_xor2(&bytes, &mut timestamps_ms, &mut values).unwrap();
        assert_eq!((timestamps_ms.len(), values.len()), (samples.len() + 1, samples.len() + 1));
        for len in 0..bytes.len() {
            assert!(decode_xor2(&bytes[..len], &mut timestamps_ms, &mut values).is_err(), "{name} {len}");
            assert_eq!((timestamps_ms.len(), values.len()), (samples.len() + 1, samples.len() + 1));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check_damaged(&bytes)?;
    }

    #[test]
    fn mutated_chunks_never_panic(case in 0usize..14, flips in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4)) {
        let mut bytes = golden().swap_remove(case).bytes;
        for (at, byte) in flips {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        check_damaged(&bytes)?;
    }
}

fn check_damaged(bytes: &[u8]) -> Result<(), TestCaseError> {
    let (mut timestamps_ms, mut values) = (Vec::new(), Vec::new());
    let result = decode_xor2(bytes, &mut timestamps_ms, &mut values);
    prop_assert_eq!(timestamps_ms.len(), values.len());
    prop_assert!(timestamps_ms.capacity() <= bytes.len() * 8 + 8);
    prop_assert!(result.is_ok() || values.is_empty());
    Ok(())
}
