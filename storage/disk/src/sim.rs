//! A simulated device in memory that does what a real one may: lose, tear, reorder, rot, fill up, fail.
//!
//! Deterministic: the same calls and seeds give the same bytes. Every operation suspends once before it takes effect, so
//! that tasks interleave at each `await`, and a sync covers only what was written before it was *asked for*. Does not
//! simulate time, renames between folders, or a device that lies about a sync.

mod inode;
mod names;
mod random;
#[cfg(test)]
mod sim_test;

use std::cell::RefCell;
use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::task::Poll;

use inode::Inode;
use names::{Names, Node};
use random::{Random, Survival};

use crate::{Access, DirEntry, Disk, DiskError, DiskErrorKind, DiskFile, FileMap, OpenMode, Operation, assert_aligned};

/// A simulated file system. Clones share it; [`SimDisk::crash`] makes an independent one.
#[derive(Clone, Debug)]
pub struct SimDisk {
    world: Rc<RefCell<World>>,
}

/// A file of [`SimDisk`].
#[derive(Debug)]
pub struct SimFile {
    disk: SimDisk,
    inode: Rc<RefCell<Inode>>,
    path: PathBuf,
    mode: OpenMode,
    access: Access,
}

/// One planned failure.
#[derive(Clone, Debug)]
pub struct Fault {
    pub operation: Operation,
    /// The path must contain this text.
    pub path_contains: String,
    /// Which of the matching operations fails, from now on, counted from 1.
    pub nth: u64,
    pub kind: DiskErrorKind,
}

/// What happens to the unsynced changes in a crash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unsynced {
    /// All reached the device: a killed process.
    Kept,
    /// None did.
    Lost,
    /// Each is kept or lost by the dice.
    Random,
}

#[derive(Debug)]
struct World {
    names: Names,
    random: Random,
    capacity_bytes: u64,
    faults: Vec<Fault>,
    operations_done: u64,
    power_cut_at: Option<u64>,
}

/// Whether an operation still happens: at a power cut a write may reach the device although nobody hears of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Power {
    On,
    FailsNow,
}

impl SimDisk {
    /// An empty device without limits.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::from_names(Names::new(), seed, u64::MAX)
    }

    fn from_names(names: Names, seed: u64, capacity_bytes: u64) -> Self {
        let random = Random::new(seed);
        let faults = Vec::new();
        let world = World { names, random, capacity_bytes, faults, operations_done: 0, power_cut_at: None };
        Self { world: Rc::new(RefCell::new(world)) }
    }

    /// The size of the device; what goes beyond is refused as [`DiskErrorKind::NoSpace`].
    pub fn set_capacity(&self, bytes: u64) {
        self.world.borrow_mut().capacity_bytes = bytes;
    }

    /// Plans a failure. A failed sync loses what it should have made durable, and a later one succeeds.
    pub fn inject(&self, fault: Fault) {
        assert!(fault.nth > 0, "faults are counted from 1");
        self.world.borrow_mut().faults.push(fault);
    }

    /// After `operations` more operations everything fails: then call [`SimDisk::crash`].
    pub fn cut_power_after(&self, operations: u64) {
        let mut world = self.world.borrow_mut();
        world.power_cut_at = Some(world.operations_done + operations);
    }

    /// Ends a power cut as if only the process had died: all it wrote is seen, and what was unsynced still is.
    pub fn revive(&self) {
        self.world.borrow_mut().power_cut_at = None;
    }

    /// How many operations were started so far.
    #[must_use]
    pub fn operations_done(&self) -> u64 {
        self.world.borrow().operations_done
    }

    /// What the device holds after a power cut now. This one and its open files stay as they are.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        self.crash_with(Unsynced::Random, seed)
    }

    /// [`SimDisk::crash`] with a chosen fate for what was not synced.
    #[must_use]
    pub fn crash_with(&self, unsynced: Unsynced, seed: u64) -> Self {
        let fate = match unsynced {
            Unsynced::Kept => Some(Survival::ALL),
            Unsynced::Lost => Some(Survival::NONE),
            Unsynced::Random => None,
        };
        let world = self.world.borrow();
        let names = world.names.survivor(fate, &mut Random::new(seed));
        Self::from_names(names, seed, world.capacity_bytes)
    }

    /// Flips one bit in each of `len` stored bytes of a file.
    ///
    /// # Panics
    /// The file does not exist.
    pub fn rot(&self, path: &Path, offset: u64, len: u64) {
        let mut world = self.world.borrow_mut();
        let Some(Node::File(inode)) = world.names.get(path).cloned() else { panic!("no file {}", path.display()) };
        inode.borrow_mut().rot(offset, len, &mut world.random);
    }

    async fn enter(&self, operation: Operation, path: &Path) -> Result<Power, DiskError> {
        suspend_once().await;
        let mut world = self.world.borrow_mut();
        world.operations_done += 1;
        let done = world.operations_done;
        if world.power_cut_at.is_some_and(|at| done > at + 1) {
            return Err(power_is_gone(operation, path));
        }
        if let Some(kind) = world.due_fault(operation, path) {
            let reason = "planned by the test".to_owned();
            return Err(DiskError { operation, path: path.to_owned(), kind, reason });
        }
        Ok(if world.power_cut_at.is_some_and(|at| done > at) { Power::FailsNow } else { Power::On })
    }

    /// For operations that have no half: they happen, or the power was gone before.
    async fn enter_whole(&self, operation: Operation, path: &Path) -> Result<(), DiskError> {
        match self.enter(operation, path).await? {
            Power::On => Ok(()),
            Power::FailsNow => Err(power_is_gone(operation, path)),
        }
    }

    fn file(&self, operation: Operation, path: &Path) -> Result<Rc<RefCell<Inode>>, DiskError> {
        match self.world.borrow().names.get(path) {
            Some(Node::File(inode)) => Ok(Rc::clone(inode)),
            Some(Node::Dir) => Err(refused(operation, path, DiskErrorKind::Other, "it is a folder")),
            None => Err(refused(operation, path, DiskErrorKind::NotFound, "no such file")),
        }
    }

    fn check_dir(&self, operation: Operation, dir: &Path) -> Result<(), DiskError> {
        if self.world.borrow().names.is_dir(dir) {
            return Ok(());
        }
        Err(refused(operation, dir, DiskErrorKind::NotFound, "no such folder"))
    }
}

