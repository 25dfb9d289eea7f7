//! What a disk may answer instead of doing what it was asked for.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What was being done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    Open,
    List,
    CreateDir,
    Remove,
    Rename,
    SyncDir,
    Map,
    Space,
    Size,
    Read,
    Write,
    Allocate,
    Truncate,
    Sync,
}

/// The few kinds on which callers decide; everything else ends the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskErrorKind {
    NotFound,
    AlreadyExists,
    /// No space or no quota left.
    NoSpace,
    PermissionDenied,
    Other,
}

/// An operation on a path failed: says which, where and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiskError {
    pub operation: Operation,
    pub path: PathBuf,
    pub kind: DiskErrorKind,
    pub reason: String,
}

impl DiskError {
    /// Wraps an error of the operating system.
    #[must_use]
    pub fn from_io(operation: Operation, path: &Path, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => DiskErrorKind::NotFound,
            io::ErrorKind::AlreadyExists => DiskErrorKind::AlreadyExists,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DiskErrorKind::NoSpace,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => DiskErrorKind::PermissionDenied,
            _ => DiskErrorKind::Other,
        };
        Self { operation, path: path.to_owned(), kind, reason: error.to_string() }
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.operation {
            Operation::Open => "open",
            Operation::List => "list",
            Operation::CreateDir => "make the folder",
            Operation::Remove => "remove",
            Operation::Rename => "rename",
            Operation::SyncDir => "sync the folder",
            Operation::Map => "map",
            Operation::Space => "ask for the free space of",
            Operation::Size => "ask for the size of",
            Operation::Read => "read",
            Operation::Write => "write",
            Operation::Allocate => "reserve space in",
            Operation::Truncate => "shorten",
            Operation::Sync => "sync",
        };
        write!(f, "cannot {verb} {}: {}", self.path.display(), self.reason)
    }
}

impl std::error::Error for DiskError {}
