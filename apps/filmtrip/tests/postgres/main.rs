//! The tests of `tests/it`, on PostgreSQL: each with a server of its own, started from Debian's package.

#[path = "../it/access.rs"]
mod access;
#[path = "../it/catalogue.rs"]
mod catalogue;
#[path = "../it/direct.rs"]
mod direct;
#[path = "../it/direct_faults.rs"]
mod direct_faults;
#[path = "../it/health.rs"]
mod health;
#[path = "../it/kills.rs"]
mod kills;
#[path = "../it/lists.rs"]
mod lists;
#[path = "../it/pages.rs"]
mod pages;
#[path = "../it/postgres.rs"]
mod postgres;
#[path = "../it/schema.rs"]
mod schema;
#[path = "../it/serving.rs"]
mod serving;
#[path = "../it/session.rs"]
mod session;
#[path = "../it/support.rs"]
mod support;
#[path = "../it/upload.rs"]
mod upload;
#[path = "../it/upyun.rs"]
mod upyun;

/// Which database.
const ON_POSTGRES: bool = true;