impl World {
    fn due_fault(&mut self, operation: Operation, path: &Path) -> Option<DiskErrorKind> {
        let text = path.to_string_lossy();
        let mut due = None;
        self.faults.retain_mut(|fault| {
            if fault.operation != operation || !text.contains(&fault.path_contains) {
                return true;
            }
            fault.nth -= 1;
            if fault.nth == 0 {
                due = Some(fault.kind);
            }
            fault.nth > 0
        });
        due
    }

    fn used_bytes(&self) -> u64 {
        self.names.files().map(|inode| inode.borrow().charged_bytes()).sum()
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    async fn open(&self, path: &Path, mode: OpenMode, access: Access) -> Result<SimFile, DiskError> {
        self.enter_whole(Operation::Open, path).await?;
        let inode = if mode == OpenMode::CreateNew {
            self.check_dir(Operation::Open, path.parent().unwrap_or(Path::new("")))?;
            let mut world = self.world.borrow_mut();
            if world.names.get(path).is_some() {
                return Err(refused(Operation::Open, path, DiskErrorKind::AlreadyExists, "it exists"));
            }
            let inode = Rc::new(RefCell::new(Inode::default()));
            world.names.link(path, Rc::clone(&inode));
            inode
        } else {
            self.file(Operation::Open, path)?
        };
        Ok(SimFile { disk: self.clone(), inode, path: path.to_owned(), mode, access })
    }

    async fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, DiskError> {
        self.enter_whole(Operation::List, dir).await?;
        self.check_dir(Operation::List, dir)?;
        let world = self.world.borrow();
        let entry = |(path, node): (&Path, &Node)| DirEntry {
            name: path.file_name().expect("children have names").to_string_lossy().into_owned(),
            is_dir: matches!(node, Node::Dir),
        };
        Ok(world.names.children(dir).map(entry).collect())
    }

    async fn create_dir(&self, dir: &Path) -> Result<(), DiskError> {
        self.enter_whole(Operation::CreateDir, dir).await?;
        self.world.borrow_mut().names.create_dir(dir);
        Ok(())
    }

    async fn remove(&self, path: &Path) -> Result<(), DiskError> {
        let power = self.enter(Operation::Remove, path).await?;
        self.file(Operation::Remove, path)?;
        self.world.borrow_mut().names.unlink(path);
        power.answer(Operation::Remove, path)
    }

    async fn remove_dir(&self, dir: &Path) -> Result<(), DiskError> {
        let power = self.enter(Operation::Remove, dir).await?;
        self.check_dir(Operation::Remove, dir)?;
        self.world.borrow_mut().names.unlink_dir(dir);
        power.answer(Operation::Remove, dir)
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let power = self.enter(Operation::Rename, from).await?;
        self.file(Operation::Rename, from)?;
        self.world.borrow_mut().names.rename(from, to);
        power.answer(Operation::Rename, from)
    }

    async fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        let position = self.world.borrow().names.sync_position();
        self.enter_whole(Operation::SyncDir, dir).await?;
        self.check_dir(Operation::SyncDir, dir)?;
        self.world.borrow_mut().names.sync_dir(dir, position);
        Ok(())
    }

