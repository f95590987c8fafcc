//! A project's configuration, as it is in its directory.

use crate::api::{ApiError, ErrorKind};
use safelight_engine::{
    config::{self, Config},
    text::{Lang, Text},
};
use std::path::Path;

/// Reads a project's configuration, with errors a person can act on.
///
/// # Errors
/// When it is missing or wrong.
pub fn load_config(project: &Path) -> Result<(Config, String), ApiError> {
    let file = project.join("safelight.toml");
    let shown = file.display();
    let text = match std::fs::read(&file) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| {
            ApiError::new(
                ErrorKind::Config,
                safelight_engine::text!("{shown} is not UTF-8", "{shown} 不是 UTF-8 编码"),
            )
        })?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(ApiError::new(
                ErrorKind::Config,
                safelight_engine::text!("there is no {shown}", "没有 {shown}"),
            )
            .with_help(Text::new(
                "`safelight init` writes one from what it finds",
                "`safelight init` 会根据现有情况生成",
            )));
        }
        Err(e) => {
            return Err(ApiError::new(
                ErrorKind::Config,
                safelight_engine::text!("{shown} cannot be read: {e}", "无法读取 {shown}：{e}"),
            ));
        }
    };
    match config::load::parse("safelight.toml", &text) {
        Ok(c) => Ok((c, text)),
        Err(e) => Err(ApiError::new(ErrorKind::Config, Text::new(e.render(Lang::En), e.render(Lang::Zh)))),
    }
}
