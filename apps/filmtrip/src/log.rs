//! Log lines on stdout: plain text, or JSON when `FILMTRIP_LOG_FORMAT=json`.

use tracing_subscriber::filter::LevelFilter;

/// Starts logging for the process. A second call changes nothing.
pub fn init(json: bool) {
    let builder = tracing_subscriber::fmt()
        .with_writer(std::io::stdout)
        .with_max_level(LevelFilter::INFO)
        .with_target(false)
        .with_ansi(false);
    // Only a second call can fail, and then the first one's subscriber goes on working.
    let _already_set = if json { builder.json().try_init() } else { builder.try_init() };
}
