//! A certificate and its key as PEM files: read, matched with one another, and what is wrong with them in words that
//! say what to do. The proxy serves what is read here; checks look at it before anything is served.

use std::{
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    InconsistentKeys,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use serde::{Deserialize, Serialize};
use x509_parser::{
    extensions::{GeneralName, ParsedExtension},
    prelude::{FromDer as _, X509Certificate},
};

/// No chain and no key is as large as this.
const LARGEST: u64 = 1 << 20;

/// Where a certificate and its key lie.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// PEM file with the certificate and, after it, the intermediate ones: `fullchain.pem`.
    pub certificate: PathBuf,
    /// PEM file with its private key, closed to others: `privkey.pem`.
    pub key: PathBuf,
}

/// A certificate with its key, ready to be served.
#[derive(Debug)]
pub struct Loaded {
    /// Chain and key.
    pub key: Arc<CertifiedKey>,
    /// DNS names (perhaps `*.example.com`) and addresses that it is for.
    pub names: Vec<String>,
    /// First second of validity, since 1970.
    pub not_before: i64,
    /// Last second of validity, since 1970.
    pub not_after: i64,
}

/// Which of the two files a trouble is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The certificate.
    Certificate,
    /// The key.
    Key,
}

/// Why a certificate cannot be served: what is wrong and what to do, in both languages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{en}; {help_en}")]
pub struct Trouble {
    /// The file it is about.
    pub part: Part,
    /// What is wrong, in English.
    pub en: String,
    /// What is wrong, in Chinese.
    pub zh: String,
    /// What to do, in English.
    pub help_en: String,
    /// What to do, in Chinese.
    pub help_zh: String,
}

impl Trouble {
    fn new(part: Part, en: String, zh: String, help_en: &str, help_zh: &str) -> Self {
        Self { part, en, zh, help_en: help_en.to_owned(), help_zh: help_zh.to_owned() }
    }
}

/// Tells whether files have changed: inode, size and time of both. Opaque; compare it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp(Vec<(u64, u64, i64, i64)>);

/// The state of both files, with links followed; None while one of them cannot be seen.
#[must_use]
pub fn stamp(files: &CertificateFiles) -> Option<Stamp> {
    let one = |path: &Path| {
        let m = std::fs::metadata(path).ok()?;
        Some((m.ino(), m.len(), m.mtime(), m.mtime_nsec()))
    };
    Some(Stamp(vec![one(&files.certificate)?, one(&files.key)?]))
}

/// Reads both files and matches them. A certificate that is past its last day is read like any other: whoever serves it
/// decides.
///
/// # Errors
/// When a file is missing or not PEM, when others may read the key, or when the key belongs to another certificate.
pub fn load(files: &CertificateFiles) -> Result<Loaded, Trouble> {
    let certificate = read(&files.certificate, Part::Certificate)?;
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&certificate).collect::<Result<_, _>>().unwrap_or_default();
    let shown = files.certificate.display();
    let Some(leaf) = chain.first() else {
        return Err(Trouble::new(
            Part::Certificate,
            format!("{shown} holds no certificate in PEM form"),
            format!("{shown} 中没有 PEM 格式的证书"),
            "give the full chain, a file with `-----BEGIN CERTIFICATE-----`",
            "请提供完整证书链，即含有 `-----BEGIN CERTIFICATE-----` 的文件",
        ));
    };
    let facts = facts(leaf).map_err(|why| {
        Trouble::new(
            Part::Certificate,
            format!("the certificate in {shown} cannot be read: {why}"),
            format!("无法读取 {shown} 中的证书：{why}"),
            "ask its issuer for a new one",
            "请向签发方重新申请",
        )
    })?;
    closed_to_others(&files.key)?;
    let pem = read(&files.key, Part::Key)?;
    let shown = files.key.display();
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        Trouble::new(
            Part::Key,
            format!("{shown} holds no private key in PEM form"),
            format!("{shown} 中没有 PEM 格式的私钥"),
            "give a file with `-----BEGIN PRIVATE KEY-----` that has no password",
            "请提供含有 `-----BEGIN PRIVATE KEY-----` 且没有密码的文件",
        )
    })?;
    let key = CertifiedKey::from_der(chain, key, &provider()).map_err(|e| match e {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            let of = files.certificate.display();
            Trouble::new(
                Part::Key,
                format!("{shown} is not the key of {of}"),
                format!("{shown} 不是 {of} 的私钥"),
                "name the two files that were made together",
                "请填写同一次签发得到的两个文件",
            )
        }
        e => Trouble::new(
            Part::Key,
            format!("the key in {shown} cannot be used: {e}"),
            format!("无法使用 {shown} 中的私钥：{e}"),
            "use an ECDSA P-256, P-384, Ed25519 or RSA key of at least 2048 bits",
            "请使用 ECDSA P-256、P-384、Ed25519 或至少 2048 位的 RSA 私钥",
        ),
    })?;
    let (names, not_before, not_after) = facts;
    Ok(Loaded { key: Arc::new(key), names, not_before, not_after })
}

/// The cryptography of servers here.
#[must_use]
pub fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

