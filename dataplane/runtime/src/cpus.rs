//! Which CPUs the process may use, and putting a thread on one of them.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The CPUs of the affinity mask, cut to the number that the cgroup's quota pays for (rounded up), lowest first.
#[must_use]
pub fn usable_cpus() -> Vec<usize> {
    let mut cpus: Vec<usize> = match sched_getaffinity(None) {
        Ok(mask) => (0..CpuSet::MAX_CPU).filter(|cpu| mask.is_set(*cpu)).collect(),
        Err(_) => (0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get)).collect(),
    };
    if let Some(quota) = cgroup_quota() {
        cpus.truncate(quota.max(1));
    }
    cpus
}

/// CPUs that the quota of cgroup v2 (or v1) pays for.
fn cgroup_quota() -> Option<usize> {
    if let Ok(text) = std::fs::read_to_string("/sys/fs/cgroup/cpu.max") {
        return parse_quota(&text);
    }
    let quota = std::fs::read_to_string("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").ok()?;
    let period = std::fs::read_to_string("/sys/fs/cgroup/cpu/cpu.cfs_period_us").ok()?;
    parse_quota(&format!("{} {}", quota.trim(), period.trim()))
}

/// `"150000 100000"` (quota and period in microseconds) -> 2; `"max 100000"` -> none.
#[must_use]
pub fn parse_quota(text: &str) -> Option<usize> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.parse().ok()?);
    (period > 0).then(|| quota.div_ceil(period) as usize)
}

/// Puts the calling thread on one CPU.
///
/// # Errors
/// The CPU does not exist or is not allowed.
pub fn pin_thread(cpu: usize) -> std::io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(std::io::Error::other(format!("there is no CPU {cpu}")));
    }
    let mut mask = CpuSet::new();
    mask.set(cpu);
    Ok(sched_setaffinity(None, &mask)?)
}

/// Tells the kernel to prefer the calling thread less (Linux keeps nice levels per thread).
///
/// # Errors
/// The kernel refuses.
pub fn set_thread_nice(level: i32) -> std::io::Result<()> {
    let thread = rustix::thread::gettid();
    Ok(rustix::process::setpriority_process(Some(thread), level)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_round_up() {
        for (text, expected) in
            [("150000 100000\n", Some(2)), ("max 100000", None), ("-1 100000", None), ("100000 0", None), ("", None)]
        {
            assert_eq!(parse_quota(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_thread_can_be_pinned_to_a_usable_cpu_only() {
        let cpus = usable_cpus();
        let worker = std::thread::spawn(move || {
            pin_thread(cpus[0]).unwrap();
            assert_eq!(usable_cpus(), vec![cpus[0]]);
            assert!(pin_thread(usize::MAX).is_err());
            set_thread_nice(5).unwrap();
        });
        worker.join().unwrap();
    }
}
