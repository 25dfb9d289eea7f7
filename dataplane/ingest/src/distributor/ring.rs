//! Which partition a token belongs to: 512 tokens per partition, spread so that every partition owns the same share.
//!
//! The tokens of partition n follow from those of 0..n-1 alone, so every node computes the same ring. Source: Mimir's
//! spread-minimising tokens; vectors in the tests were printed by a real Mimir.

use std::collections::BinaryHeap;

use model::PartitionId;

const TOKENS_PER_PARTITION: usize = 512;
/// Tokens are multiples of this (Mimir keeps the remainders for zones).
const SPACING: u64 = 8;
const RING_END: u64 = 1 << 32;

/// All partitions active, numbered from 0.
#[derive(Clone, Debug)]
pub struct PartitionRing {
    /// Sorted; beside each token its partition.
    tokens: Vec<u32>,
    owners: Vec<PartitionId>,
    /// For each value of a token's upper bits, where to begin to look.
    starts: Vec<u32>,
    start_shift: u32,
    partitions: u32,
}

/// About one start per token, between these: more than 256 KiB of starts would push other things out of the cache.
const START_BITS: std::ops::RangeInclusive<u32> = 9..=16;

impl PartitionRing {
    /// The ring of `partitions` active partitions.
    ///
    /// # Panics
    /// There is no partition.
    #[must_use]
    pub fn new(partitions: u32) -> Self {
        assert!(partitions > 0, "a ring has partitions");
        let mut pairs: Vec<(u32, PartitionId)> = partition_tokens(partitions)
            .into_iter()
            .zip(0..)
            .flat_map(|(tokens, partition)| tokens.into_iter().map(move |token| (token, PartitionId(partition))))
            .collect();
        pairs.sort_unstable();
        let tokens: Vec<u32> = pairs.iter().map(|(token, _)| *token).collect();
        let start_bits = tokens.len().ilog2().clamp(*START_BITS.start(), *START_BITS.end());
        let start_shift = u32::BITS - start_bits;
        let starts = (0..1u32 << start_bits)
            .map(|upper| tokens.partition_point(|token| *token < upper << start_shift) as u32)
            .collect();
        let owners = pairs.into_iter().map(|(_, partition)| partition).collect();
        Self { tokens, owners, starts, start_shift, partitions }
    }

    /// How many partitions there are, numbered from 0.
    #[must_use]
    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    /// The owner of the first ring token above `key`, around the end.
    #[must_use]
    #[inline]
    pub fn partition_of(&self, key: u32) -> PartitionId {
        let mut index = self.starts[(key >> self.start_shift) as usize] as usize;
        while index < self.tokens.len() && self.tokens[index] <= key {
            index += 1;
        }
        self.owners[if index == self.tokens.len() { 0 } else { index }]
    }
}

/// A part of the ring that belongs to one token: it ends at the token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct TokenRange {
    /// Share of the ring; first, because the largest is taken first, the higher token on a tie.
    size: u64,
    token: u64,
}

/// A partition's share of the ring and its token ranges.
#[derive(Debug)]
struct Owner {
    size: u64,
    partition: usize,
    ranges: BinaryHeap<TokenRange>,
}

impl Owner {
    /// The largest owner is taken first, the higher partition on a tie.
    fn key(&self) -> (u64, usize) {
        (self.size, self.partition)
    }
}

impl PartialEq for Owner {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Owner {}

impl PartialOrd for Owner {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Owner {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// The sorted tokens of partitions `0..partitions`.
fn partition_tokens(partitions: u32) -> Vec<Vec<u32>> {
    let step = RING_END / TOKENS_PER_PARTITION as u64;
    let first: Vec<u64> = (0..TOKENS_PER_PARTITION as u64).map(|index| index * step).collect();
    let ranges = first.iter().map(|token| TokenRange { size: step, token: *token }).collect();
    let mut owners = BinaryHeap::from([Owner { size: RING_END, partition: 0, ranges }]);
    let mut all = vec![to_sorted(first)];
    for partition in 1..partitions as usize {
        all.push(to_sorted(add_partition(partition, &mut owners)));
    }
    all
}

fn to_sorted(tokens: Vec<u64>) -> Vec<u32> {
    let mut tokens: Vec<u32> = tokens.into_iter().map(|token| token as u32).collect();
    tokens.sort_unstable();
    tokens
}

/// Takes 512 parts from the largest owners until the new one has its share.
fn add_partition(partition: usize, owners: &mut BinaryHeap<Owner>) -> Vec<u64> {
    let target = RING_END as f64 / (partition + 1) as f64;
    let mut own = Owner { size: 0, partition, ranges: BinaryHeap::with_capacity(TOKENS_PER_PARTITION) };
    let mut tokens = Vec::with_capacity(TOKENS_PER_PARTITION);
    let mut set_aside = Vec::new();
    while tokens.len() < TOKENS_PER_PARTITION {
        let remaining = (TOKENS_PER_PARTITION - tokens.len()) as u64;
        let share = ((target - own.size as f64) as u64 / remaining) / SPACING * SPACING;
        let mut donor = owners.pop().expect("the ring has ranges to give as long as shares shrink with its owners");
        let Some(range) = donor.ranges.peek().copied().filter(|range| range.size > share) else {
            set_aside.push(donor);
            continue;
        };
        donor.ranges.pop();
        let start = (range.token + RING_END - range.size) % RING_END;
        let token = (start + share) % RING_END;
        donor.ranges.push(TokenRange { size: range.size - share, token: range.token });
        donor.size -= share;
        owners.push(donor);
        own.ranges.push(TokenRange { size: share, token });
        own.size += share;
        tokens.push(token);
    }
    owners.extend(set_aside);
    owners.push(own);
    tokens
}

#[cfg(test)]
mod tests {
    use md5::{Digest, Md5};

