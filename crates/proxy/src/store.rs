//! The route table on disk: one header line with schema, length and SHA-256, then the table as JSON.
//! Written to a temporary file, synced and renamed, so a reader finds the old table or the new one. It must
//! never turn a damaged file into an empty table.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::StoreError;
use crate::table::RouteTable;

/// Schema written by this version.
const SCHEMA: &str = "safelight.routes/1";

#[derive(Serialize, Deserialize)]
struct Header {
    schema: String,
    bytes: usize,
    sha256: String,
}

/// What [`repair`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repaired {
    /// The table was sound; nothing was touched.
    Sound {
        /// Version of the table.
        version: u64,
    },
    /// There is no table and no previous one: the proxy will start empty.
    Missing,
    /// The previous generation is in place again.
    FromPrevious {
        /// Version of the table that is in place now. At most one change was lost.
        version: u64,
        /// Where the damaged file was put.
        damaged: PathBuf,
        /// What was wrong with it.
        reason: String,
    },
}

/// Loads the table. A missing file is a fresh start: an empty table of version 0.
///
/// # Errors
/// [`StoreError::Damaged`], [`StoreError::Schema`] or [`StoreError::Io`]; never an empty table instead.
pub fn load(path: &Path) -> Result<RouteTable, StoreError> {
    match fs::read(path) {
        Ok(bytes) => decode(path, &bytes),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            // A table that vanished while its previous generation is there was not a fresh start.
            if previous(path).exists() {
                let reason = "the file is missing while its previous generation exists".into();
                return Err(StoreError::Damaged { path: path.into(), reason });
            }
            Ok(RouteTable::default())
        }
        Err(source) => Err(io("read", path)(source)),
    }
}

