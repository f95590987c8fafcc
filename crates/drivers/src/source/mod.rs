//! Where releases come from (git, a directory), and the store that keeps their content by hash.
//! What may be deployed is not decided here.

mod cache;
pub mod deps;
pub mod dir;
pub mod git;
mod git_ingest;
mod git_run;
mod paths;
pub mod store;

pub use dir::Dir;
pub use git::Git;
pub use store::Store;
