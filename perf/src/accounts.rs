//! What the kernel has booked on a process: CPU time of the whole and of each thread, resident memory.
//!
//! The whole includes threads that have ended (`/proc/PID/stat`, in ticks of 10 ms); the share of a thread is exact
//! (`/proc/PID/task/TID/schedstat`, in ns) but goes with the thread, which is why the two differ a little.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::failure::Failure;

/// A process to look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Process(pub u32);

/// What was booked until one moment.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Account {
    pub user_seconds: f64,
    pub system_seconds: f64,
    /// By name of thread, its number taken away: `shard-0` and `shard-1` are `shard`.
    pub thread_seconds: BTreeMap<String, f64>,
    pub resident_bytes: u64,
    pub resident_bytes_max: u64,
}

impl Account {
    pub fn cpu_seconds(&self) -> f64 {
        self.user_seconds + self.system_seconds
    }

    /// What was booked since `earlier`; memory as it is now.
    pub fn since(&self, earlier: &Self) -> Self {
        let threads = self.thread_seconds.iter().map(|(name, seconds)| {
            let before = earlier.thread_seconds.get(name).copied().unwrap_or(0.0);
            (name.clone(), (seconds - before).max(0.0))
        });
        Self {
            user_seconds: self.user_seconds - earlier.user_seconds,
            system_seconds: self.system_seconds - earlier.system_seconds,
            thread_seconds: threads.collect(),
            resident_bytes: self.resident_bytes,
            resident_bytes_max: self.resident_bytes_max,
        }
    }
}

impl Process {
    /// # Errors
    /// There is no such process, or it is another user's.
    pub fn account(self) -> Result<Account, Failure> {
        let gone = |error: std::io::Error| Failure::not_found(format!("cannot read of process {}: {error}", self.0));
        let stat = std::fs::read_to_string(self.path("stat")).map_err(gone)?;
        let status = std::fs::read_to_string(self.path("status")).map_err(gone)?;
        let (user, system) = ticks(&stat)
            .ok_or_else(|| Failure::failed(format!("/proc/{}/stat is not what this kernel should write", self.0)))?;
        let per_second = rustix::param::clock_ticks_per_second() as f64;
        let kibibytes = |key: &str| status_kibibytes(&status, key).unwrap_or(0) << 10;
        Ok(Account {
            user_seconds: user as f64 / per_second,
            system_seconds: system as f64 / per_second,
            thread_seconds: self.threads(),
            resident_bytes: kibibytes("VmRSS:"),
            resident_bytes_max: kibibytes("VmHWM:"),
        })
    }

    /// Threads come and go while they are listed: one that is gone has no share.
    fn threads(self) -> BTreeMap<String, f64> {
        let mut seconds = BTreeMap::new();
        for entry in std::fs::read_dir(self.path("task")).into_iter().flatten().flatten() {
            let read = |name: &str| std::fs::read_to_string(entry.path().join(name)).ok();
            let (Some(name), Some(schedstat)) = (read("comm"), read("schedstat")) else { continue };
            let ran_ns = schedstat.split(' ').next().and_then(|ns| ns.trim().parse::<u64>().ok()).unwrap_or(0);
            *seconds.entry(group_of(name.trim())).or_insert(0.0) += ran_ns as f64 / 1e9;
        }
        seconds
    }

    fn path(self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.0))
    }
}

/// CPU time of the calling thread in ns.
///
/// # Panics
/// The kernel has no `/proc/thread-self/schedstat`.
pub fn own_thread_ns() -> u64 {
    // The kernel books at ticks of some milliseconds, and whenever a thread offers its CPU.
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("every kernel with io_uring has it");
    text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("the first number is the time on a CPU")
}

/// User and system ticks: the 14th and 15th field, counted behind the name, which may hold blanks and brackets.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn status_kibibytes(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// The name of a thread without the number at its end.
fn group_of(name: &str) -> String {
    name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches(['-', ':', '/']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_move_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 12 34 0 0 20 0 1 0 99";
        assert_eq!(ticks(stat), Some((12, 34)));
        assert_eq!(ticks("nothing"), None);
    }

    #[test]
    fn threads_of_a_kind_count_together() {
        for (name, group) in [("shard-12", "shard"), ("iou-wrk-991", "iou-wrk"), ("wellhead", "wellhead")] {
            assert_eq!(group_of(name), group);
        }
    }

    #[test]
    fn the_own_process_has_an_account() {
        let own = Process(std::process::id());
        let before = own.account().unwrap();
        assert!(before.resident_bytes > 0 && before.resident_bytes_max >= before.resident_bytes);
        assert!(!before.thread_seconds.is_empty());
        let since = own.account().unwrap().since(&before);
        assert!(since.cpu_seconds() >= 0.0);
        assert_eq!(Process(u32::MAX).account().unwrap_err().kind, crate::failure::Kind::NotFound);
    }
}
