//! Whole deploys with the real programs: what users get while things break.

#![expect(clippy::unwrap_used, reason = "a test that unwraps fails with the line")]

mod answers;
mod bad_releases;
mod chinese;
mod coordinator;
mod damage;
mod dependencies;
mod disk;
mod durable;
mod exchange;
mod front;
mod gates;
mod going_back;
mod interface;
mod kill_matrix;
mod kill_walks;
mod left;
mod logs;
mod neighbours;
mod outages;
mod own;
mod retention;
mod rollback;
mod routes;
mod signals;
mod silence;
mod stuck;
mod tls_only;
mod under_pm2;
mod unmigrate;
mod watching;
