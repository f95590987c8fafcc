//! What the targets share: seeds, and inputs made of several pieces.

use std::path::PathBuf;

/// Between the pieces of an input. It is in no valid header, path or policy.
pub const MARK: u8 = 0xFF;

/// The first `N` pieces of an input, missing ones empty; the last is all the rest.
pub fn pieces<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut split = data.splitn(N, |byte| *byte == MARK);
    [(); N].map(|()| split.next().unwrap_or_default())
}

/// Writes seeds into the folder that `FUZZ_SEEDS` names, and does nothing when it names none.
///
/// # Panics
/// The folder cannot be written: fuzzing without seeds would look the same and find little.
pub fn seed<I: IntoIterator<Item = Vec<u8>>>(seeds: impl FnOnce() -> I) {
    let Some(folder) = std::env::var_os("FUZZ_SEEDS").map(PathBuf::from) else { return };
    std::fs::create_dir_all(&folder).expect("the folder of the seeds");
    for (n, seed) in seeds().into_iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{n:02}")), seed).expect("a seed");
    }
}

/// The golden vectors of the client library.
///
/// # Panics
/// They are no JSON.
pub fn vectors() -> serde_json::Value {
    serde_json::from_str(include_str!("../../crates/upyun/tests/vectors.json")).expect("vectors.json")
}
