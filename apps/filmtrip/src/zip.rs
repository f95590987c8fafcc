//! A ZIP file that is written while it is sent: nothing of it is kept, and its length is known before its first byte.
//!
//! The files are stored as they are, since images do not get smaller. Their checksums follow them, as APPNOTE 4.4.4 bit 3
//! allows, and offsets above 4 GiB are written as ZIP64.

use bytes::{BufMut, Bytes, BytesMut};
use crc32fast::Hasher;

/// Sizes and checksum follow the data; the name is UTF-8.
const FLAGS: u16 = 1 << 3 | 1 << 11;
const LOCAL: u64 = 30;
const DESCRIPTOR: u64 = 16;
const CENTRAL: u64 = 46;
const OFFSET64: u64 = 12;
const END: u64 = 22;
const END64: u64 = 56 + 20;
/// What a field of the old format says when ZIP64 has the number.
const ELSEWHERE: u32 = u32::MAX;

/// A file of the archive.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name; unique in the archive, without folders.
    pub name: String,
    /// Its size.
    pub bytes: u32,
    /// Its date and time of day in the format of MS-DOS.
    pub dos: (u16, u16),
}

/// Date and time of day in the format of MS-DOS, of `2026-05-01T18:30:00Z`; its first day when it is none.
#[must_use]
pub fn dos(moment: &str) -> (u16, u16) {
    let part = |at: std::ops::Range<usize>| moment.get(at).and_then(|t| t.parse::<u16>().ok()).unwrap_or(0);
    let (year, month, day) = (part(0..4), part(5..7), part(8..10));
    if !(1980..=2107).contains(&year) || month == 0 || day == 0 {
        return (1 << 5 | 1, 0);
    }
    let pairs = part(17..19) / 2;
    ((year - 1980) << 9 | month << 5 | day, part(11..13) << 11 | part(14..16) << 5 | pairs)
}

/// The length of the archive of these files; none when there are more than the format can number.
#[must_use]
pub fn length(entries: &[Entry]) -> Option<u64> {
    if entries.len() >= usize::from(u16::MAX) {
        return None;
    }
    let (mut offset, mut central) = (0, 0);
    for entry in entries {
        let name = entry.name.len() as u64;
        central += CENTRAL + name + if far(offset) { OFFSET64 } else { 0 };
        offset += LOCAL + name + u64::from(entry.bytes) + DESCRIPTOR;
    }
    let end = if far(offset) || far(central) { END64 + END } else { END };
    Some(offset + central + end)
}

/// Whether a number needs ZIP64.
fn far(number: u64) -> bool {
    number >= u64::from(ELSEWHERE)
}

/// As far as the old format can say it.
fn near(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(ELSEWHERE)
}

/// Writes the parts of an archive that are not the files themselves.
#[derive(Debug, Default)]
pub struct Writer {
    offset: u64,
    done: Vec<(Entry, u64, u32)>,
    hasher: Hasher,
    written: u64,
}

impl Writer {
    /// What comes before a file.
    pub fn begin(&mut self, entry: &Entry) -> Bytes {
        (self.hasher, self.written) = (Hasher::new(), 0);
        let mut out = BytesMut::with_capacity(64 + entry.name.len());
        out.put_u32_le(0x0403_4B50);
        header(&mut out, entry, 0, 0);
        out.put_u16_le(0);
        out.put_slice(entry.name.as_bytes());
        out.freeze()
    }

    /// Takes note of a piece of the file.
    pub fn piece(&mut self, piece: &[u8]) {
        self.hasher.update(piece);
        self.written += piece.len() as u64;
    }

    /// What comes after a file; none when it was not as long as was announced.
    pub fn end(&mut self, entry: &Entry) -> Option<Bytes> {
        if self.written != u64::from(entry.bytes) {
            return None;
        }
        let crc = std::mem::take(&mut self.hasher).finalize();
        let mut out = BytesMut::with_capacity(16);
        out.put_u32_le(0x0807_4B50);
        out.put_u32_le(crc);
        out.put_u32_le(entry.bytes);
        out.put_u32_le(entry.bytes);
        self.done.push((entry.clone(), self.offset, crc));
        self.offset += LOCAL + entry.name.len() as u64 + self.written + DESCRIPTOR;
        Some(out.freeze())
    }

