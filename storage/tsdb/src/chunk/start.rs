//! Start timestamps: since when a counter counts, beside each sample. Read only; written by newer Prometheus versions.
//!
//! The first sample has its distance to its start as varint, if the start byte says so. From the first change on each sample
//! has, as varbit, the distance of the *previous* sample's timestamp to its own start: the first of them as it is, later ones
//! as the difference to the distance before. Source: Prometheus `tsdb/chunkenc/st.go` and `xor2.go`.

use super::varbit::BitReader;

const FIRST_KNOWN: u8 = 0x80;

#[derive(Clone, Copy, Default, Debug)]
pub struct StartReader {
    has_first: bool,
    /// Index of the first sample whose start differs from the one before; 0 for none.
    changes_from: u16,
    distance_ms: i64,
    start_ms: i64,
}

impl StartReader {
    pub fn new(byte: u8) -> Self {
        Self {
            has_first: byte & FIRST_KNOWN != 0,
            changes_from: u16::from(byte & !FIRST_KNOWN),
            distance_ms: 0,
            start_ms: 0,
        }
    }

    /// The start of the sample read last; 0 if it is not known.
    pub fn start_ms(&self) -> i64 {
        self.start_ms
    }

    /// Reads what stands behind sample `index` (from 0). False if no writer makes such bits.
    #[must_use]
    pub fn read(&mut self, reader: &mut BitReader<'_>, index: u16, timestamp_ms: i64, previous_ms: i64) -> bool {
        if index == 0 {
            if self.has_first {
                let Some(distance_ms) = reader.varint_int() else { return false };
                self.start_ms = timestamp_ms.wrapping_sub(distance_ms);
            }
            return true;
        }
        if self.changes_from == 0 || index < self.changes_from {
            return true;
        }
        let change_ms = reader.varbit_int();
        self.distance_ms =
            if index == self.changes_from { change_ms } else { self.distance_ms.wrapping_add(change_ms) };
        self.start_ms = previous_ms.wrapping_sub(self.distance_ms);
        true
    }
}
