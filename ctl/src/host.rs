//! Is this machine fit for a node: a verdict and a remedy for each thing that a node needs. Changes nothing but the soft limits of
//! this process, and a file that it removes again.

use std::path::Path;
use std::time::{Duration, Instant};

use disk::{Access, Disk, DiskFile, OpenMode};
use runtime::{ExecutorSpec, HostError, RingDisk};
use rustix::process::{Resource, getrlimit};
use serde_json::{Value, json};

const KERNEL_MIN: (u32, u32) = (5, 8);
const OPEN_FILES_MIN: u64 = 4096;
const OPEN_FILES_GOOD: u64 = 65_536;
/// A push waits for a sync of the broker and another of the log.
const SYNC_GOOD: Duration = Duration::from_millis(5);
const SYNC_MAX: Duration = Duration::from_millis(100);
const SYNCS: usize = 50;
const PROBE_BYTES: usize = 16 << 10;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Ok,
    /// It works, and could be better.
    Warn,
    Fail,
}

/// What was looked at, and what was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    pub name: &'static str,
    pub verdict: Verdict,
    pub found: String,
    /// What to do about it, where there is something.
    pub remedy: Option<String>,
}

impl Check {
    fn new(name: &'static str, verdict: Verdict, found: impl Into<String>, remedy: &str) -> Self {
        let remedy = (verdict != Verdict::Ok).then(|| remedy.to_owned());
        Self { name, verdict, found: found.into(), remedy }
    }

    pub fn row(&self) -> Value {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        };
        json!({"check": self.name, "verdict": verdict, "found": self.found, "remedy": self.remedy})
    }
}

/// Looks at everything; `now_ms` is this machine's clock.
pub fn checks(data_dir: &Path, shards: usize, now_ms: i64) -> Vec<Check> {
    let mut checks = vec![kernel(&rustix::system::uname().release().to_string_lossy())];
    checks.extend(rings(shards));
    checks.push(open_files(getrlimit(Resource::Nofile).maximum));
    checks.push(disk_sync(data_dir));
    checks.extend(clock(now_ms));
    checks
}

fn kernel(release: &str) -> Check {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().ok());
    let version = numbers.next().flatten().zip(numbers.next().flatten());
    let remedy = "wellhead needs Linux 5.8 or later: install a newer kernel";
    let verdict = match version {
        Some(version) if version >= KERNEL_MIN => Verdict::Ok,
        Some(_) => Verdict::Fail,
        None => Verdict::Warn,
    };
    Check::new("kernel", verdict, format!("Linux {release}"), remedy)
}

/// Locked memory and io_uring, by starting what a node starts.
fn rings(shards: usize) -> [Check; 2] {
    let limit = getrlimit(Resource::Memlock).maximum;
    let limit = limit.map_or("unlimited".to_owned(), |bytes| format!("at most {} KiB", bytes >> 10));
    let found = format!("{limit}, for {shards} shard(s)");
    // The broker's log runs on an executor of its own.
    match runtime::check_host(shards + 1) {
        Ok(()) => [
            Check::new("locked memory", Verdict::Ok, found, ""),
            Check::new("io_uring", Verdict::Ok, "an executor ran", ""),
        ],
        Err(error @ HostError::LockedMemory { .. }) => [
            Check::new("locked memory", Verdict::Fail, found, &error.to_string()),
            Check::new("io_uring", Verdict::Warn, "not tried", "make locked memory right first"),
        ],
        Err(error @ HostError::IoUring { .. }) => [
            Check::new("locked memory", Verdict::Ok, found, ""),
            Check::new("io_uring", Verdict::Fail, "an executor cannot run", &error.to_string()),
        ],
    }
}

fn open_files(hard_limit: Option<u64>) -> Check {
    let verdict = match hard_limit {
        Some(limit) if limit < OPEN_FILES_MIN => Verdict::Fail,
        Some(limit) if limit < OPEN_FILES_GOOD => Verdict::Warn,
        _ => Verdict::Ok,
    };
    let found = hard_limit.map_or("unlimited".to_owned(), |limit| format!("at most {limit}"));
    let remedy = "raise it: LimitNOFILE=1048576 in a systemd unit, `ulimit -n 1048576` in a shell, --ulimit nofile for a container";
    Check::new("open files", verdict, found, remedy)
}

/// Direct writes with a sync each, as the write-ahead log makes them, into a file of the data folder.
fn disk_sync(data_dir: &Path) -> Check {
    const NAME: &str = "disk sync";
    if !data_dir.is_dir() {
        let remedy =
            format!("make the folder {} on the disk that the node is to use, or name another", data_dir.display());
        return Check::new(NAME, Verdict::Fail, format!("{} is no folder", data_dir.display()), &remedy);
    }
    let path = data_dir.join(format!(".wellctl-probe-{}", std::process::id()));
    let spec = ExecutorSpec { name: "probe".to_owned(), cpu: None };
    let probe = path.clone();
    let measured =
        runtime::spawn_executor(spec, move || async move { measure(&probe).await }).and_then(runtime::Executor::join);
    // The probe removes its file; a probe that failed halfway may have left it.
    let _ = std::fs::remove_file(&path);
    match measured.and_then(|measured| measured) {
        Ok(times) => judge_syncs(NAME, times),
        Err(reason) => {
            let remedy = "the folder must be writable, on a file system with direct I/O (ext4, xfs), with space left";
            Check::new(NAME, Verdict::Fail, reason, remedy)
        }
    }
}

