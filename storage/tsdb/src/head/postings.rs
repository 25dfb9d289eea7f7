//! Label pairs of a head and the series that carry them.
//!
//! A pair (name, value) is held once and has a number, so a series' labels are one `u32` each. Per name the pairs are listed,
//! which is what regular expressions and label queries walk over. Holds symbols, knows no text.

use hashbrown::{HashMap, HashTable};

use super::paged::Paged;
use super::sets::SeriesSet;
use super::symbols::{Symbol, Symbols};

/// A label pair of one head.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct PairId(pub(super) u32);

pub(super) struct Pair {
    pub(super) name: Symbol,
    pub(super) value: Symbol,
    pub(super) series: SeriesSet,
}

pub(super) struct Postings {
    pairs: Paged<Pair>,
    table: HashTable<u32>,
    /// Names are few; the hasher's seed is fixed because symbols are numbers that no sender chooses.
    names: HashMap<Symbol, Vec<PairId>, SymbolHasher>,
    heap_bytes: u64,
}

impl Postings {
    pub(super) fn new() -> Self {
        Self { pairs: Paged::new(), table: HashTable::new(), names: HashMap::with_hasher(SymbolHasher), heap_bytes: 0 }
    }

    /// Memory held.
    pub(super) fn bytes(&self) -> u64 {
        let tables = self.table.allocation_size() + self.names.allocation_size();
        self.pairs.bytes() + tables as u64 + self.heap_bytes
    }

    /// Label pairs.
    pub(super) fn len(&self) -> usize {
        self.pairs.len() as usize
    }

    pub(super) fn pair(&self, pair: PairId) -> &Pair {
        self.pairs.get(pair.0)
    }

    pub(super) fn find(&self, name: Symbol, value: Symbol) -> Option<PairId> {
        let is_pair = |index: &u32| {
            let pair = self.pairs.get(*index);
            pair.name == name && pair.value == value
        };
        self.table.find(hash_pair(name, value), is_pair).map(|index| PairId(*index))
    }

    /// The pair's number, given out if it is new; a new pair uses both symbols.
    pub(super) fn intern(&mut self, symbols: &mut Symbols, name: Symbol, value: Symbol) -> PairId {
        if let Some(pair) = self.find(name, value) {
            return pair;
        }
        symbols.retain(name);
        symbols.retain(value);
        let pair = PairId(self.pairs.push(Pair { name, value, series: SeriesSet::new() }));
        let pairs = &self.pairs;
        self.table.insert_unique(hash_pair(name, value), pair.0, |index| {
            let pair = pairs.get(*index);
            hash_pair(pair.name, pair.value)
        });
        let of_name = self.names.entry(name).or_default();
        let capacity = of_name.capacity();
        of_name.push(pair);
        self.heap_bytes += ((of_name.capacity() - capacity) * size_of::<PairId>()) as u64;
        pair
    }

    /// Ends the use of all symbols.
    pub(super) fn release(self, symbols: &mut Symbols) {
        for index in 0..self.pairs.len() {
            let pair = self.pairs.get(index);
            symbols.release(pair.name);
            symbols.release(pair.value);
        }
    }

    /// Adds a series that is larger than all before it.
    pub(super) fn add(&mut self, pair: PairId, series: u32) {
        let set = &mut self.pairs.get_mut(pair.0).series;
        let before = set.heap_bytes();
        set.push(series);
        self.heap_bytes += set.heap_bytes() - before;
    }

    /// All pairs of a name, in order of their first series.
    pub(super) fn pairs_of(&self, name: Symbol) -> &[PairId] {
        self.names.get(&name).map_or(&[], Vec::as_slice)
    }

    /// All label names, in no order.
    pub(super) fn names(&self) -> impl Iterator<Item = Symbol> {
        self.names.keys().copied()
    }
}

fn hash_pair(name: Symbol, value: Symbol) -> u64 {
    mix((u64::from(name.0) << 32) | u64::from(value.0))
}

/// A full multiplication folded in half: all bits of the product's middle reach both ends, which is what the table looks at.
fn mix(number: u64) -> u64 {
    let product = u128::from(number ^ 0x9e37_79b9_7f4a_7c15) * 0xa3b1_9535_4a39_b70d;
    ((product >> 64) ^ product) as u64
}

#[derive(Clone, Copy)]
struct SymbolHasher;

impl std::hash::BuildHasher for SymbolHasher {
    type Hasher = SymbolHash;

    fn build_hasher(&self) -> SymbolHash {
        SymbolHash(0)
    }
}

struct SymbolHash(u64);

impl std::hash::Hasher for SymbolHash {
    fn finish(&self) -> u64 {
        mix(self.0)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 << 8) | u64::from(*byte);
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = u64::from(number);
    }
}
