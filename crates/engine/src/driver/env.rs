//! An environment file as the Node dotenv dialect reads it, with what other dialects would read differently.
//! Holds secrets: values never appear in `Debug`, logs or reports.

use crate::text::Text;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// A parsed environment file.
#[derive(Clone, Default)]
pub struct EnvFile {
    /// Variables, last definition wins.
    pub vars: BTreeMap<String, String>,
    /// What a careful reader would stumble over: line number and what.
    pub oddities: Vec<(usize, Text)>,
    /// SHA-256 of the raw bytes, hex: names this environment without showing it.
    pub sha256: String,
    /// The raw bytes, for the snapshot.
    pub raw: Vec<u8>,
}

impl std::fmt::Debug for EnvFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnvFile").field("keys", &self.vars.keys().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

impl EnvFile {
    /// Parses bytes. `Err` names the line that cannot be read at all (an unterminated quote, bytes that are not UTF-8).
    pub fn parse(raw: &[u8]) -> Result<Self, (usize, Text)> {
        let text = std::str::from_utf8(raw).map_err(|e| {
            let line = raw[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
            (line, Text::new("not UTF-8", "不是 UTF-8 编码"))
        })?;
        let mut file = Self { sha256: hex(&Sha256::digest(raw)), raw: raw.to_vec(), ..Self::default() };
        let text = match text.strip_prefix('\u{feff}') {
            Some(rest) => {
                file.odd(
                    1,
                    Text::new(
                        "begins with a byte order mark; bash reads it as part of the first name",
                        "文件以 BOM 开头；bash 会把它当作第一个变量名的一部分",
                    ),
                );
                rest
            }
            None => text,
        };
        if text.contains("\r\n") {
            let line = text.split("\r\n").next().map_or(1, |l| l.matches('\n').count() + 1);
            file.odd(
                line,
                Text::new(
                    "has CRLF line ends; bash keeps the CR in the value",
                    "含有 CRLF 换行；bash 会把 CR 留在值里",
                ),
            );
        }
        let mut lines = text.lines().enumerate().peekable();
        while let Some((i, line)) = lines.next() {
            let number = i + 1;
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let line = line.strip_prefix("export ").map_or(line, str::trim_start);
            let Some((key, rest)) = line.split_once('=') else {
                file.odd(number, Text::new("has no `=`; it is ignored", "没有 `=`，该行被忽略"));
                continue;
            };
            let key = key.trim().to_owned();
            if key.is_empty()
                || !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.' || c == '-')
            {
                file.odd(
                    number,
                    Text::new(
                        "the name has a character that dialects read differently",
                        "变量名含有各解析器理解不一的字符",
                    ),
                );
            }
            let rest = rest.trim_start();
            let value = match rest.chars().next() {
                Some(q @ ('"' | '\'' | '`')) => {
                    let mut body = rest[1..].to_owned();
                    while find_close(&body, q).is_none() {
                        let Some((_, next)) = lines.next() else {
                            return Err((
                                number,
                                Text::new("a quote is opened here and never closed", "此处的引号没有闭合"),
                            ));
                        };
                        body.push('\n');
                        body.push_str(next);
                    }
                    let end = find_close(&body, q).unwrap_or(body.len());
                    let inner = &body[..end];
                    if q == '"' {
                        inner.replace("\\n", "\n").replace("\\r", "\r").replace("\\\"", "\"")
                    } else {
                        inner.to_owned()
                    }
                }
                _ => {
                    let value = match rest.find('#') {
                        Some(at) => {
                            if at > 0 && !rest[..at].ends_with(char::is_whitespace) {
                                file.odd(number, crate::text!("{key}: `#` without a space before it: Node cuts the value there, bash and Rust keep it", "{key}：`#` 前没有空格：Node 会在此截断，bash 与 Rust 不会"));
                            }
                            &rest[..at]
                        }
                        None => rest,
                    }
                    .trim();
                    if value.contains(char::is_whitespace) {
                        file.odd(
                            number,
                            crate::text!(
                                "{key}: a value with a space and no quotes fails in bash",
                                "{key}：值含空格却没有引号，在 bash 中会出错"
                            ),
                        );
                    }
                    value.to_owned()
                }
            };
            if value.contains('$') && !rest.starts_with('\'') {
                file.odd(
                    number,
                    crate::text!(
                        "{key}: `$` is expanded by bash and some dotenv readers, not by Node",
                        "{key}：`$` 在 bash 与部分 dotenv 中会展开，在 Node 中不会"
                    ),
                );
            }
            if file.vars.insert(key.clone(), value).is_some() {
                file.odd(
                    number,
                    crate::text!(
                        "{key} is set more than once; the last one wins",
                        "{key} 重复设置，以最后一次为准"
                    ),
                );
            }
        }
        Ok(file)
    }

    fn odd(&mut self, line: usize, what: Text) {
        self.oddities.push((line, what));
    }

    /// The value, unless it is absent or empty: empty is not set.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.vars.get(key).map(String::as_str).filter(|v| !v.is_empty())
    }
}

fn find_close(body: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (i, c) in body.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' && quote == '"' {
            escaped = true;
        } else if c == quote {
            return Some(i);
        }
    }
    None
}

/// Lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(s: &str) -> EnvFile {
        EnvFile::parse(s.as_bytes()).unwrap()
    }

    #[test]
    fn values_read_as_node_reads_them() {
        let f =
            parse("A=1\nexport B = two \nC='x # y'\nD=a#b\nE=\"l1\\nl2\"\nF=\n# G=1\nH=\"multi\nline\"\n");
        let get = |k: &str| f.vars.get(k).map(String::as_str);
        assert_eq!(get("A"), Some("1"));
        assert_eq!(get("B"), Some("two"));
        assert_eq!(get("C"), Some("x # y"));
        assert_eq!(get("D"), Some("a"));
        assert_eq!(get("E"), Some("l1\nl2"));
        assert_eq!(get("H"), Some("multi\nline"));
        assert_eq!(f.get("F"), None, "empty is not set");
        assert_eq!(get("G"), None);
    }

    #[test]
    fn values_that_dialects_read_differently_are_named_with_their_line() {
        let f = parse("D=a#b\nC=with space\nH=$HOME\nD=2\n");
        let lines: Vec<usize> = f.oddities.iter().map(|(l, _)| *l).collect();
        assert_eq!(lines, [1, 2, 3, 4], "{:?}", f.oddities);
    }

    #[test]
    fn byte_order_mark_and_crlf_are_read_and_reported() {
        let f = parse("\u{feff}A=1\r\nB=2\r\n");
        assert_eq!((f.get("A"), f.get("B")), (Some("1"), Some("2")));
        assert_eq!(f.oddities.len(), 2);
    }

    #[test]
    fn unterminated_quote_is_an_error_at_its_line_and_shows_no_value() {
        let (line, what) = EnvFile::parse(b"A=1\nS=\"hunter2\nB=3\n").unwrap_err();
        assert_eq!(line, 2);
        assert!(!what.en.contains("hunter2"));
    }

    #[test]
    fn debug_output_hides_values() {
        assert!(!format!("{:?}", parse("PASSWORD=hunter2\n")).contains("hunter2"));
    }
}
