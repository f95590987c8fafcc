//! What a daemon or a proxy that could not start leaves behind for whoever started it: the words in both languages. Its
//! log has them in one, that of whoever started it.

use crate::{
    api::{ApiError, ErrorKind},
    paths::write_whole,
};
use safelight_engine::text::Text;
use safelight_proxy::{ProxyError, Repaired, StoreError};
use std::path::Path;

/// Leaves `e` at `path`.
pub fn leave(path: &Path, e: &ApiError) {
    // Without it the end of the log is shown.
    let _ = serde_json::to_vec(e).map(|body| write_whole(path, &body));
}

/// Nothing is left any more.
pub fn clear(path: &Path) {
    let _ = std::fs::remove_file(path);
}

/// What was left at `path`.
#[must_use]
pub fn left(path: &Path) -> Option<ApiError> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Why the proxy does not start, with the repair. The proxy itself knows no languages.
#[must_use]
pub fn of_proxy(e: &ProxyError) -> ApiError {
    match e {
        ProxyError::Store(e) => of_table(e),
        ProxyError::Listen { address, reason, owner } => {
            let taken = owner.as_ref().map_or_else(
                || Text::same(""),
                |o| safelight_engine::text!("; it is taken by {o}", "；已被 {o} 占用"),
            );
            let message = Text::new(
                format!("cannot listen on {address}: {reason}{}", taken.en),
                format!("无法监听 {address}：{reason}{}", taken.zh),
            );
            failed(message).with_help(Text::new(
                "end what has it, or choose another address: `safelight host stop`, then `safelight host start --listen`",
                "结束占用者，或换一个地址：先 `safelight host stop`，再 `safelight host start --listen`",
            ))
        }
        ProxyError::AlreadyRunning { socket, pid } => {
            let socket = socket.display();
            let pid = pid.map(|p| format!(" (pid {p})")).unwrap_or_default();
            failed(safelight_engine::text!(
                "another proxy is running on {socket}{pid}",
                "已有另一个代理在 {socket} 上运行{pid}"
            ))
            .with_help(Text::new(
                "`safelight host stop --proxy` stops it; `safelight proxy upgrade` takes its place without an outage",
                "用 `safelight host stop --proxy` 停止它；`safelight proxy upgrade` 可无中断接替",
            ))
        }
        ProxyError::TakeOver { socket, reason } => {
            let socket = socket.display();
            failed(safelight_engine::text!(
                "cannot take over from the running proxy at {socket}: {reason}; it goes on serving",
                "无法接替 {socket} 上运行的代理：{reason}；它继续服务"
            ))
        }
        e => ApiError::failed(e),
    }
}

/// Why the route table cannot be used, with the repair.
#[must_use]
pub fn of_table(e: &StoreError) -> ApiError {
    match e {
        StoreError::Damaged { path, reason } => {
            let (path, zh) = (path.display(), reason_zh(reason));
            failed(safelight_engine::text!(
                "the route table {path} is damaged: {reason}. The proxy does not start without its routes",
                "路由表 {path} 已损坏：{zh}。没有路由表，代理不会启动"
            ))
            .with_help(safelight_engine::text!(
                "`safelight proxy repair` goes back to the one before the last change ({path}.prev); the proxy then starts by itself",
                "`safelight proxy repair` 会恢复最后一次变更之前的路由表（{path}.prev），之后代理会自行启动"
            ))
        }
        StoreError::Schema { path, found, expected } => {
            let path = path.display();
            failed(safelight_engine::text!(
                "the route table {path} has schema `{found}`, this version reads `{expected}`",
                "路由表 {path} 的格式为 `{found}`，此版本读取 `{expected}`"
            ))
            .with_help(Text::new(
                "start the version of safelight that wrote it, or run `safelight proxy repair`",
                "请启动写入它的 safelight 版本，或运行 `safelight proxy repair`",
            ))
        }
        StoreError::Beyond { path, reason } => {
            let path = path.display();
            let zh: Vec<String> = reason.split("; ").map(reason_zh).collect();
            let zh = zh.join("；");
            failed(safelight_engine::text!("cannot repair {path}: {reason}", "无法修复 {path}：{zh}"))
                .with_help(Text::new(
                    "restore it from a backup, or move it away to start with an empty table",
                    "从备份恢复它，或把它移走，以空表启动",
                ))
        }
        StoreError::Io { path, source, .. } => {
            let path = path.display();
            failed(safelight_engine::text!(
                "the route table {path} could not be read or written: {source}",
                "无法读写路由表 {path}：{source}"
            ))
        }
        e => ApiError::failed(e),
    }
}

/// What a repair has done.
#[must_use]
pub fn of_repair(done: &Repaired) -> Text {
    match done {
        Repaired::Sound { version } => safelight_engine::text!(
            "the route table is sound (change {version}); nothing was touched",
            "路由表完好（第 {version} 次变更）；没有改动"
        ),
        Repaired::Missing => Text::new(
            "there is no route table and none from before: the proxy starts with an empty one",
            "没有路由表，也没有之前的：代理将以空表启动",
        ),
        Repaired::FromPrevious { version, damaged, reason } => {
            let (damaged, zh) = (damaged.display(), reason_zh(reason));
            safelight_engine::text!(
                "the route table before the last change (change {version}) is in place again; the damaged one is kept as {damaged} ({reason})",
                "已恢复最后一次变更之前的路由表（第 {version} 次变更）；损坏的文件保留为 {damaged}（{zh}）"
            )
        }
    }
}

/// The proxy's words about a damaged table. Words that are not known here stay as they are.
fn reason_zh(reason: &str) -> String {
    const KNOWN: &[(&str, &str)] = &[
        ("the file is missing while its previous generation exists", "文件不见了，而之前的路由表还在"),
        ("the file is empty", "文件为空"),
        ("its first line is cut", "第一行不完整"),
        ("its first line is not the expected header", "第一行不是应有的文件头"),
        ("its checksum does not match its content", "校验和与内容不符"),
        ("its JSON does not parse", "JSON 无法解析"),
        ("its routes make no sense", "路由内容不合理"),
        ("its previous generation is damaged too: ", "之前的路由表也已损坏："),
    ];
    for (en, zh) in KNOWN {
        if let Some(rest) = reason.strip_prefix(en) {
            return format!("{zh}{}", reason_zh(rest));
        }
    }
    match reason.strip_prefix("it holds ").and_then(|r| r.strip_suffix(" bytes")?.split_once(" of ")) {
        Some((has, of)) => format!("只有 {of} 字节中的 {has} 字节"),
        None => reason.to_owned(),
    }
}

fn failed(message: Text) -> ApiError {
    ApiError::new(ErrorKind::Failed, message)
}