    /// The list of the files, which ends the archive.
    #[must_use]
    pub fn finish(self) -> Bytes {
        let mut out = BytesMut::new();
        for (entry, offset, crc) in &self.done {
            let version: u16 = if far(*offset) { 45 } else { 20 };
            out.put_u32_le(0x0201_4B50);
            // Made on UNIX, so that the names are what they are.
            out.put_u16_le(3 << 8 | version);
            header(&mut out, entry, *crc, entry.bytes);
            out.put_u16_le(if far(*offset) { 12 } else { 0 });
            out.put_u16_le(0);
            out.put_u16_le(0);
            out.put_u16_le(0);
            out.put_u32_le(0o100_644 << 16);
            out.put_u32_le(near(*offset));
            out.put_slice(entry.name.as_bytes());
            if far(*offset) {
                out.put_u16_le(1);
                out.put_u16_le(8);
                out.put_u64_le(*offset);
            }
        }
        let (count, size) = (self.done.len() as u64, out.len() as u64);
        if far(self.offset) || far(size) {
            out.put_u32_le(0x0606_4B50);
            out.put_u64_le(44);
            out.put_u16_le(3 << 8 | 45);
            out.put_u16_le(45);
            out.put_u32_le(0);
            out.put_u32_le(0);
            out.put_u64_le(count);
            out.put_u64_le(count);
            out.put_u64_le(size);
            out.put_u64_le(self.offset);
            out.put_u32_le(0x0706_4B50);
            out.put_u32_le(0);
            out.put_u64_le(self.offset + size);
            out.put_u32_le(1);
        }
        out.put_u32_le(0x0605_4B50);
        out.put_u32_le(0);
        let files = u16::try_from(count).unwrap_or(u16::MAX);
        out.put_u16_le(files);
        out.put_u16_le(files);
        out.put_u32_le(near(size));
        out.put_u32_le(near(self.offset));
        out.put_u16_le(0);
        out.freeze()
    }
}

/// What the header before a file and its line in the list have in common.
fn header(out: &mut BytesMut, entry: &Entry, crc: u32, bytes: u32) {
    out.put_u16_le(20);
    out.put_u16_le(FLAGS);
    out.put_u16_le(0);
    out.put_u16_le(entry.dos.1);
    out.put_u16_le(entry.dos.0);
    out.put_u32_le(crc);
    out.put_u32_le(bytes);
    out.put_u32_le(bytes);
    out.put_u16_le(u16::try_from(entry.name.len()).unwrap_or(u16::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, bytes: u32) -> Entry {
        Entry { name: name.to_owned(), bytes, dos: dos("2026-05-01T18:30:10Z") }
    }

    fn write(entries: &[(Entry, &[u8])]) -> Vec<u8> {
        let (mut writer, mut out) = (Writer::default(), Vec::new());
        for (entry, content) in entries {
            out.extend_from_slice(&writer.begin(entry));
            writer.piece(content);
            out.extend_from_slice(content);
            out.extend_from_slice(&writer.end(entry).expect("as long as announced"));
        }
        out.extend_from_slice(&writer.finish());
        out
    }

    #[test]
    fn the_length_is_known_beforehand() {
        let files = [(entry("京都.jpg", 3), &b"abc"[..]), (entry("b.tif", 0), b"")];
        let all: Vec<Entry> = files.iter().map(|(entry, _)| entry.clone()).collect();
        assert_eq!(length(&all), Some(write(&files).len() as u64));
        assert_eq!(length(&[]), Some(22));
    }

    #[test]
    fn beyond_four_gigabytes_offsets_are_of_the_newer_format() {
        let many: Vec<Entry> = (0..3).map(|n| entry(&format!("{n}"), 3_000_000_000)).collect();
        let mut writer = Writer::default();
        for entry in &many {
            writer.begin(entry);
            writer.written = u64::from(entry.bytes);
            writer.end(entry).expect("announced");
        }
        let before = writer.offset;
        let list = writer.finish();
        assert_eq!(length(&many), Some(before + list.len() as u64));
        assert!(list.windows(4).any(|w| w == 0x0606_4B50_u32.to_le_bytes()), "no ZIP64 end");
    }

    #[test]
    fn a_file_of_another_length_ends_the_archive() {
        let mut writer = Writer::default();
        let entry = entry("a", 3);
        writer.begin(&entry);
        writer.piece(b"ab");
        assert!(writer.end(&entry).is_none());
    }

    #[test]
    fn moments_are_those_of_ms_dos() {
        assert_eq!(dos("2026-05-01T18:30:10Z"), (46 << 9 | 5 << 5 | 1, 18 << 11 | 30 << 5 | 5));
        assert_eq!(dos("1970-01-01T00:00:00Z"), (33, 0));
    }
}
