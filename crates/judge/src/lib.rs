//! The judge of a canary: sequential tests that may be watched continuously. No I/O, no clock, no global state.
