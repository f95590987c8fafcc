//! Where releases come from.
