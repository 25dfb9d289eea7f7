//! What a node will run on: which CPUs, how many shards, how much memory. Decided once, before anything starts.

use runtime::usable_cpus;

use crate::config::Options;

/// Share of the machine's memory for heads and buffers where no limit is configured.
const MEMORY_PERCENT: u64 = 60;
const PARTITIONS_PER_SHARD: u32 = 4;

/// The resources of a node.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The CPU of each shard.
    pub shard_cpus: Vec<usize>,
    pub cpu_count: usize,
    pub memory_limit_bytes: u64,
    /// Partitions of a new topic on the embedded broker.
    pub embedded_partitions: u32,
}

impl Plan {
    /// Looks at the machine.
    ///
    /// # Errors
    /// CPUs were asked for that the process may not use.
    pub fn new(options: &Options) -> Result<Self, String> {
        let usable = usable_cpus();
        let cpus = match &options.cpus {
            None => usable,
            Some(wanted) => {
                if let Some(missing) = wanted.iter().find(|cpu| !usable.contains(cpu)) {
                    return Err(format!("--cpus names CPU {missing}, and this process may use only {usable:?}"));
                }
                wanted.clone()
            }
        };
        let shards = options.shards.unwrap_or(cpus.len());
        let shard_cpus: Vec<usize> = (0..shards).map(|shard| cpus[shard % cpus.len()]).collect();
        let memory_limit_bytes = options.memory_limit_bytes.unwrap_or_else(|| memory_bytes() / 100 * MEMORY_PERCENT);
        let embedded_partitions = options.broker.partitions.unwrap_or(PARTITIONS_PER_SHARD * shards as u32);
        Ok(Self { shard_cpus, cpu_count: cpus.len(), memory_limit_bytes, embedded_partitions })
    }

    #[must_use]
    pub fn shards(&self) -> usize {
        self.shard_cpus.len()
    }

    /// The partitions of each shard: partition p belongs to shard p modulo their number.
    #[must_use]
    pub fn assignment(&self, partitions: u32) -> Vec<Vec<i32>> {
        let mut shards = vec![Vec::new(); self.shards()];
        for partition in 0..partitions {
            shards[partition as usize % self.shards()].push(partition as i32);
        }
        shards
    }
}

/// Memory of the machine, or of the cgroup where that has less.
fn memory_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    let machine = (info.totalram as u64).saturating_mul(u64::from(info.mem_unit.max(1)));
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let cgroup = limits.iter().filter_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()).min();
    cgroup.map_or(machine, |bytes| bytes.min(machine))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_spread_over_shards() {
        let plan = Plan { shard_cpus: vec![0, 1], cpu_count: 2, memory_limit_bytes: 0, embedded_partitions: 5 };
        assert_eq!(plan.assignment(5), vec![vec![0, 2, 4], vec![1, 3]]);
    }

    #[test]
    fn the_machine_has_memory() {
        assert!(memory_bytes() > 64 << 20);
    }
}
