//! The simulated name space: folders and files by path, with the changes that no folder sync has made durable yet.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::inode::Inode;
use super::random::{Random, Survival};

#[derive(Clone, Debug)]
pub(super) enum Node {
    Dir,
    File(Rc<RefCell<Inode>>),
}

#[derive(Clone, Debug)]
enum Change {
    Link { path: PathBuf, node: Node },
    Unlink { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf, node: Node },
}

#[derive(Debug)]
struct Pending {
    /// Which folder's sync makes it durable.
    dir: PathBuf,
    position: u64,
    change: Change,
}

#[derive(Debug)]
pub(super) struct Names {
    seen: BTreeMap<PathBuf, Node>,
    durable: BTreeMap<PathBuf, Node>,
    pending: Vec<Pending>,
    next_position: u64,
}

impl Names {
    pub(super) fn new() -> Self {
        Self { seen: BTreeMap::new(), durable: BTreeMap::new(), pending: Vec::new(), next_position: 0 }
    }

    pub(super) fn get(&self, path: &Path) -> Option<&Node> {
        self.seen.get(path)
    }

    pub(super) fn is_dir(&self, path: &Path) -> bool {
        path.parent().is_none() || matches!(self.seen.get(path), Some(Node::Dir))
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &Rc<RefCell<Inode>>> {
        self.seen.values().filter_map(|node| match node {
            Node::File(inode) => Some(inode),
            Node::Dir => None,
        })
    }

    /// Names and kinds of what stands directly in `dir`, in order.
    pub(super) fn children<'a>(&'a self, dir: &'a Path) -> impl Iterator<Item = (&'a Path, &'a Node)> {
        self.seen.iter().filter(move |(path, _)| path.parent() == Some(dir)).map(|(path, node)| (path.as_path(), node))
    }

    pub(super) fn link(&mut self, path: &Path, inode: Rc<RefCell<Inode>>) {
        self.change(parent(path), Change::Link { path: path.to_owned(), node: Node::File(inode) });
    }

    pub(super) fn unlink(&mut self, path: &Path) {
        self.change(parent(path), Change::Unlink { path: path.to_owned() });
    }

    /// All that is below goes with it, each name on its own: a crash may bring back any of them.
    pub(super) fn unlink_dir(&mut self, dir: &Path) {
        let below: Vec<PathBuf> = self.seen.keys().filter(|path| path.starts_with(dir)).cloned().collect();
        for path in below.into_iter().rev() {
            self.change(parent(dir), Change::Unlink { path });
        }
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) {
        assert_eq!(from.parent(), to.parent(), "renames between folders are not simulated");
        let node = self.seen.get(from).expect("the caller looked it up").clone();
        self.change(parent(from), Change::Rename { from: from.to_owned(), to: to.to_owned(), node });
    }

    pub(super) fn create_dir(&mut self, dir: &Path) {
        if self.is_dir(dir) {
            return;
        }
        let above = parent(dir).to_owned();
        self.create_dir(&above);
        self.sync_dir(&above, self.sync_position());
        self.seen.insert(dir.to_owned(), Node::Dir);
        self.durable.insert(dir.to_owned(), Node::Dir);
    }

    pub(super) fn sync_position(&self) -> u64 {
        self.next_position
    }

    pub(super) fn sync_dir(&mut self, dir: &Path, position: u64) {
        let (due, rest): (Vec<Pending>, Vec<Pending>) =
            std::mem::take(&mut self.pending).into_iter().partition(|p| p.dir == dir && p.position < position);
        self.pending = rest;
        for pending in due {
            pending.change.apply(&mut self.durable);
            // A folder went with its files: what was still to be made durable inside it must not come back.
            if let Change::Unlink { path } = &pending.change {
                self.pending.retain(|older| older.position > pending.position || older.change.path() != path);
            }
        }
    }

    fn change(&mut self, dir: &Path, change: Change) {
        change.apply(&mut self.seen);
        let position = self.next_position;
        self.next_position += 1;
        self.pending.push(Pending { dir: dir.to_owned(), position, change });
    }

    /// What a power cut leaves: every unsynced change of a folder survives on its own.
    pub(super) fn survivor(&self, fate: Option<Survival>, random: &mut Random) -> Self {
        let survival = fate.unwrap_or_else(|| Survival::draw(random));
        let mut nodes = self.durable.clone();
        for pending in &self.pending {
            if survival.keeps(random) {
                pending.change.apply(&mut nodes);
            }
        }
        for node in nodes.values_mut() {
            if let Node::File(inode) = node {
                let survival = fate.unwrap_or_else(|| Survival::draw(random));
                let content = inode.borrow().survivor(survival, random);
                *node = Node::File(Rc::new(RefCell::new(Inode::with_content(content))));
            }
        }
        let above: Vec<PathBuf> = nodes
            .keys()
            .flat_map(|path| path.ancestors().skip(1))
            .filter(|dir| dir.parent().is_some())
            .map(Path::to_owned)
            .collect();
        for dir in above {
            nodes.entry(dir).or_insert(Node::Dir);
        }
        Self { seen: nodes.clone(), durable: nodes, pending: Vec::new(), next_position: 0 }
    }
}

impl Change {
    fn apply(&self, nodes: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Self::Link { path, node } => drop(nodes.insert(path.clone(), node.clone())),
            Self::Unlink { path } => drop(nodes.remove(path)),
            Self::Rename { from, to, node } => {
                nodes.remove(from);
                nodes.insert(to.clone(), node.clone());
            }
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Link { path, .. } | Self::Unlink { path } | Self::Rename { to: path, .. } => path,
        }
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}
