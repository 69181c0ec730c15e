//! The cluster's life: made once, launched, watched, stopped; and what an earlier run left behind.
//!
//! All of it blocks, on the supervisor's thread.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest, Sha256};
use tracing::{error, info, warn};

use super::binaries::{Binaries, versions};
use super::supervisor::Stop;
use super::user::User;
use super::{EmbeddedError, PORT, SUPERUSER, at, cluster_of};

/// How the ledger wants its server. The write-ahead log is the bottleneck: it is compressed, and checkpoints, after
/// each of which whole pages are logged again, are rare. Statements are kept out of the log: they hold secrets.
const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", ""),
    ("unix_socket_permissions", "0700"),
    ("fsync", "on"),
    ("full_page_writes", "on"),
    ("synchronous_commit", "on"),
    ("wal_compression", "on"),
    ("max_wal_size", "2GB"),
    ("checkpoint_timeout", "15min"),
    ("shared_buffers", "256MB"),
    ("max_connections", "100"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("log_min_error_statement", "panic"),
    ("log_line_prefix", "%m [%p] %u "),
];

/// A start may have to recover 2 GB of log.
const START_AT_MOST: Duration = Duration::from_secs(300);
/// Ended sessions and a last checkpoint.
const FAST_STOP_AT_MOST: Duration = Duration::from_secs(10);
/// Postgres kills its own children 5 s after SIGQUIT.
const FORCED_STOP_AT_MOST: Duration = Duration::from_secs(7);
const POLL: Duration = Duration::from_millis(10);

#[cfg(target_os = "macos")]
const LONGEST_SOCKET_PATH: usize = 103;
#[cfg(not(target_os = "macos"))]
const LONGEST_SOCKET_PATH: usize = 107;

/// A cluster that can be launched, again and again, while the lock is held.
pub(super) struct Plan {
    directory: PathBuf,
    socket: PathBuf,
    log: PathBuf,
    user: User,
    binaries: Binaries,
    settings: Vec<(String, String)>,
    /// Closed, and so let go, after Postgres has stopped.
    _lock: File,
}

impl Plan {
    /// Makes the cluster in `base/pg` if there is none, and stops what an earlier run left behind.
    pub(super) fn new(
        base: &Path,
        lock: File,
        user: User,
        candidates: &[Binaries],
        settings: Vec<(String, String)>,
    ) -> Result<Self, EmbeddedError> {
        let directory = cluster_of(base);
        let binaries = if directory.exists() {
            stop_orphans(&directory)?;
            matching(&directory, candidates)?
        } else {
            let binaries = candidates[0].clone();
            create(base, &directory, &user, &binaries)?;
            binaries
        };
        let socket = socket_directory(&directory, &user)?;
        forget_dead_postmaster(&directory, &socket)?;
        Ok(Self {
            log: base.join("postgres.log"),
            directory,
            socket,
            user,
            binaries,
            settings,
            _lock: lock,
        })
    }

    /// The cluster's directory.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the socket is.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Starts Postgres and returns when it takes connections.
    pub(super) fn launch(&self, stop: &Stop) -> Result<Child, EmbeddedError> {
        let log = open_log(&self.log).map_err(at(&self.log))?;
        let mut command = self.user.command(&self.binaries.program("postgres"));
        let socket = format!("\"{}\"", self.socket.display().to_string().replace('"', "\"\""));
        command.arg("-D").arg(&self.directory).current_dir("/");
        command.arg("-c").arg(format!("port={PORT}"));
        command.arg("-c").arg(format!("unix_socket_directories={socket}"));
        let own = SETTINGS.iter().map(|&(name, value)| (name, value));
        let later = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in own.chain(later) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command.stdout(log.try_clone().map_err(at(&self.log))?).stderr(log);
        let mut child = command.spawn().map_err(at(&self.binaries.program("postgres")))?;
        match self.wait_until_ready(&mut child, stop) {
            Ok(()) => Ok(child),
            Err(reason) => {
                let reason = match end(&mut child) {
                    Ok(_) => reason,
                    Err(error) => format!("{reason}; {error}"),
                };
                Err(EmbeddedError::Start { reason, log: self.log.clone(), tail: tail(&self.log) })
            }
        }
    }

