//! Files as memory, for bytes that are written once and read at random by threads other than the owner's.
//!
//! The only memory mapping of the project. Knows nothing of what the bytes mean: whoever reads them checks them.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

use memmap2::{Advice, Mmap};

/// The bytes of a file as they were when it was mapped, readable by any thread. The file may be removed meanwhile.
#[derive(Debug)]
pub struct FileMap(Bytes);

#[derive(Debug)]
enum Bytes {
    Mapped(Mmap),
    Held(Vec<u8>),
}

impl FileMap {
    /// Maps a file of the operating system. Nobody may write to it or cut it any more: see [`crate::Disk::map`].
    ///
    /// # Errors
    /// It cannot be opened or mapped.
    pub fn of_path(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if file.metadata()?.len() == 0 {
            return Ok(Self::of_bytes(Vec::new()));
        }
        // SAFETY: the file is written completely and its folder belongs to this process alone (the data folder is locked), so
        // the bytes do not change under the map. Somebody who cuts the file from outside ends the process with a signal, which
        // is what any failure of a live file does.
        let map = unsafe { Mmap::map(&file)? };
        map.advise(Advice::Random)?;
        Ok(Self(Bytes::Mapped(map)))
    }

    /// For devices that are no files.
    #[must_use]
    pub fn of_bytes(bytes: Vec<u8>) -> Self {
        Self(Bytes::Held(bytes))
    }
}

impl Deref for FileMap {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Mapped(map) => map,
            Bytes::Held(bytes) => bytes,
        }
    }
}
