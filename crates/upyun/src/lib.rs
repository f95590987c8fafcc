//! Upyun.
