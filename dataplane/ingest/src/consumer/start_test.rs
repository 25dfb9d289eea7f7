//! Whether a log is the one that was consumed, and where its fetched bytes end.

use model::{Offset, PartitionId};
use tsdb::wal::RecordIdentity;

use super::partition::{Framed, frame};
use super::shard_fixture::{MadeRecord, batch};
use super::start::{Recognized, recognize};

const P0: PartitionId = PartitionId(0);

#[test]
fn the_last_record_is_recognized() {
    let records: Vec<_> = (5..8).map(|offset| MadeRecord::of(offset, "a", &[("up", 1.0)])).collect();
    let (before, bytes) = (batch(&[MadeRecord::of(4, "a", &[("up", 1.0)])], 5), batch(&records, 8));
    let batch_crc = u32::from_be_bytes(bytes[17..21].try_into().unwrap());
    let fetched = [before, bytes].concat();
    let last = RecordIdentity { offset: Offset(6), timestamp_ms: 6000, batch_crc };
    #[track_caller]
    fn check(last: RecordIdentity, fetched: &[u8], expected: Result<Recognized, &str>) {
        match (recognize(P0, &last, fetched), expected) {
            (Ok(found), expected) => assert_eq!(Ok(found), expected),
            (Err(mismatch), Err(part)) => assert!(mismatch.to_string().contains(part), "{mismatch}"),
            (Err(mismatch), Ok(_)) => panic!("{mismatch}"),
        }
    }
    check(last, &fetched, Ok(Recognized::Same));
    check(last, &[], Ok(Recognized::Gone));
    check(RecordIdentity { offset: Offset(2), ..last }, &fetched, Ok(Recognized::Gone));
    check(RecordIdentity { offset: Offset(9), ..last }, &fetched, Ok(Recognized::Gone));
    check(RecordIdentity { timestamp_ms: 6001, ..last }, &fetched, Err("another record at offset 6"));
    check(RecordIdentity { batch_crc: 1, ..last }, &fetched, Err("Bring the former log back"));
    let mut damaged = fetched.clone();
    *damaged.last_mut().unwrap() ^= 1;
    check(last, &damaged, Err("another record"));
}

#[test]
fn frames_tell_where_to_go_on() {
    let one = |offset: i64| batch(&[MadeRecord::of(offset, "a", &[("up", 1.0)])], offset + 1);
    #[track_caller]
    fn check(fetched: &[u8], position: i64, high_watermark: i64, expected: Framed) {
        assert_eq!(frame(fetched, Offset(position), Offset(high_watermark)), expected);
    }
    let whole = |next| Framed::Whole { next: Offset(next) };
    let two = [one(0), one(1)].concat();
    check(&two, 0, 2, whole(2));
    check(&two[..two.len() - 1], 0, 2, whole(1));
    check(&two[..30], 0, 2, Framed::Partial);
    check(&two, 2, 2, Framed::Partial);
    check(&two, 0, 1, whole(1));
    check(&two, 0, 0, Framed::Broken);
    let mut bad_length = two.clone();
    bad_length[8] = 0xff;
    check(&bad_length, 0, 2, Framed::Broken);
    let mut bad_magic = two.clone();
    bad_magic[16] = 1;
    check(&bad_magic, 0, 2, whole(2));
}
