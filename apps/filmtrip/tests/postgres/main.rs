//! The tests of `tests/it`, on PostgreSQL: each with a server of its own, started from Debian's package.

#[path = "../it/access.rs"]
mod access;
#[path = "../it/admin.rs"]
mod admin;
#[path = "../it/balanced.rs"]
mod balanced;
#[path = "../it/batches.rs"]
mod batches;
#[path = "../it/catalogue.rs"]
mod catalogue;
#[path = "../it/direct.rs"]
mod direct;
#[path = "../it/direct_faults.rs"]
mod direct_faults;
#[path = "../it/direct_switches.rs"]
mod direct_switches;
#[path = "../it/direct_words.rs"]
mod direct_words;
#[path = "../it/discards.rs"]
mod discards;
#[path = "../it/health.rs"]
mod health;
#[path = "../it/kills.rs"]
mod kills;
#[path = "../it/kills_upyun.rs"]
mod kills_upyun;
#[path = "../it/lists.rs"]
mod lists;
#[path = "../it/long_lists.rs"]
mod long_lists;
#[path = "../it/names.rs"]
mod names;
#[path = "../it/pages.rs"]
mod pages;
#[path = "../it/postgres.rs"]
mod postgres;
#[path = "../it/removed.rs"]
mod removed;
#[path = "../it/reports.rs"]
mod reports;
#[path = "../it/schema.rs"]
mod schema;
#[path = "../it/serving.rs"]
mod serving;
#[path = "../it/session.rs"]
mod session;
#[path = "../it/storage.rs"]
mod storage;
#[path = "../it/support.rs"]
mod support;
#[path = "../it/upload.rs"]
mod upload;
#[path = "../it/upyun.rs"]
mod upyun;
#[path = "../it/upyun_broken.rs"]
mod upyun_broken;
#[path = "../it/upyun_store.rs"]
mod upyun_store;

/// Which database.
const ON_POSTGRES: bool = true;
