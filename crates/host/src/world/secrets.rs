//! What must never be shown: which values of an environment are secrets, and how they are taken out of a line.

use safelight_engine::driver::env::EnvFile;

/// Variables whose values are no secrets and stand in many a line that people need.
const OPEN: [&str; 26] = [
    "APP_ENV",
    "DEBUG",
    "ENV",
    "HOME",
    "HOST",
    "HOSTNAME",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_CTYPE",
    "LOGNAME",
    "LOG_LEVEL",
    "NODE_ENV",
    "NODE_OPTIONS",
    "PATH",
    "PORT",
    "PWD",
    "RAILS_ENV",
    "RUST_LOG",
    "SAFELIGHT_HOME",
    "SAFELIGHT_REHEARSAL",
    "SAFELIGHT_RELEASE",
    "SHELL",
    "TERM",
    "TZ",
    "USER",
];
/// Values that are words of everyday use, whatever variable they stand in.
const PLAIN: [&str; 10] = [
    "console",
    "default",
    "development",
    "disabled",
    "enabled",
    "localhost",
    "production",
    "sqlite",
    "staging",
    "verbose",
];
/// Names that say it: even a short value under them is a secret.
const TELLING: [&str; 14] = [
    "AUTH",
    "CREDENTIAL",
    "DATABASE_URL",
    "DSN",
    "KEY",
    "PASS",
    "PRIVATE",
    "PWD",
    "REDIS_URL",
    "SALT",
    "SECRET",
    "SIGNATURE",
    "TOKEN",
    "URI",
];
/// A value of fewer characters would be found inside of words that have nothing to do with it.
const SHORTEST: usize = 6;
/// The same under a telling name.
const SHORTEST_TELLING: usize = 4;

/// Values of an environment that must never be shown, longest first: a secret inside of another one must not leave the
/// rest of it standing. All values are, but for those that are known to be none. `also` names further secret variables.
pub(crate) fn secret_values(env: &EnvFile, also: impl Iterator<Item = String>) -> Vec<String> {
    let also: Vec<String> = also.collect();
    let mut secrets: Vec<String> = Vec::new();
    for (name, value) in &env.vars {
        let telling = also.contains(name) || is_telling(name);
        if !telling && is_open(name, value) {
            continue;
        }
        let shortest = if telling { SHORTEST_TELLING } else { SHORTEST };
        // Output comes line by line, and a key has many of them. A password may come without its address.
        let parts = value.lines().chain(password(value)).map(str::trim);
        secrets.extend(parts.filter(|p| p.chars().count() >= shortest).map(str::to_owned));
    }
    secrets.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    secrets.dedup();
    secrets
}

fn is_telling(name: &str) -> bool {
    let name = name.to_uppercase();
    name != "PWD" && TELLING.iter().any(|t| name.contains(t))
}

fn is_open(name: &str, value: &str) -> bool {
    let upper = name.to_uppercase();
    let a_place = ["DIR", "PATH", "FILE", "ROOT"].iter().any(|end| upper.ends_with(end))
        && (value.starts_with('/') || value.starts_with('.'));
    OPEN.contains(&upper.as_str())
        || PLAIN.contains(&value.to_lowercase().as_str())
        || a_place
        || is_origin(value)
}

/// `https://example.com:8443`: an address with nothing in it but where.
fn is_origin(value: &str) -> bool {
    let Some((scheme, rest)) = value.split_once("://") else { return false };
    let host = rest.strip_suffix('/').unwrap_or(rest);
    let is_host = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b);
    matches!(scheme, "http" | "https" | "ws" | "wss") && !host.is_empty() && host.bytes().all(is_host)
}

/// The password of `redis://user:password@host/0`.
fn password(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once("://")?;
    let (user, _) = rest.rsplit_once('@')?;
    Some(user.split_once(':')?.1)
}

/// Replaces secrets in a line, and drops what would steer a terminal: colours of tools, and worse from outside.
pub(crate) fn redact(line: &str, secrets: &[String]) -> String {
    let clean = secrets.iter().fold(line.to_owned(), |l, s| l.replace(s.as_str(), "***"));
    let mut out = String::with_capacity(clean.len());
    let mut chars = clean.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' if chars.peek() == Some(&'[') => {
                chars.next();
                // A control sequence ends with a byte from `@` to `~`.
                while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
            }
            '\t' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(env: &str) -> Vec<String> {
        secret_values(&EnvFile::parse(env.as_bytes()).unwrap_or_default(), std::iter::empty())
    }

    #[test]
    fn secrets_and_terminal_control_never_leave_a_line() {
        let secrets = vec!["hunter22".to_owned()];
        assert_eq!(
            redact("\u{1b}[31merror\u{1b}[0m: hunter22\u{7} at\tline", &secrets),
            "error: *** at\tline"
        );
        assert_eq!(redact("\u{1b}[", &[]), "");
    }

    #[test]
    fn every_value_is_secret_but_for_those_that_are_known_to_be_none() {
        for line in [
            "SESSION_SECRET=abcd",
            "DB_PASS=s3cr",
            "SMTP_PWD=hunter2",
            "REDIS_URL=redis://cache.internal:6379/0",
            "MONGO_URI=mongodb://db/app",
            "HASH_SALT=pepper",
            "SLACK_WEBHOOK=https://hooks.example.com/services/T0/B0/abcdef",
            "SOMETHING=correct-horse",
            "BASE64=/9j/4AAQSkZJRg",
        ] {
            let value = line.split_once('=').map(|(_, v)| v.to_owned()).unwrap_or_default();
            assert_eq!(secrets(line), [value], "{line}");
        }
        for line in [
            "PORT=300000",
            "NODE_ENV=production",
            "MODE=production",
            "PATH=/usr/local/bin:/usr/bin",
            "UPLOAD_DIR=/srv/uploads",
            "PUBLIC_URL=https://notes.example.com/",
            "SHORT=abcde",
        ] {
            assert!(secrets(line).is_empty(), "{line}");
        }
    }

    #[test]
    fn a_secret_inside_of_another_leaves_nothing_of_it() {
        let all = secrets("A_TOKEN=abcd\nB_TOKEN=abcd-efgh-ijkl\n");
        assert_eq!(redact("token abcd-efgh-ijkl, abcd", &all), "token ***, ***");
    }

    #[test]
    fn a_password_is_found_without_its_address_and_a_key_line_by_line() {
        let all = secrets("CACHE=redis://app:hunter22@cache:6379/0\n");
        assert_eq!(
            redact("WRONGPASS hunter22 for redis://app:hunter22@cache:6379/0", &all),
            "WRONGPASS *** for ***"
        );
        let key = EnvFile {
            vars: [("TLS_KEY".to_owned(), "-----BEGIN-----\nMIIEvQ\n-----END-----".to_owned())].into(),
            ..EnvFile::default()
        };
        assert_eq!(redact("got MIIEvQ", &secret_values(&key, std::iter::empty())), "got ***");
    }
}