    fn wait_until_ready(&self, child: &mut Child, stop: &Stop) -> Result<(), String> {
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
                return Err(status.to_string());
            }
            if is_ready(&self.directory, child.id()) {
                return Ok(());
            }
            if stop.within(POLL) {
                return Err("the server stops".to_owned());
            }
            if start.elapsed() > START_AT_MOST {
                return Err(format!("not ready after {} s", START_AT_MOST.as_secs()));
            }
        }
    }

    /// Waits for the stop; until then, starts Postgres again whenever it ends.
    pub(super) fn supervise(&self, child: Child, stop: &Stop) -> Result<(), EmbeddedError> {
        let ended = self.keep_running(child, stop);
        if self.socket != self.directory {
            fs::remove_dir_all(&self.socket).map_err(at(&self.socket))?;
        }
        ended
    }

    fn keep_running(&self, mut child: Child, stop: &Stop) -> Result<(), EmbeddedError> {
        let mut pause = Duration::from_millis(100);
        loop {
            if stop.within(Duration::from_millis(50)) {
                return end(&mut child).map(drop);
            }
            if let Ok(None) = child.try_wait() {
                continue;
            }
            error!(log = %self.log.display(), "the private Postgres has ended by itself; starting it again");
            loop {
                let cleared = stop_orphans(&self.directory)
                    .and_then(|()| forget_dead_postmaster(&self.directory, &self.socket));
                match cleared.and_then(|()| self.launch(stop)) {
                    Ok(again) => {
                        child = again;
                        pause = Duration::from_millis(100);
                        info!("the private Postgres is up again");
                        break;
                    }
                    Err(error) => error!(%error, "the private Postgres does not come up"),
                }
                if stop.within(pause) {
                    return Ok(());
                }
                pause = (pause * 2).min(Duration::from_secs(5));
            }
        }
    }
}

/// Makes the cluster under another name and renames it: `pg` is there only when it is whole.
fn create(
    base: &Path,
    directory: &Path,
    user: &User,
    binaries: &Binaries,
) -> Result<(), EmbeddedError> {
    let unfinished = base.join("pg.new");
    stop_orphans(&unfinished)?;
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(at(&unfinished)(error));
        }
        _ => {}
    }
    user.private_directory(&unfinished).map_err(at(&unfinished))?;
    info!(directory = %directory.display(), postgres = binaries.major, "making a private Postgres cluster");
    let output = user
        .command(&binaries.program("initdb"))
        // So that a later start finds it at work there, if this one is killed.
        .current_dir(&unfinished)
        .args(SYNC_LATER)
        .args(["--data-checksums", "--encoding=UTF8", "--locale=C", "--username", SUPERUSER])
        .args(["--auth-local=trust", "--auth-host=reject", "--pgdata"])
        .arg(&unfinished)
        .output()
        .map_err(at(&binaries.program("initdb")))?;
    if !output.status.success() {
        let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(EmbeddedError::Initdb { output });
    }
    sync_all_files(&unfinished)?;
    fs::rename(&unfinished, directory).map_err(at(directory))?;
    File::open(base).and_then(|base| base.sync_all()).map_err(at(base))
}

/// What keeps `initdb` from syncing a thousand files one by one, where one call can sync them all.
#[cfg(target_os = "linux")]
const SYNC_LATER: [&str; 1] = ["--no-sync"];
#[cfg(not(target_os = "linux"))]
const SYNC_LATER: [&str; 0] = [];