    use super::*;

    #[test]
    fn tokens_are_those_of_mimir() {
        let all = partition_tokens(64);
        let check = |partition: usize, first: &[u32], last: u32, md5: &str| {
            let tokens = &all[partition];
            assert_eq!(
                (tokens.len(), &tokens[..first.len()], tokens[511]),
                (512, first, last),
                "partition {partition}"
            );
            let bytes: Vec<u8> = tokens.iter().flat_map(|token| token.to_be_bytes()).collect();
            let digest: String = Md5::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(digest, md5, "partition {partition}");
        };
        check(0, &[0, 8_388_608], 4_286_578_688, "6b971a2f037eaa105da53abe2703e5ae");
        check(1, &[4_194_304, 12_582_912], 4_290_772_992, "f041b968f5c1b577eb9d6c462b558e37");
        check(2, &[2_146_085_552, 2_150_279_856], 4_289_374_888, "28de9cd52054b4553ae48ddf5c5fdc14");
        check(3, &[710_934_528, 715_128_832], 2_854_223_872, "ffae5ff10764b0ab57c5f1fbd22f924d");
        check(4, &[1_677_720, 5_872_024], 4_292_450_712, "0f5dec9ca0c219881299b30cb745310c");
        check(5, &[3_075_824, 7_270_128], 4_293_848_816, "26cc11a90ccad5f2e27b16396fae8db9");
        check(6, &[930_236_712, 934_431_016], 4_293_649_080, "5c615d2aa1be2ad335e5f5f5409b5c08");
        check(7, &[711_983_104, 716_177_408], 4_290_423_464, "466f143c1a4544b06ff5f351f76de761");
        check(31, &[1_939_864, 6_134_168], 4_294_756_240, "024c8131b63f3e23d93a13be706a6d04");
        check(63, &[5_569_840, 9_764_144], 4_293_549_696, "5ff5da536957f1b14ee3deb0611c5ecb");
    }

    #[test]
    fn keys_find_their_partition() {
        let keys = [0, 1, 3_956_040_770, 4_177_082_779, 1_702_105_791, 1_612_714_009, u32::MAX];
        for (partitions, expected) in
            [(4, [1, 1, 2, 0, 0, 1, 0]), (8, [4, 4, 7, 7, 5, 6, 0]), (64, [59, 59, 60, 7, 5, 44, 0]), (1, [0; 7])]
        {
            let ring = PartitionRing::new(partitions);
            assert_eq!(keys.map(|key| ring.partition_of(key).0), expected, "{partitions} partitions");
        }
    }

    #[test]
    fn every_key_finds_the_next_token() {
        for partitions in [1, 2, 3, 100, 300] {
            let ring = PartitionRing::new(partitions);
            let around = |token: &u32| [token.wrapping_sub(1), *token, token.wrapping_add(1)];
            for key in ring.tokens.iter().flat_map(around) {
                let next = ring.tokens.partition_point(|token| *token <= key) % ring.tokens.len();
                assert_eq!(ring.partition_of(key), ring.owners[next], "key {key} of {partitions} partitions");
            }
        }
    }

    #[test]
    fn partitions_own_equal_shares() {
        let partitions = 300;
        let ring = PartitionRing::new(partitions);
        let mut shares = vec![0u64; partitions as usize];
        let mut previous = *ring.tokens.last().unwrap();
        for (token, owner) in ring.tokens.iter().zip(&ring.owners) {
            shares[owner.0 as usize] += u64::from(token.wrapping_sub(previous));
            previous = *token;
        }
        let fair = (RING_END / u64::from(partitions)) as f64;
        assert!(shares.iter().all(|share| (*share as f64 / fair - 1.0).abs() < 0.01), "{shares:?}");
    }
}
