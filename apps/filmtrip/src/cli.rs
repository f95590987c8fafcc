//! The command line: arguments, what each command does, and exit codes.
//! 0 done, 1 failed, 2 usage or configuration.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};

use crate::auth::{SETUP_MS, password, session};
use crate::config::{Config, Fault, Role, environment};
use crate::db::migrations::{self, NEWEST, SchemaError};
use crate::db::sql::{DbError, Sql};
use crate::db::{self, BUSY_TIMEOUT, DatabaseUrl, Db, accounts, now_ms, photos, uploads};
use crate::images::{sample, watermark, worker};
use crate::model::UserRole;
use crate::routes::api::{self, Api, admin};
use crate::routes::web::{self, backend::Backend};
use crate::storage::{Backend as Place, Local, S3, Storage, StorageError, Upyun};
use crate::{VERSION, log, server, work};

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
    #[error("DATABASE_URL: {url}: {source}")]
    Open { url: DatabaseUrl, source: DbError },
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("database: {0}")]
    Database(#[from] DbError),
    #[error("{0}")]
    Failed(String),
}

impl CliError {
    fn code(&self) -> u8 {
        match self {
            Self::Failed(_)
            | Self::Database(_)
            | Self::Schema(SchemaError::Failed { .. } | SchemaError::Read(_)) => 1,
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

fn open_database(url: &DatabaseUrl, create: bool) -> Result<Sql, CliError> {
    if let Some(path) = url.file() {
        if create && let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(failed("DATABASE_URL: folder"))?;
        }
        if !create && !path.exists() {
            let hint = "DATABASE_URL: there is no such file; run `filmtrip migrate` to create it";
            return Err(CliError::Usage(format!("{hint}: {}", path.display())));
        }
    }
    db::open(url, create, BUSY_TIMEOUT).map_err(|source| CliError::Open { url: url.clone(), source })
}

fn migrate(args: &MigrateArgs) -> Result<(), CliError> {
    let config = read_config(Role::Api)?;
    let failed_read = |e| CliError::Schema(SchemaError::Read(e));
    if args.status {
        let mut sql = open_database(&config.database, false)?;
        print!("{}", migrations::status(&mut sql).map_err(failed_read)?);
        return Ok(());
    }
    let mut sql = open_database(&config.database, true)?;
    let applied = migrations::migrate(&mut sql, args.to.unwrap_or(NEWEST))?;
    for migration in &applied {
        println!("applied {:04} {}", migration.number, migration.name);
    }
    let current = migrations::version(&mut sql).map_err(failed_read)?;
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
    for doubt in config.doubts() {
        tracing::warn!("{doubt}");
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
    // A connection to a server waits for the network, and must not do so on an async thread.
    let opened = tokio::task::spawn_blocking(move || open_api(config)).await;
    let api = opened.map_err(|e| CliError::Failed(format!("start: {e}")))??;
    let mut router = api::standalone(&api);
    if role == Role::Serve {
        let pages = web::router(api.config.clone(), Backend::Local(router), false).map_err(web_error)?;
        router = pages.merge(api::router(&api));
    }
    let storage = api.storage.clone();
    tokio::spawn(async move {
        // Told at once, not only when health is asked; no reason not to start, since old photos may be shown all the same.
        if let Err(e) = storage.probe().await {
            tracing::error!("new photos cannot be stored: {e}");
        }
    });
    let background = Arc::clone(&api);
    let mut workers = work::start(&api);
    let finish = || async move {
        background.queue.stop();
        background.capacity.drained().await;
        while workers.join_next().await.is_some() {}
    };
    server::run(router, address, max, finish).await.map_err(failed("serve"))
}

/// Checks database and storage before anything listens.
fn open_api(config: Config) -> Result<Arc<Api>, CliError> {
    if let Some(path) = &config.watermark {
        watermark::check(path).map_err(|e| CliError::Usage(format!("FILMTRIP_WATERMARK: {e}")))?;
    }
    let mut sql = open_database(&config.database, config.auto_migrate)?;
    if config.auto_migrate {
        for migration in migrations::migrate_forward(&mut sql)? {
            tracing::info!("applied migration {:04} {}", migration.number, migration.name);
        }
    }
    let schema = migrations::check(&mut sql)?;
    if schema < NEWEST {
        tracing::warn!(
            "schema {schema} is older than {NEWEST}: newer features stay hidden until it is migrated"
        );
    } else if schema > NEWEST {
        tracing::warn!("schema {schema} is newer than this version's {NEWEST}; running on it as it is");
    }
    let read = |e| CliError::Schema(SchemaError::Read(e));
    let mut places = photos::places(&mut sql).map_err(read)?;
    let (photos, trashed, _) = photos::totals(&mut sql).map_err(read)?;
    // The media folder may be new to an upload that was given up; the other places may not be forgotten.
    places
        .extend(uploads::places(&mut sql).map_err(read)?.into_iter().filter(|p| p != Place::Local.as_str()));
    let storage = open_storage(&config, &places)?;
    tracing::info!("release {} on schema {schema}, {photos} photos, {trashed} in the trash", config.release);
    if accounts::count(&mut sql).map_err(read)? == 0 {
        println!(
            "nobody can log in yet: `filmtrip admin create --email YOU@example.com` prints a one-time link"
        );
    }
    let db = Db::new(config.database.clone());
    Ok(Api::new(config, db, storage))
}

const ADMIN_PASSWORD: &str = "FILMTRIP_ADMIN_PASSWORD";
const UPYUN: &str = "UPYUN_BUCKET, UPYUN_OPERATOR, UPYUN_PASSWORD, UPYUN_CDN_DOMAIN";
const STYLES: &str = "UPYUN_CDN_DOMAIN, UPYUN_STYLE_THUMB, UPYUN_STYLE_PREVIEW, UPYUN_STYLE_LARGE";
const S3_NEEDS: &str = "S3_BUCKET, S3_ENDPOINT, S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY";

/// Opens every place that is configured, and refuses to start without one that photos are in.
fn open_storage(config: &Config, places: &[String]) -> Result<Storage, CliError> {
    let holds = |place: &str| places.iter().any(|p| p == place);
    for (place, there, variables) in [
        (Place::Upyun.as_str(), config.upyun.is_some(), UPYUN),
        ("style", config.upyun.as_ref().is_some_and(|u| u.styles.is_some()), STYLES),
        (Place::S3.as_str(), config.s3.is_some(), S3_NEEDS),
    ] {
        if holds(place) && !there {
            let problem =
                "are needed: the database has photos or uploads there, whatever is set for new ones";
            return Err(CliError::Usage(format!("{variables}: {problem}")));
        }
    }
    let wrong = |variable: &'static str| move |e: String| CliError::Usage(format!("{variable}: {e}"));
    Ok(Storage {
        local: Local::open(&config.media_dir, holds(Place::Local.as_str()))?,
        upyun: config
            .upyun
            .as_ref()
            .map(Upyun::new)
            .transpose()
            .map_err(wrong("UPYUN_API_URL"))?
            .map(Arc::new),
        s3: config.s3.as_ref().map(S3::new).transpose().map_err(wrong("S3_ENDPOINT"))?.map(Arc::new),
        main: config.storage,
    })
}

fn create_account(email: &str, role: UserRole, password_stdin: bool) -> Result<(), CliError> {
    let config = read_config(Role::Api)?;
    let email = admin::email(email).map_err(|e| CliError::Usage(format!("--email: {e}")))?;
    let password = if password_stdin {
        let mut text = String::new();
        std::io::stdin().take(4096).read_to_string(&mut text).map_err(failed("standard input"))?;
        Some(text.trim_end_matches(['\r', '\n']).to_owned())
    } else {
        environment().remove(ADMIN_PASSWORD)
    };
    let hash = password.as_deref().map(password::hash).transpose();
    let from = if password_stdin { "--password-stdin" } else { ADMIN_PASSWORD };
    let hash = hash.map_err(|e| CliError::Usage(format!("{from}: {e}")))?;
    let mut sql = open_database(&config.database, false)?;
    migrations::check(&mut sql)?;
    let link = sql.in_transaction(|sql| {
        let write = |e: DbError| CliError::Failed(format!("database: {e}"));
        let Some(id) = accounts::create(sql, &email, role, hash.as_deref()).map_err(write)? else {
            return Err(CliError::Failed(format!("there is an account {email} already")));
        };
        if hash.is_some() {
            return Ok(None);
        }
        let token = session::new_token();
        let until = now_ms() + SETUP_MS;
        accounts::add_setup_token(sql, id, &session::token_hash(&token), until).map_err(write)?;
        let base =
            config.public_origin.clone().unwrap_or_else(|| format!("http://127.0.0.1:{}", config.port));
        Ok(Some(format!("{base}/setup?token={token}")))
    })?;
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
