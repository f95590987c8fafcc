//! The checks, one file each. A new one is its file and one line in [`all`].

mod p01_cpu;
mod p02_memory;
mod p03_disk;
mod p04_network;
mod p05_processes;
mod p06_ports;
mod p09_node;
mod p10_npm;
mod p13_git;
mod p14_variables;
mod p16_database;
mod p26_answers;
mod p27_backup;
mod p28_tag;
mod p29_environment;
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
        Arc::new(p09_node::Node),
        Arc::new(p10_npm::Npm),
        Arc::new(p13_git::Git),
        Arc::new(p14_variables::Variables),
        Arc::new(p16_database::DatabaseStatus),
        Arc::new(p26_answers::Answers),
        Arc::new(p27_backup::DatabaseBackup),
        Arc::new(p28_tag::Tag),
        Arc::new(p29_environment::EnvironmentKept),
    ]
}
