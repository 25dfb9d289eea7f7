//! What must not outlive us: nodes that were started here, and their folders. Whoever stops wellperf stops them as well.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;

/// Running nodes by process, with what is removed after them.
static OWNED: Mutex<BTreeMap<u32, PathBuf>> = Mutex::new(BTreeMap::new());

/// As shells tell an end by SIGINT and by SIGTERM.
const INTERRUPTED: i32 = 130;
const TERMINATED: i32 = 143;

/// A node that ends with us, until dropped.
pub struct Owned(u32);

impl Owned {
    pub fn new(pid: u32, folder: &Path) -> Self {
        owned().insert(pid, folder.to_owned());
        Self(pid)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        owned().remove(&self.0);
    }
}

/// Waits for SIGINT and SIGTERM on a thread of its own; ends the process then.
///
/// # Errors
/// The thread cannot be started.
pub fn watch() -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("cannot wait for signals: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        (signal(SignalKind::interrupt()).map_err(failed)?, signal(SignalKind::terminate()).map_err(failed)?)
    };
    let wait = move || {
        let code = runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => INTERRUPTED,
                _ = terminate.recv() => TERMINATED,
            }
        });
        // Held until the end: nobody starts another one meanwhile.
        let owned = owned();
        for (pid, folder) in owned.iter() {
            if let Some(pid) = i32::try_from(*pid).ok().and_then(Pid::from_raw) {
                // It may be gone already, or be waited for by another thread; then there is nothing to do.
                let _ = kill_process(pid, Signal::KILL);
                let _ = waitpid(Some(pid), WaitOptions::empty());
            }
            let _ = std::fs::remove_dir_all(folder);
        }
        std::process::exit(code);
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait).map(drop).map_err(failed)
}

fn owned() -> MutexGuard<'static, BTreeMap<u32, PathBuf>> {
    OWNED.lock().unwrap_or_else(PoisonError::into_inner)
}
