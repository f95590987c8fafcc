//! Who asks in Chinese is answered in Chinese: no sentence of ours is left in English, whatever the daemon's own
//! language.

use safelight_testkit::bed::{Bed, Release, Said};
use std::{fs, net::TcpListener};

/// Runs of words in what Safelight itself has said. What apps printed, commands between backticks, lists of programs, the
/// words of the system and of git, and what a Hurl file reports of an answer are not its own.
fn english(said: &Said) -> Vec<String> {
    let own = |line: &&str| !line.trim_start().starts_with(['│', '|']);
    let mut found = Vec::new();
    for line in format!("{}\n{}", said.out, said.err).lines().filter(own) {
        let line = line.split_once(".hurl:").map_or(line, |(before, _)| before);
        let mut text = String::new();
        for (i, part) in line.split('`').enumerate() {
            text.push_str(if i % 2 == 0 { part } else { "|" });
        }
        if let Some((before, after)) = text.split_once(" (os error") {
            // `Address already in use (os error 98)`
            let start = before.rfind([':', '：', '（', '|']).unwrap_or(0);
            text = format!("{}|{after}", &before[..start]);
        }
        text = text.replace("git version", "|");
        if let (Some(from), Some(to)) = (text.find('['), text.find(']')) {
            text.replace_range(from..to.max(from), "|");
        }
        let is_word = |w: &str| {
            let w = w.trim_matches([',', '.', ':', ';', '(', ')']);
            w.len() > 1 && w.chars().all(|c| c.is_ascii_alphabetic() || c == '\'')
        };
        let mut run: Vec<&str> = Vec::new();
        for word in text.split_whitespace().chain(["|"]) {
            if is_word(word) {
                run.push(word);
                continue;
            }
            if run.len() >= 3 {
                found.push(format!("`{}` in: {line}", run.join(" ")));
            }
            run.clear();
        }
    }
    found
}

#[track_caller]
fn all_chinese(said: Said) -> Said {
    let left = english(&said);
    assert!(left.is_empty(), "in English: {left:#?}\n{}\n{}", said.out, said.err);
    assert!(said.err.chars().chain(said.out.chars()).any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)));
    said
}

#[test]
fn the_test_itself_finds_english_sentences_and_nothing_else() {
    let said = |err: &str| Said { code: None, out: String::new(), err: err.to_owned() };
    assert_eq!(english(&said("错误: the route table is damaged")).len(), 1);
    assert_eq!(
        english(&said("✓ 启动 web · 用 `safelight proxy repair now` 修复 /a/b.json shop · v1 · r1")).len(),
        0
    );
    assert_eq!(english(&said("    │ cannot read its settings")).len(), 0);
    assert_eq!(
        english(&said("无法监听 127.0.0.1:1：Address already in use (os error 98)；已被 x 占用")).len(),
        0
    );
    assert_eq!(english(&said("检查 no answer within 7")).len(), 1);
}

