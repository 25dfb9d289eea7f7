//! Label names and values of one tenant on one shard, each text held once.
//!
//! A use is one label pair of one head, not one series: an append of a series with known labels changes no count.

use std::sync::Arc;

use hashbrown::HashTable;
use model::FingerprintKey;

/// Stands for a text within the [`Symbols`] that gave it out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Symbol(pub(super) u32);

/// The texts of a tenant, shared by its heads on the shard.
pub struct Symbols {
    /// Keyed, so that nobody can aim label texts at one slot of the table.
    key: FingerprintKey,
    entries: Vec<Entry>,
    free: Vec<u32>,
    table: HashTable<u32>,
    text_bytes: u64,
}

struct Entry {
    text: Arc<str>,
    uses: u32,
}

/// Beside the text: the two counters of an `Arc`, and what an allocator adds by rounding on average.
const TEXT_OVERHEAD_BYTES: usize = 16 + 4;

impl Symbols {
    /// `key` is the one of the tenant's fingerprints: what it must keep secret is the same.
    #[must_use]
    pub fn new(key: FingerprintKey) -> Self {
        Self { key, entries: Vec::new(), free: Vec::new(), table: HashTable::new(), text_bytes: 0 }
    }

    /// Texts held.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.table.len() as u64
    }

    /// Memory held.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let entries = self.entries.capacity() * size_of::<Entry>() + self.free.capacity() * size_of::<u32>();
        self.text_bytes + (entries + self.table.allocation_size()) as u64
    }

    #[must_use]
    pub fn text(&self, symbol: Symbol) -> &Arc<str> {
        &self.entries[symbol.0 as usize].text
    }

    #[must_use]
    pub fn find(&self, text: &str) -> Option<Symbol> {
        let found = self.table.find(self.hash(text), |index| &*self.entries[*index as usize].text == text);
        found.map(|index| Symbol(*index))
    }

    /// The symbol of a text that may be new. It has no use yet: [`Symbols::retain`] follows before anything else.
    pub(super) fn intern(&mut self, text: &str) -> Symbol {
        if let Some(symbol) = self.find(text) {
            return symbol;
        }
        let entry = Entry { text: text.into(), uses: 0 };
        let index = match self.free.pop() {
            Some(index) => {
                self.entries[index as usize] = entry;
                index
            }
            None => {
                self.entries.push(entry);
                u32::try_from(self.entries.len() - 1).expect("fewer texts than 2^32: each head has fewer pairs")
            }
        };
        self.text_bytes += text_bytes(text);
        let hash = self.hash(text);
        let (entries, key) = (&self.entries, &self.key);
        self.table
            .insert_unique(hash, index, |index| key.fingerprint(entries[*index as usize].text.as_bytes()).0 as u64);
        Symbol(index)
    }

    pub(super) fn retain(&mut self, symbol: Symbol) {
        self.entries[symbol.0 as usize].uses += 1;
    }

    /// Ends one use; a text without a use is forgotten and its symbol given out again.
    pub(super) fn release(&mut self, symbol: Symbol) {
        let entry = &mut self.entries[symbol.0 as usize];
        entry.uses = entry.uses.checked_sub(1).expect("released as often as retained");
        if entry.uses > 0 {
            return;
        }
        let text = std::mem::replace(&mut entry.text, "".into());
        self.text_bytes -= text_bytes(&text);
        let hash = self.hash(&text);
        if let Ok(found) = self.table.find_entry(hash, |index| *index == symbol.0) {
            found.remove();
        }
        self.free.push(symbol.0);
    }

    fn hash(&self, text: &str) -> u64 {
        self.key.fingerprint(text.as_bytes()).0 as u64
    }
}

fn text_bytes(text: &str) -> u64 {
    (text.len() + TEXT_OVERHEAD_BYTES) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_held_once_and_freed_with_their_last_use() {
        let mut symbols = Symbols::new(FingerprintKey::new(7));
        let names: Vec<Symbol> = (0..100).map(|i| symbols.intern(&format!("label_{i}"))).collect();
        names.iter().for_each(|symbol| symbols.retain(*symbol));
        assert_eq!(symbols.intern("label_5"), names[5]);
        assert_eq!((symbols.count(), &**symbols.text(names[5])), (100, "label_5"));
        assert_eq!(symbols.find("label_100"), None);

        symbols.retain(names[5]);
        let bytes = symbols.text_bytes;
        symbols.release(names[5]);
        assert_eq!((symbols.find("label_5"), symbols.text_bytes), (Some(names[5]), bytes));
        symbols.release(names[5]);
        assert_eq!((symbols.find("label_5"), symbols.count()), (None, 99));
        assert!(symbols.text_bytes < bytes);
        assert_eq!(symbols.intern("another"), names[5], "symbols without a use are given out again");
        assert_eq!(symbols.find("label_99"), Some(names[99]));
    }
}
