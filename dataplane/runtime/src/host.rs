//! Can this machine run pinned io_uring executors? If not: what to change.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::executor::{ExecutorSpec, spawn_executor};

/// Locked memory that the rings of one executor take.
const LOCKED_BYTES_PER_EXECUTOR: u64 = 512 << 10;

/// Why executors cannot run here; the text says what to change.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HostError {
    #[error(
        "the limit of locked memory is {limit_bytes} bytes and {executors} executors need {needed_bytes}: raise it \
         (`ulimit -l unlimited`, LimitMEMLOCK=infinity in a systemd unit, --ulimit memlock=-1 for a container) or use fewer --shards"
    )]
    LockedMemory { limit_bytes: u64, needed_bytes: u64, executors: usize },
    #[error(
        "io_uring cannot be used ({reason}): wellhead needs Linux 5.8 or later, sysctl kernel.io_uring_disabled=0, and in a \
         container a seccomp profile that allows io_uring_setup, io_uring_enter and io_uring_register"
    )]
    IoUring { reason: String },
}

/// Raises the soft limit of locked memory as far as it may go, and tries one executor.
///
/// # Errors
/// See [`HostError`].
pub fn check_host(executors: usize) -> Result<(), HostError> {
    let needed_bytes = LOCKED_BYTES_PER_EXECUTOR * executors as u64;
    let limit = getrlimit(Resource::Memlock);
    // With CAP_IPC_LOCK the limit does not count, and only trying tells.
    if limit.current.is_some_and(|current| current < needed_bytes) {
        let _ = setrlimit(Resource::Memlock, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    let limit_bytes = getrlimit(Resource::Memlock).current;
    let is_short = limit_bytes.is_some_and(|bytes| bytes < needed_bytes) && !may_lock_any();
    if let (true, Some(limit_bytes)) = (is_short, limit_bytes) {
        return Err(HostError::LockedMemory { limit_bytes, needed_bytes, executors });
    }
    let probe = ExecutorSpec { name: "probe".to_owned(), cpu: None };
    let answer = spawn_executor(probe, || async { 42 }).map(crate::Executor::join);
    match answer {
        Ok(Ok(42)) => Ok(()),
        Ok(Ok(_)) => Err(HostError::IoUring { reason: "the trial executor answered nonsense".to_owned() }),
        Ok(Err(reason)) | Err(reason) => Err(HostError::IoUring { reason }),
    }
}

/// CAP_IPC_LOCK (bit 14) in the effective set.
fn may_lock_any() -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return false };
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).is_some_and(|set| set & (1 << 14) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can() {
        check_host(2).unwrap();
    }
}