/// The commands that a person meets when all is well and when it is not.
#[test]
fn nothing_of_ours_is_left_in_english_for_who_asks_in_chinese() {
    let mut bed = Bed::new();
    let ask = |bed: &Bed, args: &[&str]| bed.safelight(&[args, &["--lang", "zh-CN"]].concat());
    // All of it is asked before anything is said: one sentence would hide the others.
    let mut left = Vec::new();
    let mut all_chinese = |said: Said| {
        left.extend(english(&said));
        said
    };
    bed.prepare(&Release::new("v1", 1));
    all_chinese(ask(&bed, &["check"]));
    all_chinese(ask(&bed, &["deploy", "--verbose"]).ended(0));
    all_chinese(ask(&bed, &["verify"]).ended(0));
    all_chinese(ask(&bed, &["backup"]).ended(0));
    // A deploy that is undone by the test before users, with its report.
    let fault = bed.dir().join("fault");
    let line = format!("APP_FAULT_FILE={}", fault.display());
    bed.prepare(&Release::new("v2", 1).with_env(&[&line]));
    bed.order("intent:dark-test", "pause");
    bed.forget_points();
    let mut cli = bed.background(&["deploy", "--lang", "zh-CN"]);
    cli.comes_to(&bed, "intent:dark-test");
    fs::write(&fault, "").unwrap();
    bed.release("intent:dark-test");
    all_chinese(cli.end().ended(3));
    fs::remove_file(&fault).unwrap();
    // One whose release does not even start.
    bed.prepare(&Release::new("v3", 1).with_env(&["APP_MODE=exits-at-once"]));
    all_chinese(ask(&bed, &["deploy"]).ended(3));
    for command in ["status", "history", "report", "doctor"] {
        all_chinese(ask(&bed, &[command]));
    }
    all_chinese(ask(&bed, &["abort"]).ended(2));
    all_chinese(ask(&bed, &["rollback", "--database"]));
    // A damaged route table.
    bed.safelight(&["host", "stop", "--proxy"]).ended(0);
    bed.reap_daemon();
    let table = bed.home().join("proxy/routes.json");
    let mut bytes = fs::read(&table).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 0x15;
    fs::write(&table, bytes).unwrap();
    all_chinese(ask(&bed, &["doctor"])).says(&["校验和与内容不符"]);
    let said = all_chinese(ask(&bed, &["host", "start"]).ended(1));
    said.says(&["代理无法启动", "已损坏", "校验和与内容不符", "`safelight proxy repair`"]);
    all_chinese(ask(&bed, &["status"])).says(&["已损坏"]);
    all_chinese(ask(&bed, &["deploy"]).ended(1)).says(&["代理没有运行", "`safelight proxy repair`"]);
    let repaired =
        all_chinese(ask(&bed, &["proxy", "repair"]).ended(0)).says(&["已恢复最后一次变更之前的路由表"]);
    assert!(!repaired.err.contains("FromPrevious"), "{}", repaired.err);
    bed.wait_until("the proxy is back", |b| b.status().is_some_and(|s| s["proxy"]["pid"].is_u64()));
    all_chinese(ask(&bed, &["proxy", "repair"]).ended(0)).says(&["路由表完好"]);
    bed.safelight(&["host", "stop", "--proxy"]).ended(0);
    assert!(left.is_empty(), "in English: {left:#?}");
}

#[test]
fn a_taken_port_and_a_second_daemon_are_told_of_in_chinese_with_the_repair() {
    let bed = Bed::cold();
    let taken = TcpListener::bind(bed.addr()).unwrap();
    let listen = bed.addr().to_string();
    let start = ["host", "start", "--listen", &listen, "--lang", "zh-CN"];
    all_chinese(bed.safelight(&start).ended(1)).says(&[
        "无法监听",
        "已被",
        "`safelight host start --listen`",
    ]);
    drop(taken);
    bed.wait_until("the proxy comes up", |b| b.status().is_some_and(|s| s["proxy"]["pid"].is_u64()));
    all_chinese(bed.safelight(&["host", "run", "--lang", "zh-CN"]).ended(1)).says(&[
        "已有另一个 safelight host",
        "host.lock",
        "`safelight host stop`",
    ]);
    bed.safelight(&["host", "run"]).ended(1).says(&["another safelight host runs here", "host.lock"]);
    bed.safelight(&["host", "stop", "--proxy"]).ended(0);
}

#[test]
fn a_damaged_journal_is_told_of_in_chinese_with_the_repair() {
    let mut bed = Bed::new();
    bed.prepare(&Release::new("v1", 1));
    bed.order("done:start:api", "kill");
    let mut cli = bed.background(&["deploy"]);
    bed.daemon_dies_at("done:start:api", &cli);
    cli.kill();
    let db = rusqlite::Connection::open(bed.home().join("host.db")).unwrap();
    db.execute("UPDATE journal SET body = replace(body, 'intent', 'indent') WHERE seq = 4", []).unwrap();
    drop(db);
    for command in ["resume", "abort"] {
        let said = bed.safelight(&[command, "--lang", "zh-CN"]).ended(1);
        all_chinese(said).says(&["日志在第 4 行损坏：校验和不对", "没有做任何操作", "abort --forget"]);
    }
}
