//! The shim on its own, for this crate's tests. The product runs it as `safelight detached-shim DIR`.

use std::{path::Path, process::ExitCode};

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1) else {
        eprintln!("usage: safelight-shim DIR");
        return ExitCode::from(2);
    };
    safelight_drivers::process::shim::main(Path::new(&dir))
}
