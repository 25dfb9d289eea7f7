//! The XOR chunk against Prometheus' own bytes, against itself, and against damage.

use model::{Sample, stale_marker};
use proptest::prelude::*;

use super::*;

fn sample(timestamp_ms: i64, value: f64) -> Sample {
    Sample { timestamp_ms, value }
}

/// Marsaglia's xorshift64 (13, 7, 17), as in the Go program that printed the golden bytes.
struct Xorshift(u64);

impl Xorshift {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

const START_MS: i64 = 1_700_000_000_000;

/// The samples behind each line of `xor_golden.txt`.
fn golden_samples() -> Vec<(&'static str, Vec<Sample>)> {
    let mut random = Xorshift(88_172_645_463_325_252);
    let mut at_ms = START_MS;
    let mut noise = Vec::new();
    for _ in 0..120 {
        at_ms += 15_000 + (random.next() % 200) as i64 - 100;
        noise.push(sample(at_ms, (random.next() % 1_000_000) as f64 / 1000.0));
    }
    let mut at_ms = START_MS;
    let mut bits = Vec::new();
    for _ in 0..120 {
        let gap = random.next();
        at_ms += 1 + (gap >> (random.next() % 40 + 20)) as i64;
        bits.push(sample(at_ms, f64::from_bits(random.next())));
    }
    vec![
        ("single", vec![sample(START_MS, 1.5)]),
        ("two", vec![sample(START_MS, 1.5), sample(START_MS + 15_000, 1.5)]),
        ("counter", (0..120).map(|i| sample(START_MS + 15_000 * i, (10 * i) as f64)).collect()),
        ("constant", (0..120).map(|i| sample(-3_600_000 + 60_000 * i, 42.0)).collect()),
        ("buckets", bucket_bounds()),
        ("values", special_values().into_iter().zip(0..).map(|(value, at_ms)| sample(at_ms, value)).collect()),
        ("extremes", vec![sample(i64::MIN, 1.0), sample(-1, 2.0), sample(0, 3.0), sample(i64::MAX, 4.0)]),
        ("noise", noise),
        ("bits", bits),
        ("clamp", small_changes()),
    ]
}

/// Deltas of delta on both sides of the bounds of each field width.
fn bucket_bounds() -> Vec<Sample> {
    let changes: [i64; 17] = [
        0,
        8192,
        -8191,
        8193,
        -8192,
        65_536,
        -65_535,
        65_537,
        -65_536,
        524_288,
        -524_287,
        524_289,
        -524_288,
        1 << 33,
        -(1 << 33),
        1,
        -1,
    ];
    let mut delta_ms = 1 << 40;
    let mut at_ms = START_MS + delta_ms;
    let mut samples = vec![sample(START_MS, 0.0), sample(at_ms, 0.0)];
    for (index, change) in changes.into_iter().enumerate() {
        delta_ms += change;
        at_ms += delta_ms;
        samples.push(sample(at_ms, index as f64 / 3.0));
    }
    samples
}

/// Changes of few low bits, around the 31 leading zeros that a window can say at most.
fn small_changes() -> Vec<Sample> {
    let mut bits = 42f64.to_bits();
    let flips: [u64; 9] = [0, 1 << 33, 1 << 32, 1 << 31, 1 << 20, 1, 1 << 40, 1 << 31, 3 << 30];
    let mut flipped = |(index, flip): (usize, u64)| {
        bits ^= flip;
        sample(index as i64 * 1000, f64::from_bits(bits))
    };
    flips.into_iter().enumerate().map(&mut flipped).collect()
}

fn special_values() -> Vec<f64> {
    let of = f64::from_bits;
    vec![
        0.0,
        -0.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        of(0x7ff8_0000_0000_0001),
        stale_marker(),
        of(0xfff8_0000_0000_0003),
        of(1),
        f64::MAX,
        of(0x8000_0000_0000_0001),
        of(0x7fff_ffff_ffff_fffe),
        1.0,
        1.0,
        -1.0,
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn bytes_are_those_of_prometheus() {
    let golden: Vec<(&str, &str)> = include_str!("xor_golden.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once(' ').expect("name and bytes"))
        .collect();
    let cases = golden_samples();
    assert_eq!(golden.len(), cases.len());
    for ((name, bytes), (case, samples)) in golden.into_iter().zip(cases) {
        assert_eq!(name, case);
        assert_eq!(hex(&encode_xor(&samples)), bytes, "{name}");
        check_round_trip(&samples);
    }
}

#[track_caller]
fn check_round_trip(samples: &[Sample]) {
    let bytes = encode_xor(samples);
    let (mut timestamps_ms, mut values) = (vec![7], vec![7.0]);
    decode_xor(&bytes, &mut timestamps_ms, &mut values).unwrap();
    assert_eq!((timestamps_ms[0], values[0]), (7, 7.0), "what the columns held stays");
    let decoded: Vec<(i64, u64)> =
        timestamps_ms[1..].iter().zip(&values[1..]).map(|(at, value)| (*at, value.to_bits())).collect();
    let expected: Vec<(i64, u64)> = samples.iter().map(|s| (s.timestamp_ms, s.value.to_bits())).collect();
    assert_eq!(decoded, expected);
}

/// A full chunk of the longest samples must fit what the head reserves for one.
#[test]
fn the_longest_chunk_is_known() {
    let mut random = Xorshift(1);
    let samples: Vec<Sample> =
        (0..120).map(|_| sample(random.next().cast_signed(), f64::from_bits(random.next() | (1 << 63) | 1))).collect();
    let bytes = encode_xor(&samples);
    assert!(bytes.len() <= crate::head::CHUNK_BYTES_MAX, "{}", bytes.len());
    check_round_trip(&samples);
}

#[test]
fn damage_is_an_error() {
    let samples = &golden_samples()[7].1;
    let bytes = encode_xor(samples);
    for len in 0..bytes.len() {
        let (mut timestamps_ms, mut values) = (Vec::new(), Vec::new());
        assert!(decode_xor(&bytes[..len], &mut timestamps_ms, &mut values).is_err(), "{len}");
        assert!(timestamps_ms.is_empty() && values.is_empty());
    }
    let endless_varint = [&[0, 1][..], &[0xff; 30]].concat();
    assert_eq!(
        decode_xor(&endless_varint, &mut Vec::new(), &mut Vec::new()),
        Err(ChunkError::Malformed { sample: 0, count: 1 })
    );
    // 31 leading zeros and a width of 63 do not go into 64 bits.
    let mut too_wide = encode_xor(&samples[..2]);
    too_wide[1] = 2;
    let second_value = too_wide.len() * 8;
    too_wide.truncate(2 + 6 + 8 + 2);
    too_wide.extend([0b1111_1111, 0b1111_1000, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert!(second_value > 0);
    assert_eq!(
        decode_xor(&too_wide, &mut Vec::new(), &mut Vec::new()),
        Err(ChunkError::Malformed { sample: 1, count: 2 })
    );
}

fn any_value() -> impl Strategy<Value = f64> {
    let special = special_values();
    prop_oneof![
        4 => any::<u64>().prop_map(f64::from_bits),
        4 => (-1000i32..1000).prop_map(f64::from),
        1 => (0..special.len()).prop_map(move |index| special[index]),
    ]
}

/// Steps of all sizes, back in time included: the codec does not judge.
fn any_samples() -> impl Strategy<Value = Vec<Sample>> {
    let step = prop_oneof![4 => Just(15_000i64), 2 => -20_000i64..20_000, 2 => -600_000i64..600_000, 1 => any::<i64>()];
    (any::<i64>(), proptest::collection::vec((step, any_value()), 0..=120)).prop_map(|(start, steps)| {
        let mut at_ms = start;
        let mut next = |(step, value)| {
            at_ms = at_ms.wrapping_add(step);
            sample(at_ms, value)
        };
        steps.into_iter().map(&mut next).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn samples_come_back_bit_for_bit(samples in any_samples()) {
        check_round_trip(&samples);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (mut timestamps_ms, mut values) = (Vec::new(), Vec::new());
        let result = decode_xor(&bytes, &mut timestamps_ms, &mut values);
        prop_assert_eq!(timestamps_ms.len(), values.len());
        prop_assert!(timestamps_ms.capacity() <= bytes.len() * 4 + 4);
        prop_assert!(result.is_ok() || values.is_empty());
    }

    #[test]
    fn mutated_chunks_never_panic(samples in any_samples(), flips in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4)) {
        let mut bytes = encode_xor(&samples);
        for (at, byte) in flips {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let (mut timestamps_ms, mut values) = (Vec::new(), Vec::new());
        let _ = decode_xor(&bytes, &mut timestamps_ms, &mut values);
        prop_assert_eq!(timestamps_ms.len(), values.len());
    }
}

#[test]
fn a_finished_chunk_is_gone_on_with_as_if_it_had_never_ended() {
    for (name, samples) in golden_samples() {
        let whole = encode_xor(&samples);
        for cut in 1..samples.len() {
            let mut bytes = encode_xor(&samples[..cut]);
            let mut appender = XorAppender::resume(&bytes).unwrap();
            assert_eq!((usize::from(appender.count()), appender.byte_len()), (cut, bytes.len()), "{name} at {cut}");
            bytes.resize(whole.len() + SAMPLE_BYTES_MAX, 0xff);
            samples[cut..].iter().for_each(|sample| appender.append(&mut bytes, *sample));
            appender.finish(&mut bytes);
            bytes.truncate(appender.byte_len());
            assert_eq!(bytes, whole, "{name} at {cut}");
        }
        assert!(XorAppender::resume(&whole[..whole.len() - 1]).is_err(), "{name}: the end is missing");
        assert!(XorAppender::resume(&[&whole[..], &[0]].concat()).is_err(), "{name}: more than a chunk");
    }
}