/// Saves the table; when this returns it survives a kill and a loss of power. The table that was there
/// becomes `<path>.prev`.
///
/// # Errors
/// [`StoreError::Io`]; the table that was there is then still in place.
pub fn save(path: &Path, table: &RouteTable) -> Result<(), StoreError> {
    let bytes = encode(path, table)?;
    let temporary = with_suffix(path, "new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(io("create", &temporary))?;
    file.write_all(&bytes).map_err(io("write", &temporary))?;
    file.sync_all().map_err(io("sync", &temporary))?;
    keep_previous(path)?;
    fs::rename(&temporary, path).map_err(io("rename", path))?;
    sync_folder(path)
}

/// Puts the previous generation back when the table is damaged, and keeps the damaged file for a look.
/// Run it while no proxy runs.
///
/// # Errors
/// [`StoreError::Beyond`] when neither generation is sound, [`StoreError::Io`] when the system refuses.
pub fn repair(path: &Path) -> Result<Repaired, StoreError> {
    let reason = match load(path) {
        Ok(table) if path.exists() => return Ok(Repaired::Sound { version: table.version }),
        Ok(_) => return Ok(Repaired::Missing),
        Err(error @ StoreError::Io { .. }) => return Err(error),
        Err(error) => reason_of(&error),
    };
    let prev = previous(path);
    let beyond = |why: String| StoreError::Beyond { path: path.into(), reason: format!("{reason}; {why}") };
    let bytes = fs::read(&prev).map_err(|e| beyond(format!("{} cannot be read: {e}", prev.display())))?;
    let table = decode(&prev, &bytes)
        .map_err(|e| beyond(format!("its previous generation is damaged too: {}", reason_of(&e))))?;
    let damaged = with_suffix(path, "damaged");
    if path.exists() {
        fs::rename(path, &damaged).map_err(io("set aside", path))?;
    }
    let temporary = with_suffix(path, "new");
    fs::copy(&prev, &temporary).map_err(io("copy", &temporary))?;
    File::open(&temporary).and_then(|f| f.sync_all()).map_err(io("sync", &temporary))?;
    fs::rename(&temporary, path).map_err(io("rename", path))?;
    sync_folder(path)?;
    Ok(Repaired::FromPrevious { version: table.version, damaged, reason })
}

fn reason_of(error: &StoreError) -> String {
    match error {
        StoreError::Damaged { reason, .. } => reason.clone(),
        StoreError::Schema { found, .. } => format!("unknown schema `{found}`"),
        other => other.to_string(),
    }
}

fn encode(path: &Path, table: &RouteTable) -> Result<Vec<u8>, StoreError> {
    let json = |e: serde_json::Error| io("encode", path)(e.into());
    let mut body = serde_json::to_vec_pretty(table).map_err(json)?;
    body.push(b'\n');
    let header = Header { schema: SCHEMA.into(), bytes: body.len(), sha256: hex_digest(&body) };
    let mut bytes = serde_json::to_vec(&header).map_err(json)?;
    bytes.push(b'\n');
    bytes.append(&mut body);
    Ok(bytes)
}

fn decode(path: &Path, bytes: &[u8]) -> Result<RouteTable, StoreError> {
    let damaged = |reason: String| StoreError::Damaged { path: path.into(), reason };
    if bytes.is_empty() {
        return Err(damaged("the file is empty".into()));
    }
    let end =
        bytes.iter().position(|b| *b == b'\n').ok_or_else(|| damaged("its first line is cut".into()))?;
    let header: Header = serde_json::from_slice(&bytes[..end])
        .map_err(|e| damaged(format!("its first line is not the expected header ({e})")))?;
    if header.schema != SCHEMA {
        return Err(StoreError::Schema { path: path.into(), found: header.schema, expected: SCHEMA });
    }
    let body = &bytes[end + 1..];
    if body.len() != header.bytes {
        return Err(damaged(format!("it holds {} of {} bytes", body.len(), header.bytes)));
    }
    if hex_digest(body) != header.sha256 {
        return Err(damaged("its checksum does not match its content".into()));
    }
    let table: RouteTable =
        serde_json::from_slice(body).map_err(|e| damaged(format!("its JSON does not parse ({e})")))?;
    table.validate().map_err(|e| damaged(format!("its routes make no sense ({e})")))?;
    Ok(table)
}

/// Makes the current file the previous generation without a moment in which there is no current one.
fn keep_previous(path: &Path) -> Result<(), StoreError> {
    let link = with_suffix(path, "prev.new");
    if let Err(e) = fs::remove_file(&link)
        && e.kind() != ErrorKind::NotFound
    {
        return Err(io("remove", &link)(e));
    }
    match fs::hard_link(path, &link) {
        Ok(()) => fs::rename(&link, previous(path)).map_err(io("rename", &link)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(io("link", &link)(e)),
    }
}

fn sync_folder(path: &Path) -> Result<(), StoreError> {
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    File::open(folder).and_then(|f| f.sync_all()).map_err(io("sync the folder of", path))
}

/// Where the previous generation of a table is kept.
#[must_use]
pub fn previous(path: &Path) -> PathBuf {
    with_suffix(path, "prev")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

fn io(what: &'static str, path: &Path) -> impl Fn(std::io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { what, path: path.clone(), source }
}

fn hex_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(version: u64) -> RouteTable {
        RouteTable { version, apps: Vec::new() }
    }

    #[test]
    fn a_saved_table_loads_again_and_the_one_before_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("routes.json");
        assert_eq!(load(&path).unwrap().version, 0);
        save(&path, &table(1)).unwrap();
        save(&path, &table(2)).unwrap();
        assert_eq!(load(&path).unwrap(), table(2));
        assert_eq!(load(&previous(&path)).unwrap(), table(1));
    }

    #[test]
    fn every_cut_of_the_file_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("routes.json");
        save(&path, &table(7)).unwrap();
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let error = load(&path).unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "cut at {length}: {error}");
        }
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("routes.json");
        save(&path, &table(7)).unwrap();
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x01;
            fs::write(&path, &bytes).unwrap();
            assert!(load(&path).is_err(), "byte {at} flipped and not noticed");
        }
    }

    #[test]
    fn a_damaged_table_names_the_file_the_reason_and_the_repair() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("routes.json");
        fs::write(&path, b"").unwrap();
        let message = load(&path).unwrap_err().to_string();
        for part in ["routes.json", "is empty", "safelight proxy repair"] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn an_unknown_schema_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("routes.json");
        fs::write(&path, b"{\"schema\":\"safelight.routes/9\",\"bytes\":0,\"sha256\":\"\"}\n").unwrap();
        let error = load(&path).unwrap_err();
        assert!(
            matches!(&error, StoreError::Schema { found, .. } if found == "safelight.routes/9"),
            "{error}"
        );
    }

    #[test]
    fn repair_goes_back_one_generation_and_keeps_the_damaged_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("routes.json");
        save(&path, &table(1)).unwrap();
        save(&path, &table(2)).unwrap();
        assert_eq!(repair(&path).unwrap(), Repaired::Sound { version: 2 });
        fs::write(&path, b"torn").unwrap();
        let Repaired::FromPrevious { version, damaged, .. } = repair(&path).unwrap() else {
            panic!("not repaired")
        };
        assert_eq!(version, 1);
        assert_eq!(fs::read(damaged).unwrap(), b"torn");
        assert_eq!(load(&path).unwrap(), table(1));
    }

    #[test]
    fn repair_says_when_both_generations_are_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("routes.json");
        fs::write(&path, b"torn").unwrap();
        fs::write(previous(&path), b"torn too").unwrap();
        assert!(matches!(repair(&path).unwrap_err(), StoreError::Beyond { .. }));
    }

    #[test]
    fn a_vanished_table_is_not_a_fresh_start_when_a_previous_one_exists() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("routes.json");
        save(&path, &table(1)).unwrap();
        save(&path, &table(2)).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(matches!(load(&path).unwrap_err(), StoreError::Damaged { .. }));
    }
}
