//! What the kernel says of this process, under the names that every Prometheus client library uses.

use super::{Exposition, Kind};

/// CPU, memory, threads and files of the process.
pub fn expose(page: &mut Exposition, started_unix_ms: i64) {
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    if let Some((cpu_ticks, threads)) = stat() {
        page.single("process_cpu_seconds_total", Kind::Counter, "CPU time of all threads.", cpu_ticks as f64 / ticks);
        page.single("process_threads", Kind::Gauge, "Threads.", threads as f64);
    }
    if let Some((virtual_pages, resident_pages)) = statm() {
        let page_bytes = rustix::param::page_size() as f64;
        let bytes = |pages: u64| pages as f64 * page_bytes;
        page.single("process_resident_memory_bytes", Kind::Gauge, "Resident memory.", bytes(resident_pages));
        page.single("process_virtual_memory_bytes", Kind::Gauge, "Virtual memory.", bytes(virtual_pages));
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        page.single("process_open_fds", Kind::Gauge, "Open files.", files.count() as f64);
    }
    if let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        page.single("process_max_fds", Kind::Gauge, "Limit of open files.", limit as f64);
    }
    let started = started_unix_ms as f64 / 1000.0;
    page.single("process_start_time_seconds", Kind::Gauge, "Start, in seconds since 1970.", started);
}

/// Ticks of user and kernel time, and threads. The name in parentheses may hold anything, so fields count from its end.
fn stat() -> Option<(u64, u64)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some((number(11)? + number(12)?, number(17)?))
}

/// Pages of virtual and resident memory.
fn statm() -> Option<(u64, u64)> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = statm.split_whitespace().map_while(|field| field.parse().ok());
    Some((pages.next()?, pages.next()?))
}
