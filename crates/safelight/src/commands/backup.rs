//! `safelight backup`: a copy of the database now, proven by a restore.

use crate::{
    Global,
    busy::Busy,
    error::CommandError,
    local,
    output::{Format, Output},
};
use safelight_engine::{
    config::ByteSize,
    text::{Lang, Text},
};

#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(_: &Args, g: &Global, out: &Output) -> Result<u8, CommandError> {
    let ctx = local::runs()?.open(&local::project(&g.dir)?, &g.env)?;
    let busy = Busy::with(out, &Text::new("copying and proving the copy", "正在备份并验证备份"));
    let (backup, proof) = safelight_host::backup::back_up_now(&ctx).await?;
    drop(busy);
    if out.format == Format::Json {
        out.line(&serde_json::json!({"schema": 1, "backup": backup, "proof": proof}).to_string());
        return Ok(0);
    }
    let (path, size, ms) = (backup.path.display(), ByteSize(backup.bytes), proof.millis);
    let (tables, rows) = (proof.tables.len(), proof.tables.iter().map(|(_, n)| n).sum::<u64>());
    out.line(&match out.lang {
        Lang::En => format!("{path}: {size}, restored and queried: {tables} tables, {rows} rows, {ms} ms"),
        Lang::Zh => format!("{path}：{size}，已恢复并查询：{tables} 张表、{rows} 行，{ms} 毫秒"),
    });
    Ok(0)
}
