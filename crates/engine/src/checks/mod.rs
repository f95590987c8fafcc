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
mod p16_variable;
mod p24_dns;
mod p25_certificates;
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
        Arc::new(p24_dns::Dns),
        Arc::new(p25_certificates::Certificates),
        Arc::new(p26_answers::Answers),
        Arc::new(p27_backup::DatabaseBackup),
        Arc::new(p28_tag::Tag),
        Arc::new(p29_environment::EnvironmentKept),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{check::run_all, finding::Outcome, risk::RiskRegister};
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use testing::{FakeDatabase, World};

    #[test]
    fn every_check_has_an_id_of_its_own_titles_and_at_least_one_of_the_ten_risks() {
        let config = World::new("").ctx().config;
        let known: BTreeSet<String> =
            RiskRegister::assess(&config, &[]).0.into_iter().map(|r| r.id.0).collect();
        assert_eq!(known.len(), 10);
        let mut ids = BTreeSet::new();
        for check in all() {
            let spec = check.spec();
            assert!(ids.insert(spec.id), "{} is there twice", spec.id);
            assert!(!spec.risks.is_empty(), "{} speaks to no risk", spec.id);
            assert!(spec.risks.iter().all(|r| known.contains(*r)), "{}: {:?}", spec.id, spec.risks);
            assert!(!spec.title.0.is_empty() && !spec.title.1.is_ascii(), "{} needs both titles", spec.id);
        }
    }

    #[test]
    fn checks_are_listed_in_the_order_of_their_numbers() {
        let numbers: Vec<u32> = all().iter().map(|c| c.spec().id[1..].parse().unwrap()).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn on_a_host_that_answers_nothing_no_check_passes() {
        let mut w = World::new(
            "env-file = \".env\"\nrequired = [\"A\"]\n[runtime]\nnode = \">=18\"\nnpm = \"*\"\n[database]\nkind = \"sqlite\"\npath = \"a.db\"\n",
        )
        .deployed();
        let gone = || testing::host_error(crate::driver::host::HostErrorKind::Unreachable);
        w.env_file = Err(gone());
        w.state.current.as_mut().unwrap().env_sha256 = Some("ab".repeat(32));
        w.host.listeners = Err(gone());
        w.host.processes = Err(gone());
        w.host.bind_error = Some(gone());
        w.source.git = Err(gone());
        let found = run_all(all(), &w.ctx(), |_| ()).await;
        let passed: Vec<String> = found
            .iter()
            .filter(|f| !f.outcome.blocks())
            .map(|f| format!("{} {} {:?}", f.id, f.subject, f.outcome))
            .collect();
        assert!(passed.is_empty(), "could not look, and yet: {passed:?}");
    }

    #[tokio::test]
    async fn the_kernel_that_runs_the_tests_is_understood() {
        let mut w = World::new("");
        w.host.real_files = true;
        for f in [w.one(p01_cpu::Cpu).await, w.one(p02_memory::Memory).await] {
            assert_ne!(f.outcome, Outcome::Unknown, "{f:#?}");
        }
    }

    fn kernel_text() -> impl Strategy<Value = Vec<u8>> {
        let line = prop_oneof![
            "cpu[0-9 -]{0,60}",
            "Mem(Total|Available): *[0-9]{0,22} ?(kB)?",
            "[0-9]{0,3}:(cpu|memory|cpu,cpuacct|):/?[a-z./]{0,12}",
            "(max|-?[0-9]{1,20}) ?[0-9]{0,20}",
            "(usage_usec|inactive_file|total_inactive_file) [0-9]{0,22}",
            "eth0[\t 0-9A-F]{0,80}",
            "[0-9a-f ]{0,120} lo",
            "nameserver [0-9a-z.:]{0,20}",
            "[0-9.:]{0,15} filmtrip.cn",
            ".{0,40}",
        ];
        let lines = proptest::collection::vec(line, 0..6).prop_map(|l| l.join("\n").into_bytes());
        prop_oneof![lines, proptest::collection::vec(any::<u8>(), 0..200)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn no_check_panics_whatever_the_kernel_and_programs_print(first in kernel_text(), printed in kernel_text()) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .start_paused(true)
                .build()
                .unwrap();
            let mut w = World::new(
                "[runtime]\nnode = \">=18\"\nnpm = \"*\"\n[database]\nkind = \"sqlite\"\npath = \"a.db\"\n",
            );
            w.database = Some(FakeDatabase::good());
            w.host = w.host.file("/proc/stat", first.clone()).file("/proc/stat", printed.clone());
            w.host.any_file = Some(first);
            let printed = String::from_utf8_lossy(&printed).into_owned();
            w.host = w.host.program("node", "/usr/bin/node").program("npm", "/usr/bin/npm").output("", 0, &printed);
            let found = runtime.block_on(run_all(all(), &w.ctx(), |_| ()));
            for f in &found {
                prop_assert!(!f.summary.en.contains("crashed"), "{f:?}");
                // Others may quote what a program printed.
                let measures = ["P1", "P2", "P3"].contains(&f.id.as_str());
                prop_assert!(!measures || !format!("{f:?}").contains("NaN"), "{f:?}");
            }
            // Whatever it printed, a name in public DNS could not be asked about.
            prop_assert!(found.iter().any(|f| f.id == "P24" && f.outcome == Outcome::Unknown));
        }
    }
}
