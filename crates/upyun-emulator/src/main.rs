//! Runs the emulator until Ctrl-C and prints what a client needs to know.
use std::process::ExitCode;

use clap::Parser;
use safelight_upyun_emulator::{Config, Emulator};

/// A loopback Upyun for development: REST, forms, callbacks, image styles and CDN.
#[derive(Parser)]
#[command(name = "upyun-emulator", version)]
struct Args {
    /// Bucket (service) to make.
    #[arg(long, default_value = "photos")]
    bucket: String,
    /// Operator with all rights on it.
    #[arg(long, default_value = "operator")]
    operator: String,
    /// The operator's password.
    #[arg(long, default_value = "operator-password")]
    password: String,
    /// Port of REST, form and purge API on 127.0.0.1; 0 picks a free one.
    #[arg(long, default_value_t = 8700)]
    api_port: u16,
    /// Port of the CDN.
    #[arg(long, default_value_t = 8701)]
    cdn_port: u16,
    /// Port of the control API.
    #[arg(long, default_value_t = 8702)]
    control_port: u16,
    /// Additional domain served by the CDN (value of the Host header); may be repeated.
    #[arg(long)]
    domain: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("upyun-emulator: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::single(&args.bucket, &args.operator, &args.password);
    (config.api_port, config.cdn_port, config.control_port) =
        (args.api_port, args.cdn_port, args.control_port);
    let form_key = config.buckets.first().map(|bucket| bucket.form_key.clone()).unwrap_or_default();
    let styles: Vec<String> =
        config.buckets.iter().flat_map(|bucket| bucket.styles.keys().cloned()).collect();
    let emulator = Emulator::start(config).await?;
    for host in &args.domain {
        emulator.bind_domain(host, &args.bucket, None)?;
    }
    println!("endpoint  {}", emulator.api_endpoint());
    println!("cdn       {}", emulator.cdn_endpoint());
    println!("control   {}", emulator.control_endpoint());
    println!("bucket    {}", args.bucket);
    println!("operator  {}", args.operator);
    println!("password  {}", args.password);
    println!("form key  {form_key}");
    println!("styles    {}", styles.join(", "));
    tokio::signal::ctrl_c().await?;
    Ok(())
}