fn judge_syncs(name: &'static str, mut times: Vec<Duration>) -> Check {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    let (median, p90) = (at(50), at(90));
    let verdict = match p90 {
        slow if slow > SYNC_MAX => Verdict::Fail,
        slow if slow > SYNC_GOOD => Verdict::Warn,
        _ => Verdict::Ok,
    };
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let found = format!("{} writes: median {:.2} ms, 90 % within {:.2} ms", times.len(), ms(median), ms(p90));
    let remedy =
        "every push waits for syncs: use an SSD with power-loss protection, not a network disk or a spinning one";
    Check::new(name, verdict, found, remedy)
}

async fn measure(path: &Path) -> Result<Vec<Duration>, String> {
    let told = |error: disk::DiskError| error.to_string();
    let file = RingDisk.open(path, OpenMode::CreateNew, Access::Direct).await.map_err(told)?;
    file.allocate((PROBE_BYTES * SYNCS) as u64).await.map_err(told)?;
    file.sync().await.map_err(told)?;
    let bytes = vec![0x5a; PROBE_BYTES];
    let mut times = Vec::with_capacity(SYNCS);
    for index in 0..SYNCS {
        let begin = Instant::now();
        file.write_at((index * PROBE_BYTES) as u64, &bytes).await.map_err(told)?;
        file.sync().await.map_err(told)?;
        times.push(begin.elapsed());
    }
    drop(file);
    RingDisk.remove(path).await.map_err(told)?;
    Ok(times)
}

/// Is it set, and does somebody keep it right?
fn clock(now_ms: i64) -> [Check; 2] {
    let synchronised =
        ask_timedatectl().or_else(|| Path::new("/run/systemd/timesync/synchronized").exists().then_some(true));
    [clock_set(now_ms), clock_synchronised(synchronised)]
}

fn clock_set(now_ms: i64) -> Check {
    // This release was made after 2026 began; nobody runs it a century later.
    let is_sane = (1_767_225_600_000..4_923_000_000_000).contains(&now_ms);
    let verdict = if is_sane { Verdict::Ok } else { Verdict::Fail };
    Check::new("clock", verdict, crate::time::rfc3339(now_ms), "set the clock: samples from the future are refused")
}

fn clock_synchronised(answer: Option<bool>) -> Check {
    let (verdict, found) = match answer {
        Some(true) => (Verdict::Ok, "synchronised"),
        Some(false) => (Verdict::Warn, "not synchronised"),
        None => (Verdict::Warn, "nothing here tells whether it is synchronised"),
    };
    let remedy = "run chrony or systemd-timesyncd on this machine, or on its host where it is a container";
    Check::new("clock sync", verdict, found, remedy)
}

/// What the kernel knows, through the tool of systemd, where that is there and answers.
fn ask_timedatectl() -> Option<bool> {
    let mut command = std::process::Command::new("timedatectl");
    command.args(["show", "--property=NTPSynchronized", "--value"]).stdin(std::process::Stdio::null());
    let output = command.stderr(std::process::Stdio::null()).output().ok().filter(|output| output.status.success())?;
    match String::from_utf8_lossy(&output.stdout).trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        let ms = |ms: u64| vec![Duration::from_millis(ms); 10];
        for (check, expected) in [
            (kernel("6.1.0-18-amd64"), Verdict::Ok),
            (kernel("5.8.0"), Verdict::Ok),
            (kernel("5.7.19"), Verdict::Fail),
            (kernel("4.19.0"), Verdict::Fail),
            (kernel("strange"), Verdict::Warn),
            (open_files(None), Verdict::Ok),
            (open_files(Some(1 << 20)), Verdict::Ok),
            (open_files(Some(8192)), Verdict::Warn),
            (open_files(Some(1024)), Verdict::Fail),
            (judge_syncs("disk", ms(1)), Verdict::Ok),
            (judge_syncs("disk", ms(20)), Verdict::Warn),
            (judge_syncs("disk", ms(200)), Verdict::Fail),
            (clock_set(0), Verdict::Fail),
            (clock_set(1_795_449_900_000), Verdict::Ok),
            (clock_synchronised(Some(true)), Verdict::Ok),
            (clock_synchronised(Some(false)), Verdict::Warn),
            (clock_synchronised(None), Verdict::Warn),
            (disk_sync(Path::new("/nonexistent/folder")), Verdict::Fail),
        ] {
            assert_eq!(check.verdict, expected, "{check:?}");
            assert_eq!(check.remedy.is_none(), expected == Verdict::Ok, "{check:?}");
        }
    }
}
