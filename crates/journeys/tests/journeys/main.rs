//! Journeys against real servers in this process. Comments name the section of Hurl's documentation
//! (hurl.dev/docs) whose rule a test holds the runner to.
#![allow(clippy::unwrap_used)]

mod filters;
mod options;
mod photos;
mod predicates;
mod refusals;
mod requests;
mod responses;
mod secrets;
mod support;
mod tls;
