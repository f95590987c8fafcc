//! This machine. The only place in Safelight that starts programs and reads /proc on it.
//! Commands get a clean environment: what the caller's shell exports never reaches them.

use super::{exec, exec::BaseEnv, proc, sockets};
use async_trait::async_trait;
use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt},
};
use safelight_engine::driver::host::{
    Cmd, FsStat, Host, HostError, HostErrorKind, Listener, OnLine, Output, ProcessInfo,
};
use safelight_engine::text::Text;
use std::{
    io::Read as _,
    net::{IpAddr, SocketAddr},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

/// Longest time for one look at a file system: a dead network mount blocks for ever.
const FILE_LIMIT: Duration = Duration::from_secs(5);
/// Largest file that is read whole.
const READ_MAX: u64 = 16 << 20;

/// This machine.
#[derive(Clone, Debug)]
pub struct LocalHost {
    name: String,
    base: BaseEnv,
    /// Whose `PATH` it has, when not that of services for sure.
    whose: Option<Text>,
}

impl Default for LocalHost {
    fn default() -> Self {
        Self::new()
    }
}

impl LocalHost {
    /// This machine under its own host name, with the `PATH` and `HOME` of this process.
    #[must_use]
    pub fn new() -> Self {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { name, base: BaseEnv::inherit(), whose: None }
    }

    /// Looks for programs in `dir` first: the directory of a Node.js that is not on the `PATH`.
    #[must_use]
    pub fn with_path_first(mut self, dir: &Path) -> Self {
        self.base.path = format!("{}:{}", dir.display(), self.base.path);
        self
    }

    /// With another `PATH`, and a word on whose that is.
    #[must_use]
    pub fn with_path_of(mut self, path: &str, whose: Text) -> Self {
        self.base.path = path.to_owned();
        self.whose = Some(whose);
        self
    }

    /// The `PATH` that commands and services get.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.base.path
    }

    /// The `HOME` that commands and services get.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.base.home
    }
}

#[async_trait]
impl Host for LocalHost {
    fn name(&self) -> &str {
        &self.name
    }

    async fn run(&self, cmd: &Cmd) -> Result<Output, HostError> {
        exec::run(&self.base, cmd, None).await
    }

    async fn run_streaming(&self, cmd: &Cmd, on_line: OnLine<'_>) -> Result<Output, HostError> {
        exec::run(&self.base, cmd, Some(on_line)).await
    }

    async fn read(&self, path: &Path) -> Result<Vec<u8>, HostError> {
        let path = path.to_owned();
        limited(format!("read {}", path.display()), move |op| read(op, &path)).await
    }

    async fn stat_fs(&self, path: &Path) -> Result<FsStat, HostError> {
        let path = path.to_owned();
        limited(format!("stat the file system of {}", path.display()), move |op| stat_fs(op, &path)).await
    }

    async fn find_program(&self, name: &str) -> Result<Option<PathBuf>, HostError> {
        let (path, name) = (self.base.path.clone(), name.to_owned());
        limited(format!("find {name}"), move |_| Ok(exec::find_on(&path, &name, Path::new("/")))).await
    }

    fn whose_path(&self) -> Option<Text> {
        let (whose, path) = (self.whose.as_ref()?, &self.base.path);
        Some(Text::new(format!("{}: {path}", whose.en), format!("{}：{path}", whose.zh)))
    }

    async fn listeners(&self) -> Result<Vec<Listener>, HostError> {
        limited("list listening sockets".to_owned(), |_| sockets::listeners()).await
    }

    async fn processes(&self) -> Result<Vec<ProcessInfo>, HostError> {
        limited("list processes".to_owned(), |_| {
            let users = proc::users();
            let mut all: Vec<_> = proc::pids().filter_map(|pid| proc::info(pid, &users)).collect();
            all.sort_by_key(|p| p.pid);
            Ok(all)
        })
        .await
    }

    async fn can_bind(&self, addr: IpAddr, port: u16) -> Result<bool, HostError> {
        can_bind(addr, port)
    }
}

/// Runs `work` on a thread of its own and gives up on it after [`FILE_LIMIT`]. Not on the runtime's blocking pool: a
/// thread that hangs in the kernel there would keep the whole process from ending.
async fn limited<T: Send + 'static>(
    op: String,
    work: impl FnOnce(&str) -> Result<T, HostError> + Send + 'static,
) -> Result<T, HostError> {
    let (done, result) = tokio::sync::oneshot::channel();
    let name = op.clone();
    std::thread::Builder::new()
        .name("safelight-probe".to_owned())
        .spawn(move || {
            let _ = done.send(work(&name));
        })
        .map_err(|e| HostError::io(&*op, &e))?;
    match tokio::time::timeout(FILE_LIMIT, result).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(HostError::new(HostErrorKind::Other, op, "the probe ended without an answer")),
        Err(_) => Err(HostError::new(
            HostErrorKind::Timeout,
            op,
            format!("no answer within {} s; the file system or the disk hangs", FILE_LIMIT.as_secs()),
        )),
    }
}

