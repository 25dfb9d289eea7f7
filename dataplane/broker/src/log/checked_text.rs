//! A small file of text lines with a checksum, replaced as a whole: after a crash it is the old or the new one.
//!
//! ```text
//! wellhead broker catalog
//! format 2
//! writer wellhead 0.1.0
//! ...
//! crc32c 1f2e3d4c
//! ```

use std::path::Path;

use disk::{Access, Disk, DiskError, DiskErrorKind, DiskFile, OpenMode};

use crate::error::BrokerError;

const FILE_BYTES_MAX: usize = 1 << 20;

/// What stands at the top of such a file, and its name.
pub(super) struct CheckedText {
    pub name: &'static str,
    pub title: &'static str,
    /// The newest format that is read; the one that is written.
    pub format: u32,
}

impl CheckedText {
    /// Replaces the file, durably, with these lines, each ended by a line feed.
    pub async fn save<D: Disk>(&self, disk: &D, dir: &Path, lines: &str) -> Result<(), DiskError> {
        let new = dir.join(format!("{}.new", self.name));
        match disk.remove(&new).await {
            Err(error) if error.kind != DiskErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.open(&new, OpenMode::CreateNew, Access::Buffered).await?;
        file.write_at(0, self.encode(lines).as_bytes()).await?;
        file.sync().await?;
        disk.rename(&new, &dir.join(self.name)).await?;
        disk.sync_dir(dir).await
    }

    /// The lines that were saved; `None`: there is no such file yet.
    pub async fn load<D: Disk>(&self, disk: &D, dir: &Path) -> Result<Option<String>, BrokerError> {
        let path = dir.join(self.name);
        let file = match disk.open(&path, OpenMode::Read, Access::Buffered).await {
            Err(error) if error.kind == DiskErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let bytes = file.read_at(0, FILE_BYTES_MAX).await?;
        self.decode(&path, &bytes).map(Some)
    }

    pub fn encode(&self, lines: &str) -> String {
        let Self { title, format, .. } = self;
        let text = format!("{title}\nformat {format}\nwriter wellhead {}\n{lines}", env!("CARGO_PKG_VERSION"));
        assert!(text.len() + 16 <= FILE_BYTES_MAX, "limits keep it smaller");
        let crc = crc32c::crc32c(text.as_bytes());
        text + &format!("crc32c {crc:08x}\n")
    }

    fn decode(&self, path: &Path, bytes: &[u8]) -> Result<String, BrokerError> {
        let damaged = |what: &str| BrokerError::damaged(path, 0, what);
        let text = std::str::from_utf8(bytes).map_err(|_| damaged("it is not text"))?;
        let mut lines = text.lines();
        if lines.next() != Some(self.title) {
            return Err(damaged("it has another title"));
        }
        let format = lines.next().and_then(|line| line.strip_prefix("format ")?.parse::<u32>().ok());
        let found = format.ok_or_else(|| damaged("its format is missing"))?;
        if found > self.format {
            return Err(BrokerError::TooNew { path: path.to_owned(), found, known: self.format });
        }
        let body = text.trim_end_matches('\n').rfind('\n').map_or("", |end| &text[..=end]);
        let crc = text[body.len()..].trim_end().strip_prefix("crc32c ");
        let crc = crc.and_then(|hex| u32::from_str_radix(hex, 16).ok());
        if crc != Some(crc32c::crc32c(body.as_bytes())) {
            return Err(damaged("its checksum is wrong"));
        }
        Ok(body.lines().skip(3).flat_map(|line| [line, "\n"]).collect())
    }
}
