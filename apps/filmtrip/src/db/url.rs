//! `DATABASE_URL`: which database, and how to reach it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use postgres::config::{Host, SslMode};

use super::sql::{DbError, DbResult, Sql};

/// Where the database is. Its `Debug` and `Display` never show a password.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// A file.
    Sqlite(PathBuf),
    /// A server.
    Postgres(Arc<Server>),
}

/// A PostgreSQL server and database.
#[derive(Clone)]
pub struct Server {
    config: postgres::Config,
}

impl DatabaseUrl {
    /// Reads `sqlite:PATH` or `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=...`.
    ///
    /// # Errors
    /// What is wrong with it, without repeating what may be secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        let sqlite = text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:"));
        if let Some(path) = sqlite {
            let path = path.split('?').next().unwrap_or_default();
            return match path {
                "" | ":memory:" => Err("must be sqlite:PATH of a file".to_owned()),
                path => Ok(Self::Sqlite(PathBuf::from(path))),
            };
        }
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            // The value may hold a password: only its scheme is repeated.
            let scheme = text.split(':').next().unwrap_or_default();
            let known = "must be sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE";
            return Err(if scheme.len() < text.len() {
                format!("{known}, not `{scheme}:`")
            } else {
                known.to_owned()
            });
        }
        let config: postgres::Config = text
            .parse()
            .map_err(|e: postgres::Error| format!("not a usable postgres:// URL: {}", cause(&e)))?;
        if config.get_dbname().is_none() {
            return Err("names no database: postgres://USER:PASSWORD@HOST/DATABASE".to_owned());
        }
        if config.get_hosts().is_empty() {
            return Err("names no host: postgres://USER:PASSWORD@HOST/DATABASE".to_owned());
        }
        Ok(Self::Postgres(Arc::new(Server { config })))
    }

    /// The file, when it is SQLite.
    #[must_use]
    pub fn file(&self) -> Option<&std::path::Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }
}

fn cause(error: &postgres::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(server) => {
                let host = match server.config.get_hosts().first() {
                    Some(Host::Tcp(name)) => name.clone(),
                    Some(Host::Unix(path)) => path.display().to_string(),
                    None => String::new(),
                };
                let port = server.config.get_ports().first().copied().unwrap_or(5432);
                write!(f, "postgres://{host}:{port}/{}", server.config.get_dbname().unwrap_or_default())
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How long a server may acknowledge nothing.
const DEAD: Duration = Duration::from_secs(10);

impl Server {
    /// Connects. Waits at most `wait` for the server, and as long for each lock.
    ///
    /// # Errors
    /// Not reachable, refused, or no certificate to check it by.
    pub(super) fn connect(&self, wait: Duration) -> DbResult<Sql> {
        let mut config = self.config.clone();
        config.connect_timeout(wait).application_name("filmtrip");
        // A server that vanished without a word is noticed in seconds, not after a quarter of an hour.
        config.tcp_user_timeout(DEAD).keepalives_idle(DEAD);
        // Neither a lock nor a runaway query holds a connection of the pool for ever.
        let millis = wait.as_millis();
        let limits = format!(
            "-c lock_timeout={millis} -c statement_timeout={} -c idle_in_transaction_session_timeout=60000",
            30_000
        );
        let options = config.get_options().map_or_else(|| limits.clone(), |own| format!("{own} {limits}"));
        config.options(&options);
        let client = if config.get_ssl_mode() == SslMode::Disable || unix_only(&config) {
            config.connect(postgres::NoTls)?
        } else {
            config.connect(tls()?)?
        };
        Ok(Sql::Postgres(Box::new(client), std::collections::HashMap::new()))
    }
}

fn unix_only(config: &postgres::Config) -> bool {
    config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)))
}

fn tls() -> DbResult<tokio_postgres_rustls::MakeRustlsConnect> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in rustls_native_certs::load_native_certs().certs {
        // One that cannot be read helps nobody, and hurts only where it is the needed one: then the connect says so.
        let _unusable = roots.add(certificate).is_err();
    }
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| DbError::Other(format!("TLS: {e}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
    Ok(tokio_postgres_rustls::MakeRustlsConnect::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_never_shown() {
        let url = DatabaseUrl::parse("postgres://film:s3cret@db.example.com:5433/trip").expect("good");
        assert_eq!(format!("{url} {url:?}").matches("s3cret").count(), 0);
        assert_eq!(url.to_string(), "postgres://db.example.com:5433/trip");
        for bad in [
            "mysql://u:s3cret@h/d",
            "postgres://u:s3cret@h",
            "postgres://u:s3cret@h:x/d",
            "s3cret",
            "sqlite:",
        ] {
            let problem = DatabaseUrl::parse(bad).expect_err(bad);
            assert!(!problem.contains("s3cret"), "{problem}");
        }
    }
}
