//! Names, certificates and HTTP.