fn read(path: &Path, part: Part) -> Result<Vec<u8>, Trouble> {
    let shown = path.display();
    let fail = |why: String| match part {
        Part::Certificate => Trouble::new(
            part,
            format!("the certificate {shown} cannot be read: {why}"),
            format!("无法读取证书 {shown}：{why}"),
            "correct the path, or let the user that Safelight runs as read it",
            "请改正路径，或让运行 Safelight 的用户可以读取",
        ),
        Part::Key => Trouble::new(
            part,
            format!("the key {shown} cannot be read: {why}"),
            format!("无法读取私钥 {shown}：{why}"),
            "correct the path, or make the user that Safelight runs as its owner",
            "请改正路径，或把文件属主改为运行 Safelight 的用户",
        ),
    };
    let meta = std::fs::metadata(path).map_err(|e| fail(words(&e)))?;
    if !meta.is_file() {
        return Err(fail("it is no file".to_owned()));
    }
    if meta.len() > LARGEST {
        return Err(fail(format!("{} bytes are too many", meta.len())));
    }
    std::fs::read(path).map_err(|e| fail(words(&e)))
}

fn words(e: &io::Error) -> String {
    match e.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => e.to_string(),
    }
}

/// A key that everybody on the machine can read is no secret. The group may read it: that is how some systems share keys.
fn closed_to_others(key: &Path) -> Result<(), Trouble> {
    let Ok(meta) = std::fs::metadata(key) else { return Ok(()) };
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o007 == 0 {
        return Ok(());
    }
    let shown = key.display();
    Err(Trouble::new(
        Part::Key,
        format!("everybody on this machine may use the key {shown} (mode {mode:04o})"),
        format!("本机任何用户都能使用私钥 {shown}（权限 {mode:04o}）"),
        &format!("`chmod 600 {shown}`, and think about a new key"),
        &format!("请运行 `chmod 600 {shown}`，并考虑更换密钥"),
    ))
}

type Facts = (Vec<String>, i64, i64);

fn facts(der: &CertificateDer<'_>) -> Result<Facts, String> {
    let (_, cert) = X509Certificate::from_der(der).map_err(|e| e.to_string())?;
    let mut names = Vec::new();
    for extension in cert.extensions() {
        if let ParsedExtension::SubjectAlternativeName(san) = extension.parsed_extension() {
            names.extend(san.general_names.iter().filter_map(|n| match n {
                GeneralName::DNSName(d) => Some((*d).to_owned()),
                GeneralName::IPAddress(b) => address(b),
                _ => None,
            }));
        }
    }
    Ok((names, cert.validity().not_before.timestamp(), cert.validity().not_after.timestamp()))
}

/// An IP address of a certificate, in its usual form.
#[must_use]
pub fn address(bytes: &[u8]) -> Option<String> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|b| std::net::IpAddr::from(b).to_string()),
        16 => <[u8; 16]>::try_from(bytes).ok().map(|b| std::net::IpAddr::from(b).to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, names: &[&str], mode: u32) -> CertificateFiles {
        let made =
            rcgen::generate_simple_self_signed(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>())
                .unwrap();
        let files = CertificateFiles { certificate: dir.join("c.pem"), key: dir.join("k.pem") };
        std::fs::write(&files.certificate, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(mode)).unwrap();
        files
    }

    #[test]
    fn a_pair_is_read_with_its_names_and_dates() {
        let dir = tempfile::tempdir().unwrap();
        let loaded = load(&write(dir.path(), &["example.com", "*.example.org", "192.0.2.7"], 0o600)).unwrap();
        assert_eq!(loaded.names, ["example.com", "*.example.org", "192.0.2.7"]);
        assert!(loaded.not_before < loaded.not_after);
    }

    #[test]
    fn what_is_wrong_is_said_with_the_file_and_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let good = write(dir.path(), &["example.com"], 0o600);
        let says = |files: &CertificateFiles, part: Part, what: &str| {
            let t = load(files).unwrap_err();
            assert_eq!(t.part, part, "{t}");
            assert!(t.to_string().contains(what), "{t}");
            assert!(!t.zh.is_empty() && !t.help_en.is_empty() && !t.help_zh.is_empty());
        };
        let gone = CertificateFiles { certificate: dir.path().join("gone.pem"), ..good.clone() };
        says(&gone, Part::Certificate, "there is no such file");
        let swapped = CertificateFiles { certificate: good.key.clone(), ..good.clone() };
        says(&swapped, Part::Certificate, "no certificate in PEM form");
        let swapped = CertificateFiles { key: good.certificate.clone(), ..good.clone() };
        std::fs::set_permissions(&good.certificate, std::fs::Permissions::from_mode(0o600)).unwrap();
        says(&swapped, Part::Key, "no private key in PEM form");
        let other = tempfile::tempdir().unwrap();
        let mixed =
            CertificateFiles { key: write(other.path(), &["example.com"], 0o600).key, ..good.clone() };
        says(&mixed, Part::Key, "is not the key of");
        std::fs::set_permissions(&good.key, std::fs::Permissions::from_mode(0o644)).unwrap();
        says(&good, Part::Key, "chmod 600");
        std::fs::set_permissions(&good.key, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(load(&good).is_ok(), "its group may read a key");
    }

    #[test]
    fn a_stamp_tells_a_new_file_from_an_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let files = write(dir.path(), &["example.com"], 0o600);
        let before = stamp(&files).unwrap();
        assert_eq!(stamp(&files).unwrap(), before);
        std::fs::rename(&files.key, dir.path().join("old.pem")).unwrap();
        assert_eq!(stamp(&files), None);
        write(dir.path(), &["example.com"], 0o600);
        assert_ne!(stamp(&files).unwrap(), before);
    }
}
