//! Turns become the bytes of FORMAT.md and are read back from them.

use model::{Offset, PartitionId, Sample, SeriesRef, TenantId};
use proptest::prelude::*;

use super::segment::{SegmentHeader, StreamPosition};
use super::*;
use crate::wal::frame::{Part, PartError, PartHeader};

fn progress() -> Progress {
    let last = Some(RecordIdentity { offset: Offset(41), timestamp_ms: 1000, batch_crc: 0xa1b2_c3d4 });
    Progress {
        partition: PartitionId(3),
        epoch: Epoch(1),
        generation: Generation(2),
        first: Offset(40),
        next: Offset(42),
        last,
    }
}

fn example() -> Turn {
    let mut turn = Turn::new();
    fill(&mut turn);
    turn
}

fn fill(turn: &mut Turn) {
    turn.identity(&LogIdentity { cluster_id: "c".into(), topic_id: [9; 16], topic_name: "t".into() });
    turn.begin(&TenantId::new("ab").unwrap(), PartitionId(3), Epoch(1));
    turn.define(SeriesRef(5), b"LABELS");
    turn.sample(SeriesRef(5), Sample { timestamp_ms: 1000, value: 1.0 });
    turn.sample(SeriesRef(6), Sample { timestamp_ms: 1000, value: 2.0 });
    turn.sample(SeriesRef(4), Sample { timestamp_ms: 999, value: -0.0 });
    turn.progress(&progress());
    turn.reset(&Reset {
        partition: PartitionId(3),
        epoch: Epoch(1),
        generation: Generation(3),
        from: Offset(42),
        to: Offset(-1),
    });
    let position = StartupPosition::Timestamp { unix_ms: -2 };
    turn.position(&PositionNote { partition: PartitionId(3), epoch: Epoch(1), position });
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Everything in a payload, one line each.
fn print(payload: &[u8]) -> Result<Vec<String>, Malformed> {
    let mut lines = Vec::new();
    let mut sections = Sections::new(payload);
    while let Some(section) = sections.next_section()? {
        match section {
            Section::Definitions(mut definitions) => {
                let owner = definitions.owner;
                while let Some((series_ref, labels)) = definitions.next_definition()? {
                    let (tenant, labels) = (owner.tenant, String::from_utf8_lossy(labels));
                    lines.push(format!(
                        "{tenant} {}/{} define {} {labels}",
                        owner.partition, owner.epoch.0, series_ref.0
                    ));
                }
            }
            Section::Samples(mut samples) => {
                let owner = samples.owner;
                while let Some((series_ref, sample)) = samples.next_sample()? {
                    let (tenant, at) = (owner.tenant, sample.timestamp_ms);
                    let value = sample.value;
                    lines.push(format!(
                        "{tenant} {}/{} {} {value:?}@{at}",
                        owner.partition, owner.epoch.0, series_ref.0
                    ));
                }
            }
            Section::Progress(progress) => lines.push(format!("{progress:?}")),
            Section::Identity(identity) => lines.push(format!("{} {}", identity.cluster_id, identity.topic_name)),
            Section::Reset(reset) => lines.push(format!("reset to {} in {}", reset.to, reset.generation.0)),
            Section::Position(note) => lines.push(format!("{note:?}")),
            Section::Cut(note) => lines.push(format!("{note:?}")),
            Section::Forget(note) => lines.push(format!("{note:?}")),
        }
    }
    Ok(lines)
}

/// The bytes that this release writes are those that every later one must read.
#[test]
fn golden_bytes() {
    let mut turn = example();
    let (data, marks) = turn.payload();
    let identity = ["0414", "0163", "09090909090909090909090909090909", "0174"];
    let definitions = ["010e", "0261620301", "01", "0a", "064c4142454c53"];
    let samples = ["0717", "0261620301", "03", "040a010300", "05d00f010100", "1201", "3ff0", "40", "80"];
    assert_eq!(hex(data), [&identity[..], &definitions[..], &samples[..]].concat().concat());
    assert_eq!(
        hex(marks),
        [
            "030d", "030102", "50", "02", "0152", "d00f", "d4c3b2a1", "0505", "030103", "54", "01", "0604", "0301",
            "02", "03"
        ]
        .concat()
    );

    let header = PartHeader { position: StreamPosition { lsn: Lsn(7), part: 0 }, part_count: 1, synced: Lsn(6) };
    let mut part = Vec::new();
    header.encode(SegmentId(2), b"data", b"marks", &mut part);
    let head = "5746524d01010000010000000900000007000000000000000600000000000000";
    assert_eq!(hex(&part[..45]), format!("{head}{}646174616d61726b73", GOLDEN_PART_CRC));
    assert!(part.len() == 4096 && part[45..].iter().all(|byte| *byte == 0));

    let first = StreamPosition { lsn: Lsn(7), part: 1 };
    let header =
        SegmentHeader { shard: model::ShardId(4), segment: SegmentId(2), segment_bytes: 65536, first, synced: Lsn(6) };
    let block = header.encode();
    let head = "57454c4c57414c0a0100040000000000020000000000000000000100000000000700000000000000010000000000000006000000\
                00000000";
    assert_eq!(hex(&block[..56]), head);
    assert!(block[56..].starts_with(b"wellhead "));
    assert_eq!(SegmentHeader::judge(&block, SegmentId(2)), HeaderState::Valid(header));
}

/// Computed by hand from the description, not by the code under test.
const GOLDEN_PART_CRC: &str = "f46c2d33";

#[test]
fn a_turn_reads_back() {
    let mut turn = example();
    let (data, marks) = turn.payload();
    let lines = print(&[data, marks].concat()).unwrap();
    let expected = [
        "c t".to_owned(),
        "ab 3/1 define 5 LABELS".to_owned(),
        "ab 3/1 5 1.0@1000".to_owned(),
        "ab 3/1 6 2.0@1000".to_owned(),
        "ab 3/1 4 -0.0@999".to_owned(),
        format!("{:?}", progress()),
        "reset to -1 in 3".to_owned(),
        "PositionNote { partition: PartitionId(3), epoch: Epoch(1), position: Timestamp { unix_ms: -2 } }".to_owned(),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn cuts_and_forgets_stand_between_samples() {
    let (tenant, partition, epoch) = (TenantId::new("ab").unwrap(), PartitionId(3), Epoch(1));
    let owner = Owner { tenant: "ab", partition, epoch };
    let mut turn = Turn::new();
    let sample = |turn: &mut Turn, series| {
        turn.begin(&tenant, partition, epoch);
        turn.sample(SeriesRef(series), Sample { timestamp_ms: 5, value: 1.0 });
    };
    sample(&mut turn, 9);
    let cut = CutNote { owner, cut: 4, block: 0x0102, before_ms: -7_200_000, next: Offset(9) };
    turn.cut(&cut);
    sample(&mut turn, 9);
    turn.forget(&owner, 3, &[(0, 2), (7, 1)]);
    sample(&mut turn, 2);
    let payload = turn.payload().0;
    let lines = print(payload).unwrap();
    assert_eq!([&lines[0], &lines[2], &lines[4]], ["ab 3/1 9 1.0@5", "ab 3/1 9 1.0@5", "ab 3/1 2 1.0@5"]);
    assert_eq!(lines[1], format!("{cut:?}"));
    assert_eq!(lines[3], format!("{:?}", ForgetNote { owner, cut: 3, survivors: vec![(0, 2), (7, 1)] }));
    assert!(
        hex(payload)
            .contains(&["081b", "0261620301", "04", "00000000000000000000000000000102", "fff3ee06", "12"].concat())
    );
    assert!(hex(payload).contains(&["090a", "0261620301", "03", "00020701"].concat()));
}

#[test]
fn owners_may_alternate_and_a_cleared_turn_is_new() {
    let (a, b) = (TenantId::new("a").unwrap(), TenantId::new("b").unwrap());
    let mut turn = example();
    turn.clear();
    assert!(turn.is_empty() && turn.byte_len() == 0 && turn.sample_count() == 0);
    for (tenant, partition) in [(&a, 0), (&a, 0), (&b, 0), (&a, 1), (&a, 0)] {
        turn.begin(tenant, PartitionId(partition), Epoch(1));
        turn.sample(SeriesRef(7), Sample { timestamp_ms: 5, value: 1.0 });
    }
    assert_eq!(turn.sample_count(), 5);
    let (data, marks) = turn.payload();
    assert!(marks.is_empty());
    let expected = ["a 0/1 7 1.0@5", "a 0/1 7 1.0@5", "b 0/1 7 1.0@5", "a 1/1 7 1.0@5", "a 0/1 7 1.0@5"];
    assert_eq!(print(data).unwrap(), expected);
}

/// What releases before this one wrote.
#[test]
fn samples_of_differences_are_read() {
    let bytes = [
        "0227",
        "0261620301",
        "03",
        "030a0203",
        "04d00f0001",
        "000000000000f03f",
        "0000000000000040",
        "0000000000000080",
    ];
    let text = bytes.concat();
    let payload: Vec<u8> =
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect();
    assert_eq!(print(&payload).unwrap(), ["ab 3/1 5 1.0@1000", "ab 3/1 6 2.0@1000", "ab 3/1 4 -0.0@999"]);
}

/// Of a fleet as the figures know it: a tenth is constant, a fifth noise, the rest counters with a random step.
#[test]
fn a_scraped_sample_takes_less_than_eight_bytes() {
    let mut turn = Turn::new();
    turn.begin(&TenantId::anonymous(), PartitionId(0), Epoch(1));
    for scrape in 0..20 {
        for index in 0..500 {
            let noise = f64::from(index).mul_add(0.37, scrape as f64).sin();
            let value = match index % 10 {
                0 => 1024.0,
                1 | 2 => noise,
                _ => (noise * 10_000_000.0).round(),
            };
            turn.sample(
                SeriesRef(scrape as u32 * 500 + index),
                Sample { timestamp_ms: 1_700_000_000_123 + scrape, value },
            );
        }
    }
    assert!(turn.byte_len() < 8 * 10_000, "{}", turn.byte_len());
    println!("{:.2} bytes a sample", turn.byte_len() as f64 / 10_000.0);
}

#[test]
fn a_warm_turn_keeps_its_buffers() {
    let mut turn = example();
    let expected = hex(turn.payload().0);
    let before = turn.capacity_bytes();
    for _ in 0..3 {
        turn.clear();
        fill(&mut turn);
        assert_eq!(hex(turn.payload().0), expected);
        assert_eq!(turn.capacity_bytes(), before);
    }
}

/// Any, or such as have runs and short values.
fn any_sample() -> impl Strategy<Value = (u32, i64, u64)> {
    prop_oneof![
        (any::<u32>(), any::<i64>(), any::<u64>()),
        (0u32..5, 0i64..2, (0u32..3).prop_map(|value| f64::from(value).to_bits())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_columns_read_back(samples in proptest::collection::vec(any_sample(), 0..50),
                             definitions in proptest::collection::vec((any::<u32>(), proptest::collection::vec(any::<u8>(), 0..300)), 0..9)) {
        let mut turn = Turn::new();
        turn.begin(&TenantId::anonymous(), PartitionId(i32::MAX), Epoch(u32::MAX));
        definitions.iter().for_each(|(series_ref, labels)| turn.define(SeriesRef(*series_ref), labels));
        for (series_ref, timestamp_ms, bits) in &samples {
            turn.sample(SeriesRef(*series_ref), Sample { timestamp_ms: *timestamp_ms, value: f64::from_bits(*bits) });
        }
        let mut read = (Vec::new(), Vec::new());
        let mut sections = Sections::new(turn.payload().0);
        while let Some(section) = sections.next_section().unwrap() {
            match section {
                Section::Definitions(mut found) => while let Some((series_ref, labels)) = found.next_definition().unwrap() {
                    read.0.push((series_ref.0, labels.to_vec()));
                },
                Section::Samples(mut found) => while let Some((series_ref, sample)) = found.next_sample().unwrap() {
                    read.1.push((series_ref.0, sample.timestamp_ms, sample.value.to_bits()));
                },
                other => panic!("{other:?}"),
            }
        }
        prop_assert_eq!(read, (definitions, samples));
    }

    #[test]
    fn arbitrary_payloads_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = print(&bytes);
    }

    #[test]
    fn mutated_payloads_never_panic(at in any::<prop::sample::Index>(), flip in 1u8.., cut in any::<prop::sample::Index>()) {
        let mut turn = example();
        let (data, marks) = turn.payload();
        let mut bytes = [data, marks].concat();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let _ = print(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        let _ = print(&bytes);
    }

    #[test]
    fn a_changed_part_never_passes(at in any::<prop::sample::Index>(), flip in 1u8.., len in 0usize..9000) {
        let header = PartHeader { position: StreamPosition { lsn: Lsn(7), part: 0 }, part_count: 1, synced: Lsn(6) };
        let payload = vec![0x5a; len];
        let mut bytes = Vec::new();
        header.encode(SegmentId(2), &payload, &[], &mut bytes);
        prop_assert_eq!(Part::decode(&bytes, SegmentId(2)).unwrap(), Part { header, payload: &payload[..] });
        prop_assert_eq!(Part::decode(&bytes, SegmentId(3)), Err(PartError::Checksum));
        let at = at.index(frame::PART_HEADER_BYTES + len);
        bytes[at] ^= flip;
        prop_assert!(Part::decode(&bytes, SegmentId(2)).is_err());
        let _ = Part::decode(&bytes[..at], SegmentId(2));
    }

    #[test]
    fn arbitrary_blocks_are_no_parts_and_no_headers(mut bytes in proptest::collection::vec(any::<u8>(), 0..5000), is_framed in any::<bool>()) {
        let magic: &[u8] = if is_framed { b"WFRM" } else { b"WELLWAL\n\x01\0" };
        if bytes.len() > magic.len() {
            bytes[..magic.len()].copy_from_slice(magic);
        }
        prop_assert!(Part::decode(&bytes, SegmentId(1)).is_err());
        prop_assert!(!matches!(SegmentHeader::judge(&bytes, SegmentId(1)), HeaderState::Valid(_)));
    }
}