fn read(op: &str, path: &Path) -> Result<Vec<u8>, HostError> {
    // Non-blocking, so that a fifo without a writer cannot hold the thread.
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .map_err(|e| HostError::io(op, &e))?;
    let meta = file.metadata().map_err(|e| HostError::io(op, &e))?;
    if !meta.is_file() {
        return Err(HostError::new(HostErrorKind::Other, op, "not an ordinary file"));
    }
    let mut bytes = Vec::new();
    // Files of /proc claim to be empty: only reading tells.
    file.take(READ_MAX + 1).read_to_end(&mut bytes).map_err(|e| HostError::io(op, &e))?;
    if bytes.len() as u64 > READ_MAX {
        return Err(HostError::new(
            HostErrorKind::Other,
            op,
            "larger than 16 MiB, the most that is read whole",
        ));
    }
    Ok(bytes)
}

fn stat_fs(op: &str, path: &Path) -> Result<FsStat, HostError> {
    let absolute = std::path::absolute(path).map_err(|e| HostError::io(op, &e))?;
    let mut there = absolute.as_path();
    let meta = loop {
        match std::fs::metadata(there) {
            Ok(meta) => break meta,
            Err(e)
                if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) =>
            {
                match there.parent() {
                    Some(parent) => there = parent,
                    None => return Err(HostError::io(op, &e)),
                }
            }
            Err(e) => return Err(HostError::io(op, &e)),
        }
    };
    let real = there.canonicalize().map_err(|e| HostError::io(op, &e))?;
    let stat = rustix::fs::statvfs(&real).map_err(|e| HostError::io(op, &e.into()))?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    Ok(FsStat {
        mount: mount_of(&mounts, &real, meta.dev()).unwrap_or_else(|| "/".into()),
        device: meta.dev(),
        total: stat.f_blocks * stat.f_frsize,
        free: stat.f_bfree * stat.f_frsize,
        available: stat.f_bavail * stat.f_frsize,
        inodes: stat.f_files,
        inodes_available: stat.f_favail,
        read_only: stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
    })
}

/// The mount point that holds `path`: the longest one of its device, or of any device where the file system reports
/// another number for its files (btrfs, overlayfs).
fn mount_of(mountinfo: &str, path: &Path, device: u64) -> Option<PathBuf> {
    let number = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let mounts: Vec<(&str, PathBuf)> = mountinfo
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            Some((*fields.get(2)?, PathBuf::from(unescape(fields.get(4)?))))
        })
        .filter(|(_, mount)| path.starts_with(mount))
        .collect();
    let longest = |of: &dyn Fn(&str) -> bool| {
        mounts
            .iter()
            .filter(|(dev, _)| of(dev))
            .max_by_key(|(_, mount)| mount.as_os_str().len())
            .map(|(_, mount)| mount.clone())
    };
    longest(&|dev| dev == number).or_else(|| longest(&|_| true))
}

/// Undoes the octal escapes of mountinfo (`\040` for a space).
fn unescape(text: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

fn can_bind(addr: IpAddr, port: u16) -> Result<bool, HostError> {
    let wanted = SocketAddr::new(addr, port);
    let fail = |e: Errno| HostError::io(format!("bind {wanted}"), &e.into());
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None).map_err(fail)?;
    // As servers do: connections in TIME_WAIT are no conflict. A listening socket still is one on Linux.
    sockopt::set_socket_reuseaddr(&socket, true).map_err(fail)?;
    if addr.is_ipv6() {
        // `::` means both families to Node, Go and nginx: then a listener on 0.0.0.0 is in the way, whatever
        // net.ipv6.bindv6only says.
        sockopt::set_ipv6_v6only(&socket, !addr.is_unspecified()).map_err(fail)?;
    }
    match bind(&socket, &wanted) {
        Ok(()) => Ok(true),
        Err(Errno::ADDRINUSE) => Ok(false),
        Err(e) => Err(fail(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A dead network mount holds the thread in the kernel; a probe that never comes back does the same.
    #[tokio::test]
    async fn a_file_system_that_hangs_is_given_up_on_after_the_limit_and_said() {
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let began = tokio::time::Instant::now();
        let probe = limited("stat the file system of /mnt/dead".to_owned(), move |_| {
            // Ends when the test does.
            let _ = held.recv();
            Ok(())
        });
        let e = probe.await.unwrap_err();
        assert_eq!(e.kind, HostErrorKind::Timeout);
        assert!((FILE_LIMIT..FILE_LIMIT * 2).contains(&began.elapsed()), "{:?}", began.elapsed());
        assert!(e.to_string().contains("/mnt/dead") && e.to_string().contains("hangs"), "{e}");
        drop(hold);
    }

    #[test]
    fn the_longest_mount_of_the_right_device_is_found() {
        let info = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                    23 22 8:2 / /srv rw - ext4 /dev/sda2 rw\n\
                    24 23 8:3 / /srv/with\\040space rw - ext4 /dev/sda3 rw\n";
        let of = |path: &str, minor| mount_of(info, Path::new(path), rustix::fs::makedev(8, minor)).unwrap();
        assert_eq!(of("/srv/app", 2), Path::new("/srv"));
        assert_eq!(of("/srvx/app", 1), Path::new("/"));
        assert_eq!(of("/srv/with space/x", 3), Path::new("/srv/with space"));
        assert_eq!(of("/srv/unknown", 9), Path::new("/srv"));
    }
}
