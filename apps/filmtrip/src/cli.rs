//! The command line: arguments, what each command does, and exit codes.
//! 0 done, 1 failed, 2 usage or configuration.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use rusqlite::{Connection, TransactionBehavior};

use crate::auth::{SETUP_MS, password, session};
use crate::config::{Config, Fault, Role, environment};
use crate::db::migrations::{self, NEWEST, SchemaError};
use crate::db::{self, BUSY_TIMEOUT, Db, now_ms, photos, users};
use crate::images::{sample, worker};
use crate::model::UserRole;
use crate::routes::api::{self, Api};
use crate::routes::web::{self, backend::Backend};
use crate::storage::{Storage, StorageError};
use crate::{VERSION, log, server};

#[derive(Debug, Parser)]
#[command(name = "filmtrip", version = VERSION, about = "A photo service for people who shoot film")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve pages, JSON and images from one process
    Serve,
    /// Serve JSON and images only
    Api,
    /// Serve pages only, asking the API at FILMTRIP_API_URL
    Web,
    /// Bring the database's schema forward
    Migrate(MigrateArgs),
    /// Manage accounts
    Admin {
        #[command(subcommand)]
        command: AdminCommand,
    },
    /// Print the version and the release
    Version,
    /// Make a test photo: a landscape with film grain, the same for the same seed
    MakePhoto(PhotoArgs),
    /// Decode one image for the server, which says on standard input which
    #[command(name = worker::COMMAND, hide = true)]
    ImageWorker,
}

#[derive(Debug, Args)]
struct MigrateArgs {
    /// Stop at this schema; without it, go to the newest
    #[arg(long, value_name = "N")]
    to: Option<u32>,
    /// Only print what is applied and what is not
    #[arg(long, conflicts_with = "to")]
    status: bool,
}

#[derive(Debug, Subcommand)]
enum AdminCommand {
    /// Create an account. The password comes from FILMTRIP_ADMIN_PASSWORD or standard input; with
    /// neither, a one-time set-up link is printed
    Create {
        /// Email to log in with
        #[arg(long)]
        email: String,
        /// What the account may do
        #[arg(long, value_enum, default_value = "admin")]
        role: UserRole,
        /// Read the password from standard input
        #[arg(long)]
        password_stdin: bool,
    },
}

#[derive(Debug, Args)]
struct PhotoArgs {
    /// Where to write the JPEG
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Width in pixels
    #[arg(long, default_value_t = 1600)]
    width: u32,
    /// Height in pixels
    #[arg(long, default_value_t = 1067)]
    height: u32,
    /// Which photo
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Why a command ended without doing its work.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error("{}", list(.0))]
    Config(Vec<Fault>),
    #[error("{0}")]
    Usage(String),
    #[error("DATABASE_URL: {path}: {source}")]
    Open { path: PathBuf, source: rusqlite::Error },
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("{0}")]
    Failed(String),
}

impl CliError {
    fn code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Schema(SchemaError::Failed { .. } | SchemaError::Read(_)) => 1,
            _ => 2,
        }
    }
}

fn list(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\nerror: ")
}

fn failed(what: &str) -> impl Fn(std::io::Error) -> CliError + '_ {
    move |e| CliError::Failed(format!("{what}: {e}"))
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve => serve(Role::Serve),
        Command::Api => serve(Role::Api),
        Command::Web => serve(Role::Web),
        Command::Migrate(args) => migrate(&args),
        Command::Admin { command: AdminCommand::Create { email, role, password_stdin } } => {
            create_account(&email, role, password_stdin)
        }
        Command::Version => version(),
        Command::MakePhoto(args) => make_photo(&args),
        Command::ImageWorker => worker::run().map_err(CliError::Failed),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.code())
        }
    }
}

fn read_config(role: Role) -> Result<Config, CliError> {
    Config::read(role, &environment()).map_err(CliError::Config)
}

fn open_database(path: &Path, create: bool) -> Result<Connection, CliError> {
    let fail = |source| CliError::Open { path: path.to_owned(), source };
    if create && let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(failed("DATABASE_URL: folder"))?;
    }
    if !create && !path.exists() {
        let hint = "DATABASE_URL: there is no such file; run `filmtrip migrate` to create it";
        return Err(CliError::Usage(format!("{hint}: {}", path.display())));
    }
    db::open(path, create, BUSY_TIMEOUT).map_err(fail)
}

fn migrate(args: &MigrateArgs) -> Result<(), CliError> {
    let config = read_config(Role::Api)?;
    let failed_read = |e| CliError::Schema(SchemaError::Read(e));
    if args.status {
        let conn = open_database(&config.database, false)?;
        print!("{}", migrations::status(&conn).map_err(failed_read)?);
        return Ok(());
    }
    let mut conn = open_database(&config.database, true)?;
    let applied = migrations::migrate(&mut conn, args.to.unwrap_or(NEWEST))?;
    for migration in &applied {
        println!("applied {:04} {}", migration.number, migration.name);
    }
    let current = migrations::version(&conn).map_err(failed_read)?;
    if applied.is_empty() {
        println!("schema {current}, nothing to do");
    } else {
        println!("schema {current}");
    }
    Ok(())
}

