//! Reading /proc: who runs, since when, as whom.
//! Command lines may hold secrets: only the program and its script are ever kept.

use safelight_engine::driver::host::ProcessInfo;
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

/// The fields of `/proc/PID/stat` that name and place a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The command's short name.
    pub name: String,
    /// State letter; `Z` for one that has ended and was not yet collected by its parent.
    pub state: char,
    /// Parent.
    pub parent: u32,
    /// Process group.
    pub group: u32,
    /// Session.
    pub session: u32,
    /// Start time in clock ticks since boot.
    pub start_ticks: u64,
    /// Resident memory in pages.
    pub resident_pages: u64,
}

/// Parses `/proc/PID/stat`. The name may hold spaces and parentheses: it ends at the last one.
#[must_use]
pub fn parse_stat(text: &str) -> Option<Stat> {
    let open = text.find('(')?;
    let close = text.rfind(')')?;
    let name = text.get(open + 1..close)?.to_owned();
    let fields: Vec<&str> = text.get(close + 1..)?.split_ascii_whitespace().collect();
    Some(Stat {
        name,
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().unwrap_or(0),
        session: fields.get(3)?.parse().unwrap_or(0),
        start_ticks: fields.get(19)?.parse().ok()?,
        resident_pages: fields.get(21)?.parse().unwrap_or(0),
    })
}

/// The process `pid` as it is now; `None` when there is none.
#[must_use]
pub fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/stat")).ok()?))
}

/// True while the process that began at `start_ticks` under `pid` runs. One that merely waits to be collected is gone,
/// and another process that was given the same number is not it.
#[must_use]
pub fn is_alive(pid: u32, start_ticks: u64) -> bool {
    stat(pid).is_some_and(|s| s.start_ticks == start_ticks && !matches!(s.state, 'Z' | 'X'))
}

/// Resident memory in bytes.
#[must_use]
pub fn resident(pid: u32) -> Option<u64> {
    stat(pid).map(|s| s.resident_pages * rustix::param::page_size() as u64)
}

/// Ids of all processes.
pub(crate) fn pids() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|e| e.file_name().to_str()?.parse().ok())
}

/// User names by id, from /etc/passwd.
pub(crate) fn users() -> HashMap<u32, String> {
    passwd().map(|(id, name, _)| (id, name)).collect()
}

/// A user's home directory, from /etc/passwd.
pub(crate) fn home_of(uid: u32) -> Option<PathBuf> {
    passwd().find(|(id, ..)| *id == uid).map(|(_, _, home)| home)
}

fn passwd() -> impl Iterator<Item = (u32, String, PathBuf)> {
    let text = fs::read_to_string("/etc/passwd").unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?.to_owned();
            let id = fields.nth(1)?.parse().ok()?;
            Some((id, name, PathBuf::from(fields.nth(2)?)))
        })
        .collect::<Vec<_>>()
        .into_iter()
}

/// One process; `None` when it ended meanwhile, or has ended and only waits to be collected.
pub(crate) fn info(pid: u32, users: &HashMap<u32, String>) -> Option<ProcessInfo> {
    let stat = stat(pid)?;
    if matches!(stat.state, 'Z' | 'X') {
        return None;
    }
    let dir = PathBuf::from(format!("/proc/{pid}"));
    let status = fs::read_to_string(dir.join("status")).ok()?;
    let uid: u32 = status
        .lines()
        .find_map(|l| l.strip_prefix("Uid:"))
        .and_then(|l| l.split_ascii_whitespace().nth(1))
        .and_then(|n| n.parse().ok())?;
    let raw = fs::read(dir.join("cmdline")).unwrap_or_default();
    let args: Vec<String> =
        raw.split(|b| *b == 0).map(|a| String::from_utf8_lossy(a).into_owned()).collect::<Vec<_>>();
    let command = summary(&args).unwrap_or_else(|| format!("[{}]", stat.name));
    Some(ProcessInfo {
        pid,
        parent: stat.parent,
        start_ticks: stat.start_ticks,
        name: stat.name,
        exe: fs::read_link(dir.join("exe")).ok(),
        command,
        user: users.get(&uid).cloned().unwrap_or_else(|| uid.to_string()),
        cwd: fs::read_link(dir.join("cwd")).ok(),
    })
}

