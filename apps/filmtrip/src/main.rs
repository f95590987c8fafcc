//! FilmTrip.
fn main() {}
