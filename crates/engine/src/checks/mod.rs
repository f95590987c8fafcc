//! The checks, one file each. A new one is its file and one line in [`all`].

mod p01_cpu;
mod p02_memory;
mod p03_disk;
mod p04_network;
mod p05_processes;
mod p06_ports;
mod support;
#[cfg(test)]
pub(crate) mod testing;

use crate::check::Check;
use std::sync::Arc;

/// Every check, in the order of reports.
#[must_use]
pub fn all() -> Vec<Arc<dyn Check>> {
    vec![
        Arc::new(p01_cpu::Cpu),
        Arc::new(p02_memory::Memory),
        Arc::new(p03_disk::Disk),
        Arc::new(p04_network::Network),
        Arc::new(p05_processes::Processes),
        Arc::new(p06_ports::Ports),
    ]
}
