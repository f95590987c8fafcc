//! Whole deploys with the real programs: what users get while things break.

mod bad_releases;
mod coordinator;
mod damage;
mod disk;
mod exchange;
mod gates;
mod kill_matrix;
mod outages;
mod rollback;