fn serve(role: Role) -> Result<(), CliError> {
    let config = read_config(role)?;
    log::init(config.log_json);
    for variable in &config.unknown {
        tracing::warn!("{variable} is not known to this version and has no effect");
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed("runtime"))?;
    let result = runtime.block_on(run(role, config));
    // A stuck probe or decoder must not keep the process from ending.
    runtime.shutdown_background();
    result
}

async fn run(role: Role, config: Config) -> Result<(), CliError> {
    let address = SocketAddr::new(config.host, config.port);
    let max = config.max_in_flight;
    let web_error = |e: crate::error::ApiError| CliError::Failed(e.to_string());
    if role == Role::Web {
        let origin = config.api_url.clone().unwrap_or_default();
        let router = web::router(config, Backend::remote(&origin), true).map_err(web_error)?;
        return server::run(router, address, max, || async {}).await.map_err(failed("serve"));
    }
    let api = open_api(config)?;
    let mut router = api::standalone(&api);
    if role == Role::Serve {
        let pages = web::router(api.config.clone(), Backend::Local(router), false).map_err(web_error)?;
        router = pages.merge(api::router(&api));
    }
    let background = Arc::clone(&api);
    server::run(router, address, max, || async move { background.jobs.drained().await })
        .await
        .map_err(failed("serve"))
}

/// Checks database and storage before anything listens.
fn open_api(config: Config) -> Result<Arc<Api>, CliError> {
    let mut conn = open_database(&config.database, config.auto_migrate)?;
    if config.auto_migrate {
        for migration in migrations::migrate_forward(&mut conn)? {
            tracing::info!("applied migration {:04} {}", migration.number, migration.name);
        }
    }
    let schema = migrations::check(&conn)?;
    if schema < NEWEST {
        tracing::warn!(
            "schema {schema} is older than {NEWEST}: newer features stay hidden until it is migrated"
        );
    } else if schema > NEWEST {
        tracing::warn!("schema {schema} is newer than this version's {NEWEST}; running on it as it is");
    }
    let (photos, _) = photos::totals(&conn).map_err(SchemaError::Read)?;
    let storage = Storage::open(&config.media_dir, photos > 0)?;
    tracing::info!("release {} on schema {schema}, {photos} photos", config.release);
    let db = Db::new(config.database.clone());
    Ok(Api::new(config, db, storage))
}

fn create_account(email: &str, role: UserRole, password_stdin: bool) -> Result<(), CliError> {
    let config = read_config(Role::Api)?;
    let email = email.trim().to_lowercase();
    let valid = email.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    if !valid || email.len() > 254 || email.contains(char::is_whitespace) {
        return Err(CliError::Usage(format!("--email: `{email}` is not an email address")));
    }
    let password = if password_stdin {
        let mut text = String::new();
        std::io::stdin().take(4096).read_to_string(&mut text).map_err(failed("standard input"))?;
        Some(text.trim_end_matches(['\r', '\n']).to_owned())
    } else {
        std::env::var("FILMTRIP_ADMIN_PASSWORD").ok()
    };
    let hash = password.as_deref().map(password::hash).transpose();
    let hash = hash.map_err(|e| CliError::Usage(e.to_string()))?;
    let mut conn = open_database(&config.database, false)?;
    migrations::check(&conn)?;
    let write = |e: rusqlite::Error| CliError::Failed(format!("database: {e}"));
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(write)?;
    let Some(id) = users::create(&tx, &email, role, hash.as_deref()).map_err(write)? else {
        return Err(CliError::Failed(format!("there is an account {email} already")));
    };
    let link = if hash.is_none() {
        let token = session::new_token();
        users::add_setup_token(&tx, id, &session::token_hash(&token), now_ms() + SETUP_MS).map_err(write)?;
        let base =
            config.public_origin.clone().unwrap_or_else(|| format!("http://127.0.0.1:{}", config.port));
        Some(format!("{base}/setup?token={token}"))
    } else {
        None
    };
    tx.commit().map_err(write)?;
    println!("created {} {email}", role.as_str());
    if let Some(link) = link {
        println!("{link}");
    }
    Ok(())
}

fn version() -> Result<(), CliError> {
    let release = environment().get("FILMTRIP_RELEASE").cloned().unwrap_or_else(|| VERSION.to_owned());
    println!("filmtrip {VERSION} release {release} schema {NEWEST} needs {}", migrations::MINIMUM);
    Ok(())
}

fn make_photo(args: &PhotoArgs) -> Result<(), CliError> {
    let jpeg =
        sample::photo(args.width, args.height, args.seed).map_err(|e| CliError::Usage(e.to_string()))?;
    let name = args.out.display().to_string();
    let mut file = std::fs::File::create(&args.out).map_err(failed(&name))?;
    file.write_all(&jpeg).map_err(failed(&name))?;
    Ok(())
}
