//! Tests against the real program: started as a process, spoken to over TCP. Here on SQLite; `tests/postgres` runs the
//! same ones on PostgreSQL.

mod access;
mod health;
mod images;
mod pages;
mod postgres;
mod schema;
mod serving;
mod session;
mod support;
mod upload;

/// Which database.
const ON_POSTGRES: bool = false;