    async fn map(&self, path: &Path) -> Result<FileMap, DiskError> {
        self.enter_whole(Operation::Map, path).await?;
        let inode = self.file(Operation::Map, path)?;
        let inode = inode.borrow();
        Ok(FileMap::of_bytes(inode.read(0, inode.len() as usize)))
    }

    async fn space(&self, dir: &Path) -> Result<(u64, u64), DiskError> {
        self.enter_whole(Operation::Space, dir).await?;
        let world = self.world.borrow();
        Ok((world.capacity_bytes.saturating_sub(world.used_bytes()), world.capacity_bytes))
    }
}

impl DiskFile for SimFile {
    async fn size(&self) -> Result<u64, DiskError> {
        self.disk.enter_whole(Operation::Size, &self.path).await?;
        Ok(self.inode.borrow().len())
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, DiskError> {
        assert_aligned(self.access, offset, len);
        self.disk.enter_whole(Operation::Read, &self.path).await?;
        Ok(self.inode.borrow().read(offset, len))
    }

    async fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        assert_aligned(self.access, offset, bytes.len());
        let power = self.enter_change(Operation::Write).await?;
        self.check_space(Operation::Write, offset + bytes.len() as u64)?;
        self.inode.borrow_mut().write(offset, bytes);
        power.answer(Operation::Write, &self.path)
    }

    async fn allocate(&self, len: u64) -> Result<(), DiskError> {
        let power = self.enter_change(Operation::Allocate).await?;
        self.check_space(Operation::Allocate, len)?;
        self.inode.borrow_mut().allocate(len);
        power.answer(Operation::Allocate, &self.path)
    }

    async fn truncate(&self, len: u64) -> Result<(), DiskError> {
        let power = self.enter_change(Operation::Truncate).await?;
        self.inode.borrow_mut().truncate(len);
        power.answer(Operation::Truncate, &self.path)
    }

    async fn sync(&self) -> Result<(), DiskError> {
        let position = self.inode.borrow().sync_position();
        match self.disk.enter(Operation::Sync, &self.path).await {
            Ok(Power::On) => self.inode.borrow_mut().sync_to(position),
            Ok(Power::FailsNow) => return Err(power_is_gone(Operation::Sync, &self.path)),
            Err(error) => {
                // With the power gone the dice of the crash decide, not the sync.
                if !self.disk.is_power_gone() {
                    self.inode.borrow_mut().lose_to(position);
                }
                return Err(error);
            }
        }
        Ok(())
    }
}

impl SimFile {
    async fn enter_change(&self, operation: Operation) -> Result<Power, DiskError> {
        assert!(self.mode != OpenMode::Read, "{} was opened for reading only", self.path.display());
        self.disk.enter(operation, &self.path).await
    }

    fn check_space(&self, operation: Operation, len: u64) -> Result<(), DiskError> {
        let inode = self.inode.borrow();
        let growth = Inode::charge(len).saturating_sub(inode.charged_bytes());
        let world = self.disk.world.borrow();
        if growth > 0 && world.used_bytes().saturating_add(growth) > world.capacity_bytes {
            return Err(refused(operation, &self.path, DiskErrorKind::NoSpace, "the device is full"));
        }
        Ok(())
    }
}

impl SimDisk {
    fn is_power_gone(&self) -> bool {
        let world = self.world.borrow();
        world.power_cut_at.is_some_and(|at| world.operations_done > at)
    }
}

impl Power {
    fn answer(self, operation: Operation, path: &Path) -> Result<(), DiskError> {
        match self {
            Self::On => Ok(()),
            Self::FailsNow => Err(power_is_gone(operation, path)),
        }
    }
}

fn power_is_gone(operation: Operation, path: &Path) -> DiskError {
    refused(operation, path, DiskErrorKind::Other, "the power is gone")
}

fn refused(operation: Operation, path: &Path, kind: DiskErrorKind, reason: &str) -> DiskError {
    DiskError { operation, path: path.to_owned(), kind, reason: reason.to_owned() }
}

/// Gives other tasks of the executor a turn.
async fn suspend_once() {
    let mut is_suspended = false;
    poll_fn(|context| {
        if is_suspended {
            return Poll::Ready(());
        }
        is_suspended = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
