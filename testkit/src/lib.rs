//! Test-beds.
