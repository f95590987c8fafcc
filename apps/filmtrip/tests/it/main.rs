//! Tests against the real program: started as a process, spoken to over TCP.

mod access;
mod health;
mod images;
mod pages;
mod schema;
mod serving;
mod session;
mod support;
mod upload;
