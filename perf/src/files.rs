//! Bytes of a node's folders: those in use, not those set aside.
//!
//! Segments are allocated ahead and read as zero behind their end, so a file counts up to its last block that is not zero.

use std::io::Read;
use std::path::Path;

use crate::failure::Failure;

const BLOCK_BYTES: usize = 4096;

/// Bytes in use of all files below a folder whose names end so. A missing folder has none.
///
/// # Errors
/// The folder cannot be read.
pub fn used_bytes(folder: &Path, extension: &str) -> Result<u64, Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("cannot read {}: {error}", folder.display()));
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(failed(error)),
    };
    let mut total = 0;
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            total += used_bytes(&path, extension)?;
        } else if path.extension().is_some_and(|found| found == extension) {
            // It may be gone meanwhile.
            total += used_of(&path).unwrap_or(0);
        }
    }
    Ok(total)
}

fn used_of(path: &Path) -> std::io::Result<u64> {
    let mut file = std::fs::File::open(path)?;
    let mut block = [0; BLOCK_BYTES];
    let (mut at, mut used) = (0, 0);
    loop {
        let mut filled = 0;
        while filled < BLOCK_BYTES {
            match file.read(&mut block[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        if filled == 0 {
            return Ok(used);
        }
        at += filled as u64;
        if block[..filled].iter().any(|byte| *byte != 0) {
            used = at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_at_the_end_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        let mut bytes = vec![0; 10 * BLOCK_BYTES];
        bytes[5 * BLOCK_BYTES] = 1;
        std::fs::write(below.join("1.wal"), &bytes).unwrap();
        std::fs::write(below.join("2.wal"), [7; 10]).unwrap();
        std::fs::write(below.join("3.log"), [7; 10]).unwrap();
        assert_eq!(used_bytes(folder.path(), "wal").unwrap(), 6 * BLOCK_BYTES as u64 + 10);
        assert_eq!(used_bytes(&folder.path().join("none"), "wal").unwrap(), 0);
    }
}