/// Programs whose first plain argument is a script, and the options of theirs that take a value.
const INTERPRETERS: [(&str, &[&str]); 13] = [
    ("node", &["-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions"]),
    ("nodejs", &["-r", "--require", "--import", "--loader"]),
    ("deno", &[]),
    ("bun", &[]),
    ("npm", &[]),
    ("npx", &[]),
    ("python", &["-W", "-X"]),
    ("ruby", &["-r", "-I"]),
    ("perl", &["-I", "-M"]),
    ("php", &["-d", "-c"]),
    ("sh", &[]),
    ("bash", &[]),
    ("java", &["-cp", "-classpath", "--class-path"]),
];

/// Options after which comes a program text, which may hold anything.
const INLINE: [&str; 6] = ["-e", "-c", "-p", "--eval", "--print", "-E"];

/// Program and script of a command line, nothing else: further arguments may be secret.
pub(crate) fn summary(args: &[String]) -> Option<String> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let last = args.iter().rposition(|a| !a.is_empty())?;
    let args = &args[..=last];
    if let [title] = args
        && title.contains(' ')
        && !Path::new(title).exists()
    {
        return Some(title_summary(title));
    }
    let program = args[0];
    let base = program.rsplit('/').next().unwrap_or(program).trim_start_matches('-');
    let options = INTERPRETERS
        .iter()
        .find(|(name, _)| base == *name || (*name == "python" && base.starts_with("python")))
        .map(|(_, with_value)| *with_value);
    let Some(with_value) = options else { return Some(program.to_owned()) };
    let mut rest = args[1..].iter();
    while let Some(arg) = rest.next() {
        if INLINE.contains(arg) {
            break;
        }
        if with_value.contains(arg) {
            rest.next();
        } else if !arg.starts_with('-') {
            return Some(format!("{program} {arg}"));
        }
    }
    Some(program.to_owned())
}

/// Of a title that a process gave itself (`nginx: master process ...`, `PM2 v7: God Daemon`), what names it.
fn title_summary(title: &str) -> String {
    let words: Vec<String> = title.split_ascii_whitespace().map(str::to_owned).collect();
    let keep = match words.first().map(String::as_str) {
        Some(first) if first.ends_with(':') => 3,
        Some("PM2") => 4,
        _ => return summary_of_words(&words),
    };
    words[..keep.min(words.len())].join(" ")
}

fn summary_of_words(words: &[String]) -> String {
    match words {
        [one] => one.clone(),
        many => summary(many).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(args: &[&str]) -> String {
        summary(&args.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn stat_of_a_process_with_parentheses_in_its_name_is_read() {
        let line = "42 (a) b (c)) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1000 25 18446744073709551615";
        let stat = parse_stat(line).unwrap();
        assert_eq!((stat.name.as_str(), stat.state, stat.parent), ("a) b (c)", 'S', 1));
        assert_eq!((stat.group, stat.session), (42, 42));
        assert_eq!((stat.start_ticks, stat.resident_pages), (987_654, 25));
    }

    #[test]
    fn only_program_and_script_are_kept_of_a_command_line() {
        assert_eq!(of(&["node", "server.js", "--token=abc"]), "node server.js");
        assert_eq!(of(&["/usr/bin/node", "-r", "dotenv/config", "app.js", "x"]), "/usr/bin/node app.js");
        assert_eq!(of(&["node", "-e", "const secret = 1"]), "node");
        assert_eq!(of(&["redis-cli", "-a", "secret"]), "redis-cli");
        assert_eq!(of(&["mysql", "secret"]), "mysql");
        assert_eq!(of(&["python3.11", "-u", "app.py", "secret"]), "python3.11 app.py");
        assert_eq!(of(&["npm", "start"]), "npm start");
    }

    #[test]
    fn titles_that_processes_give_themselves_are_shortened() {
        assert_eq!(of(&["nginx: master process /usr/sbin/nginx -g x"]), "nginx: master process");
        assert_eq!(of(&["PM2 v7.0.4: God Daemon (/root/.pm2)", ""]), "PM2 v7.0.4: God Daemon");
        assert_eq!(of(&["node /srv/app/server.js secret"]), "node /srv/app/server.js");
    }

    #[test]
    fn a_number_given_to_another_process_is_not_the_one_that_was_meant() {
        let pid = std::process::id();
        let ticks = stat(pid).unwrap().start_ticks;
        assert!(is_alive(pid, ticks));
        assert!(!is_alive(pid, ticks + 1));
    }
}
