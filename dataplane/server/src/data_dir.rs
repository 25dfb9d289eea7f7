//! The one root of everything local: its layout, its identity, and the lock that keeps a second process out.
//!
//! ```text
//! <data-dir>/identity.json   format, node id, fingerprint seed: made at the first start, never changed
//!            lock            held (flock) by the running process; holds its pid
//!            node.json       where a ready node listens; removed at a clean stop
//!            wal/            write-ahead logs, a folder per shard
//!            quarantine/     record batches that could not be parsed
//!            broker/         the embedded broker's topics and group offsets
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use model::FingerprintKey;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

/// Version of the folder's layout. Something newer is refused by name.
const FORMAT: u32 = 1;

/// Who this folder belongs to.
#[derive(Clone, Serialize, Deserialize)]
pub struct Identity {
    pub format: u32,
    pub writer: String,
    pub node_id: String,
    /// The key of the fingerprint function. Secret: who knows it can aim collisions at this node.
    fingerprint_seed: u64,
}

impl Identity {
    #[must_use]
    pub fn fingerprint_key(&self) -> FingerprintKey {
        FingerprintKey::new(self.fingerprint_seed)
    }
}

/// An opened and locked data folder; the lock ends with the value (and with the process, however that ends).
pub struct DataDir {
    root: PathBuf,
    identity: Identity,
    _lock: File,
}

/// What `node.json` tells to scripts and tools.
#[derive(Serialize)]
pub struct NodeFile<'a> {
    pub pid: u32,
    pub http: &'a str,
    pub kafka: &'a str,
    pub version: &'a str,
}

impl DataDir {
    /// Makes the folder where it is missing, locks it, reads or makes its identity.
    ///
    /// # Errors
    /// A sentence: not writable, used by another process, made by a newer version, damaged.
    pub fn open(root: &Path) -> Result<Self, String> {
        let shown = root.display();
        fs::create_dir_all(root).map_err(|error| format!("cannot make the data folder {shown}: {error}"))?;
        let root = root.canonicalize().map_err(|error| format!("cannot use the data folder {shown}: {error}"))?;
        let lock = lock(&root)?;
        let identity = read_or_make_identity(&root)?;
        remove_if_there(&root.join("node.json"))
            .map_err(|error| format!("cannot write in the data folder {shown}: {error}"))?;
        Ok(Self { root, identity, _lock: lock })
    }

    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    #[must_use]
    pub fn wal(&self) -> PathBuf {
        self.root.join("wal")
    }

    #[must_use]
    pub fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    #[must_use]
    pub fn broker(&self) -> PathBuf {
        self.root.join("broker")
    }

    /// Tells the world where a ready node listens; appears in one piece.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write_node_file(&self, node: &NodeFile<'_>) -> std::io::Result<()> {
        write_whole(&self.root.join("node.json"), &serde_json::to_vec_pretty(node)?)
    }

    /// Takes that back at a clean stop.
    pub fn remove_node_file(&self) {
        if let Err(error) = remove_if_there(&self.root.join("node.json")) {
            tracing::warn!(%error, "cannot remove node.json");
        }
    }
}

fn lock(root: &Path) -> Result<File, String> {
    let path = root.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| format!("cannot write in the data folder {}: {error}", root.display()))?;
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut pid = String::new();
        let _ = file.read_to_string(&mut pid);
        let root = root.display();
        return Err(format!(
            "the data folder {root} is in use by process {}; stop it or choose another --data-dir",
            pid.trim()
        ));
    }
    file.set_len(0)
        .and_then(|()| write!(file, "{}", std::process::id()))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(file)
}

fn read_or_make_identity(root: &Path) -> Result<Identity, String> {
    let path = root.join("identity.json");
    let shown = path.display();
    match fs::read(&path) {
        Ok(bytes) => {
            let identity: Identity = serde_json::from_slice(&bytes).map_err(|error| {
                format!("{shown} is damaged ({error}); restore it from a backup, or move the data folder away to begin anew from Kafka")
            })?;
            if identity.format > FORMAT {
                let (format, writer) = (identity.format, &identity.writer);
                return Err(format!(
                    "{shown} has format {format}, written by {writer}; this version reads up to {FORMAT}: start that version or a later one"
                ));
            }
            Ok(identity)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            refuse_orphans(root)?;
            let identity = Identity {
                format: FORMAT,
                writer: format!("wellhead {}", env!("CARGO_PKG_VERSION")),
                node_id: uuid::Uuid::new_v4().to_string(),
                fingerprint_seed: uuid::Uuid::new_v4().as_u64_pair().0 ^ uuid::Uuid::new_v4().as_u64_pair().1,
            };
            let bytes = serde_json::to_vec_pretty(&identity).map_err(|error| error.to_string())?;
            write_whole(&path, &bytes).map_err(|error| format!("cannot write {shown}: {error}"))?;
            Ok(identity)
        }
        Err(error) => Err(format!("cannot read {shown}: {error}")),
    }
}

/// A log without the identity that its fingerprints were made with must not be taken for an empty folder.
fn refuse_orphans(root: &Path) -> Result<(), String> {
    match ["wal", "broker"].iter().find(|name| root.join(name).exists()) {
        None => Ok(()),
        Some(name) => Err(format!(
            "the data folder {} holds {name}/ but no identity.json; restore that file, or move the folder away to begin anew",
            root.display()
        )),
    }
}

/// Write aside, sync, rename, sync the folder: after a crash the old or the new content is there, never a part.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let aside = path.with_extension("tmp");
    let mut file = File::create(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    File::open(path.parent().expect("a file of the data folder has a parent"))?.sync_all()
}

fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_refused_and_the_identity_stays() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a/b");
        let first = DataDir::open(&root).unwrap();
        let seed = first.identity().fingerprint_seed;
        let refusal = DataDir::open(&root).err().unwrap();
        assert!(refusal.contains(&format!("in use by process {}", std::process::id())), "{refusal}");
        drop(first);
        assert_eq!(DataDir::open(&root).unwrap().identity().fingerprint_seed, seed);
    }

    #[test]
    fn newer_damaged_and_orphaned_folders_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.json");
        for (content, expected) in [
            (
                r#"{"format":2,"writer":"wellhead 9.0.0","node_id":"00000000-0000-0000-0000-000000000000","fingerprint_seed":1}"#,
                "written by wellhead 9.0.0",
            ),
            ("{", "damaged"),
        ] {
            fs::write(&path, content).unwrap();
            let refusal = DataDir::open(folder.path()).err().unwrap();
            assert!(refusal.contains(expected), "{refusal}");
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(folder.path().join("wal")).unwrap();
        assert!(DataDir::open(folder.path()).err().unwrap().contains("no identity.json"));
    }
}