#[cfg(target_os = "linux")]
fn sync_all_files(directory: &Path) -> Result<(), EmbeddedError> {
    let synced = File::open(directory).and_then(|opened| Ok(rustix::fs::syncfs(opened)?));
    synced.map_err(at(directory))
}

#[cfg(not(target_os = "linux"))]
fn sync_all_files(_: &Path) -> Result<(), EmbeddedError> {
    Ok(())
}

/// The binaries of the version that made the cluster.
fn matching(directory: &Path, candidates: &[Binaries]) -> Result<Binaries, EmbeddedError> {
    let path = directory.join("PG_VERSION");
    let text = fs::read_to_string(&path).map_err(at(&path))?;
    let cluster = text.trim().parse().map_err(|error| at(&path)(io::Error::other(error)))?;
    candidates.iter().find(|binaries| binaries.major == cluster).cloned().ok_or_else(|| {
        EmbeddedError::WrongVersion {
            directory: directory.to_owned(),
            cluster,
            found: versions(candidates),
        }
    })
}

/// The cluster's own directory, which Postgres keeps at mode 0700; if that is too long for a socket, a short one
/// with a name made from it.
fn socket_directory(directory: &Path, user: &User) -> Result<PathBuf, EmbeddedError> {
    let name = format!("/.s.PGSQL.{PORT}");
    if directory.as_os_str().len() + name.len() <= LONGEST_SOCKET_PATH {
        return Ok(directory.to_owned());
    }
    let digest = Sha256::digest(directory.as_os_str().as_encoded_bytes());
    let short: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let socket = PathBuf::from(format!("/tmp/blotter-{short}"));
    match user.private_directory(&socket) {
        Ok(()) => Ok(socket),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = fs::symlink_metadata(&socket).map_err(at(&socket))?;
            if found.is_dir() && found.uid() == user.uid && found.mode() & 0o077 == 0 {
                Ok(socket)
            } else {
                Err(EmbeddedError::SocketDirectory { directory: socket })
            }
        }
        Err(error) => Err(at(&socket)(error)),
    }
}

/// Whether the postmaster `pid` has written that it takes connections.
fn is_ready(directory: &Path, pid: u32) -> bool {
    const PID_LINE: usize = 0;
    const STATUS_LINE: usize = 7;
    let Ok(text) = fs::read_to_string(directory.join("postmaster.pid")) else { return false };
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    lines.get(PID_LINE) == Some(&pid.to_string().as_str())
        && lines.get(STATUS_LINE) == Some(&"ready")
}

/// Ends processes of an earlier run. The lock proves that no living server owns them: the server was killed, and
/// Postgres is on its way out, or (where there is no parent-death signal) still runs.
fn stop_orphans(directory: &Path) -> Result<(), EmbeddedError> {
    let start = Instant::now();
    let mut told = None;
    loop {
        let orphans = occupants(directory);
        let Some(&pid) = orphans.first() else { break };
        let signal = if start.elapsed() < FAST_STOP_AT_MOST { Signal::INT } else { Signal::QUIT };
        if told != Some(signal) {
            warn!(?orphans, "stopping a Postgres that an earlier run left behind");
            for orphan in orphans {
                // It may have ended by itself in the meantime.
                send(orphan, signal).ok();
            }
            told = Some(signal);
        }
        if start.elapsed() > FAST_STOP_AT_MOST + FORCED_STOP_AT_MOST {
            return Err(EmbeddedError::Orphan { pid, directory: directory.to_owned() });
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// Removes the pid file of a killed postmaster and the lock of its socket: the number in them may belong to another
/// process by now, or to one that is dead and not yet reaped, which Postgres would take for a running server.
/// Nobody uses the two directories at this point.
fn forget_dead_postmaster(directory: &Path, socket: &Path) -> Result<(), EmbeddedError> {
    let lock = socket.join(format!(".s.PGSQL.{PORT}.lock"));
    for path in [directory.join("postmaster.pid"), lock] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&path)(error)),
            _ => {}
        }
    }
    Ok(())
}

