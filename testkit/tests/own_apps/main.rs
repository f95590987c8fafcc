//! Apps of one's own, as a user deploys them: the real `safelight` program, a real PM2 in which an app of somebody else
//! runs, git tags, and visitors all the while.

#![expect(clippy::unwrap_used, reason = "tests")]

mod bed;
mod notes;
mod one_port;
mod verdaccio;
