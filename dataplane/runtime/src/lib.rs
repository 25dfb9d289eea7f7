//! Pinned cores: executors on io_uring, their I/O companions on tokio, the slots between them, and [`RingDisk`].
//!
//! The only place that names a ring library. Knows nothing of ours but the `Disk` seam.

mod companion;
mod cpus;
mod executor;
mod host;
mod ring_disk;
mod slot;

pub use companion::{Companion, spawn_companion};
pub use cpus::{parse_quota, pin_thread, set_thread_nice, usable_cpus};
pub use executor::{Executor, ExecutorSpec, LocalTask, sleep, spawn_executor, spawn_local, yield_now};
pub use host::{HostError, check_host};
pub use ring_disk::RingDisk;
pub use slot::{SlotSender, Slots, slots};
