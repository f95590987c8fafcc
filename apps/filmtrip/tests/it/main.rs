//! Tests against the real program: started as a process, spoken to over TCP. Here on SQLite; `tests/postgres` runs the
//! same ones on PostgreSQL.

mod access;
mod admin;
mod balanced;
mod batches;
mod catalogue;
mod direct;
mod direct_faults;
mod direct_switches;
mod direct_words;
mod discards;
mod health;
mod images;
mod kills;
mod kills_upyun;
mod lists;
mod long_lists;
mod names;
mod pages;
mod postgres;
mod removed;
mod reports;
mod s3;
mod schema;
mod serving;
mod session;
mod storage;
mod support;
mod upload;
mod upyun;
mod upyun_broken;
mod upyun_store;

/// Which database.
const ON_POSTGRES: bool = false;
