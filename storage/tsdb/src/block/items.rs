//! Reads many small things of a file in few reads: neighbours together, and once more where a thing says that it is longer
//! than was guessed.

use super::source::read_exact;
use super::{BlockError, BlockFile, BlockSource};

/// Bytes between two things that are rather read than skipped.
const GAP_BYTES_MAX: u64 = 64 << 10;
/// One read, unless a single thing is longer.
const READ_BYTES_MAX: u64 = 4 << 20;
/// What is read of a thing in any case: more than any field that tells a length has.
const GUESS_BYTES_MIN: u64 = 16;
/// No guess is believed beyond this: things tell their own length.
const GUESS_BYTES_MAX: u64 = 1 << 20;

/// A thing that begins at `at` and may be so long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Wanted {
    pub(super) at: u64,
    pub(super) guess_bytes: u64,
}

/// What came of looking at the beginning of a thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Look<T> {
    Whole(T),
    /// It says that it is so long altogether.
    Needs {
        bytes: u64,
    },
}

/// Where things are: nothing is read at `end` or behind it, whatever they say of themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Area {
    pub(super) file: BlockFile,
    pub(super) end: u64,
}

/// Reads what is wanted, which is sorted by place, and looks at each. `look` gets 16 bytes or more, or all up to the end.
pub(super) async fn read_items<S: BlockSource, T>(
    source: &S,
    area: Area,
    wanted: &[Wanted],
    mut look: impl FnMut(u64, &[u8]) -> Result<Look<T>, BlockError>,
) -> Result<Vec<T>, BlockError> {
    let mut items = Vec::with_capacity(wanted.len());
    let mut rest = wanted;
    while let Some(first) = rest.first() {
        let (group, behind, end) = group(rest, area);
        rest = behind;
        if first.at >= area.end {
            return Err(BlockError::damaged(area.file, first.at, "it is referred to, but not there"));
        }
        let bytes = read_exact(source, area.file, first.at, (end - first.at) as usize).await?;
        for item in group {
            let there = bytes.get((item.at - first.at) as usize..).unwrap_or_default();
            let needed = match look(item.at, there)? {
                Look::Whole(item) => {
                    items.push(item);
                    continue;
                }
                Look::Needs { bytes } => bytes,
            };
            let too_long = || BlockError::damaged(area.file, item.at, format!("it claims {needed} bytes"));
            if needed > area.end.saturating_sub(item.at) {
                return Err(too_long());
            }
            let whole = read_exact(source, area.file, item.at, needed as usize).await?;
            match look(item.at, &whole)? {
                Look::Whole(item) => items.push(item),
                Look::Needs { .. } => return Err(too_long()),
            }
        }
    }
    Ok(items)
}

/// The things of the next read, those behind it, and where the read ends.
fn group(wanted: &[Wanted], area: Area) -> (&[Wanted], &[Wanted], u64) {
    let guessed_end = |wanted: &Wanted| {
        let guess = wanted.guess_bytes.clamp(GUESS_BYTES_MIN, GUESS_BYTES_MAX);
        wanted.at.saturating_add(guess).min(area.end)
    };
    let first = &wanted[0];
    let mut end = guessed_end(first);
    let mut count = 1;
    for pair in wanted.windows(2) {
        assert!(pair[0].at <= pair[1].at, "things are sorted by place");
        let next_end = guessed_end(&pair[1]).max(end);
        let is_far = pair[1].at > end.saturating_add(GAP_BYTES_MAX) || pair[1].at >= area.end;
        if is_far || next_end - first.at > READ_BYTES_MAX {
            break;
        }
        end = next_end;
        count += 1;
    }
    let (group, behind) = wanted.split_at(count);
    (group, behind, end)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures_lite::future::block_on;

    use super::*;

    /// A file of things: a length byte, then so many bytes of the same. Notes what was read.
    struct Things {
        bytes: Vec<u8>,
        reads: RefCell<Vec<(u64, usize)>>,
    }

    impl BlockSource for Things {
        async fn read(&self, _: &BlockFile, offset: u64, length: usize) -> Result<Vec<u8>, BlockError> {
            self.reads.borrow_mut().push((offset, length));
            Ok(self.bytes[offset as usize..][..length].to_vec())
        }

        async fn length(&self, _: &BlockFile) -> Result<u64, BlockError> {
            Ok(self.bytes.len() as u64)
        }
    }

    fn look(_: u64, bytes: &[u8]) -> Result<Look<Vec<u8>>, BlockError> {
        let len = usize::from(bytes[0]);
        Ok(match bytes.get(1..1 + len) {
            Some(thing) => Look::Whole(thing.to_vec()),
            None => Look::Needs { bytes: 1 + len as u64 },
        })
    }

    /// Things of 30 bytes stand at these places of a file of a million bytes.
    #[track_caller]
    fn check(places: &[u64], guess_bytes: u64, expected: &[(u64, usize)]) {
        let mut bytes = vec![0; 1_000_000];
        places.iter().for_each(|at| bytes[*at as usize..][..31].fill(30));
        let things = Things { bytes, reads: RefCell::default() };
        let area = Area { file: BlockFile::Index, end: 1_000_000 };
        let wanted: Vec<Wanted> = places.iter().map(|at| Wanted { at: *at, guess_bytes }).collect();
        let found = block_on(read_items(&things, area, &wanted, look)).unwrap();
        assert_eq!(found, vec![vec![30; 30]; places.len()]);
        assert_eq!(*things.reads.borrow(), expected);
    }

    #[test]
    fn neighbours_are_read_together_and_what_is_longer_once_more() {
        check(&[], 31, &[]);
        check(&[5], 31, &[(5, 31)]);
        check(&[5, 36, 70], 31, &[(5, 96)]);
        check(&[5, 36 + (64 << 10)], 31, &[(5, 62 + (64 << 10))]);
        check(&[5, 37 + (64 << 10)], 31, &[(5, 31), (37 + (64 << 10), 31)]);
        check(&[5, 100], 1, &[(5, 111), (100, 31)]);
        check(&[999_969], u64::MAX, &[(999_969, 31)]);
    }

    #[test]
    fn what_goes_beyond_the_end_is_damage() {
        let things = Things { bytes: vec![200; 100], reads: RefCell::default() };
        let area = Area { file: BlockFile::Index, end: 100 };
        for at in [0, 90, 100, 101, u64::MAX] {
            let wanted = [Wanted { at, guess_bytes: 31 }];
            assert!(matches!(
                block_on(read_items(&things, area, &wanted, look)),
                Err(BlockError::Damaged { offset, .. }) if offset == at
            ));
        }
    }
}