/// The processes that work in the cluster's directory: every process of a Postgres does, and keeps doing so when
/// its postmaster is killed; and so does the `initdb` that we start.
#[cfg(target_os = "linux")]
fn occupants(directory: &Path) -> Vec<u32> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let mut found: Vec<u32> = processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|working| working == directory)
                && fs::read_to_string(format!("/proc/{pid}/comm"))
                    .is_ok_and(|name| matches!(name.trim_end(), "postgres" | "initdb"))
        })
        .collect();
    found.sort_unstable();
    found
}

/// The postmaster of the pid file, if it lives. Its children end with it.
#[cfg(not(target_os = "linux"))]
fn occupants(directory: &Path) -> Vec<u32> {
    let pid = fs::read_to_string(directory.join("postmaster.pid"))
        .ok()
        .and_then(|text| text.lines().next()?.trim().parse::<u32>().ok());
    let alive = |pid: &u32| {
        Pid::from_raw(pid.cast_signed())
            .is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
    };
    pid.filter(alive).into_iter().collect()
}

fn send(pid: u32, signal: Signal) -> io::Result<()> {
    let pid = Pid::from_raw(pid.cast_signed()).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(kill_process(pid, signal)?)
}

/// Ends Postgres: fast (sessions end, all is written down), then at once.
fn end(child: &mut Child) -> Result<ExitStatus, EmbeddedError> {
    let failed = |error: io::Error| EmbeddedError::Stop { reason: error.to_string() };
    for (signal, at_most) in [(Signal::INT, FAST_STOP_AT_MOST), (Signal::QUIT, FORCED_STOP_AT_MOST)]
    {
        if let Some(status) = child.try_wait().map_err(failed)? {
            return Ok(status);
        }
        send(child.id(), signal).map_err(failed)?;
        let start = Instant::now();
        while start.elapsed() < at_most {
            if let Some(status) = child.try_wait().map_err(failed)? {
                if signal != Signal::INT {
                    let reason = format!("it took SIGQUIT after {FAST_STOP_AT_MOST:?}: {status}");
                    return Err(EmbeddedError::Stop { reason });
                }
                return Ok(status);
            }
            std::thread::sleep(POLL);
        }
    }
    child.kill().map_err(failed)?;
    child.wait().map_err(failed)?;
    Err(EmbeddedError::Stop { reason: "it had to be killed".to_owned() })
}

/// The log, to be written on: what Postgres said before it ended is what an operator looks for. One that has grown
/// large is put aside as `postgres.log.1`, in the place of the one before it.
fn open_log(log: &Path) -> io::Result<File> {
    const AT_MOST: u64 = 10_000_000;
    let file = File::options().create(true).append(true).open(log)?;
    if file.metadata()?.len() <= AT_MOST {
        return Ok(file);
    }
    fs::rename(log, log.with_extension("log.1"))?;
    File::options().create(true).append(true).open(log)
}

/// The end of a log file, for an error message.
fn tail(log: &Path) -> String {
    const BYTES: u64 = 2_000;
    let read = || -> io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_else(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_log_goes_on_where_it_was_and_is_put_aside_when_it_is_large() {
        let directory = std::env::temp_dir().join(format!("blotter-{}-log", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let log = directory.join("postgres.log");
        for said in ["one ", "two"] {
            open_log(&log).unwrap().write_all(said.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(&log).unwrap(), "one two");
        open_log(&log).unwrap().set_len(10_000_001).unwrap();
        open_log(&log).unwrap().write_all(b"three").unwrap();
        assert_eq!(fs::read_to_string(&log).unwrap(), "three");
        let aside = fs::metadata(directory.join("postgres.log.1")).unwrap();
        assert_eq!(aside.len(), 10_000_001);
        fs::remove_dir_all(&directory).unwrap();
    }
}
