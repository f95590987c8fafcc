//! Image processing on real files, made here.

mod colour;
mod files;
mod formats;
mod limits;
mod metadata;
mod variants;
mod worker;
