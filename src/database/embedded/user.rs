//! The user that Postgres runs as: ourselves, or an unprivileged one when we are root, whom Postgres refuses.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{EmbeddedError, at};

/// Who Postgres runs as when we are root, the best first.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// A user to run as.
#[derive(Clone, Debug)]
pub(super) struct User {
    /// The uid of files that belong to the cluster.
    pub(super) uid: u32,
    /// Whom to become, if not who we are.
    other: Option<Other>,
}

#[derive(Clone, Debug)]
struct Other {
    name: String,
    gid: u32,
}

impl User {
    /// Ourselves, or as root the first unprivileged user there is.
    pub(super) fn to_run_as() -> Result<Self, EmbeddedError> {
        let uid = rustix::process::geteuid();
        if !uid.is_root() {
            return Ok(Self { uid: uid.as_raw(), other: None });
        }
        let passwd = Path::new("/etc/passwd");
        let passwd = fs::read_to_string(passwd).map_err(at(passwd))?;
        UNPRIVILEGED.iter().find_map(|name| find(&passwd, name)).ok_or(EmbeddedError::NoUser)
    }

    /// A command that runs as this user, with a clean environment, in a process group of its own (so that Ctrl-C
    /// reaches us alone), and that ends by SIGINT when the thread that started it ends (Linux).
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .process_group(0);
        if let Some(other) = &self.other {
            command.uid(self.uid).gid(other.gid);
        }
        end_with_parent(&mut command);
        command
    }

    /// Makes a directory that only this user (and root) can enter.
    pub(super) fn private_directory(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().mode(0o700).create(path)?;
        if let Some(other) = &self.other {
            chown(path, Some(self.uid), Some(other.gid))?;
        }
        Ok(())
    }

    /// Whether this user can enter `directory`, tried by doing it.
    pub(super) fn check_reaches(&self, directory: &Path) -> Result<(), EmbeddedError> {
        let Some(other) = &self.other else { return Ok(()) };
        let entered = self
            .command(Path::new("/bin/sh"))
            .args(["-c", "exit 0"])
            .current_dir(directory)
            .status();
        match entered {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(EmbeddedError::Unreachable {
                    directory: directory.to_owned(),
                    user: other.name.clone(),
                })
            }
            other => other.map(drop).map_err(at(directory)),
        }
    }
}

/// Reads a line `name:password:uid:gid:…` of a password file.
fn find(passwd: &str, name: &str) -> Option<User> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then_some(())?;
        let uid = fields.nth(1)?.parse().ok().filter(|uid| *uid != 0)?;
        let gid = fields.next()?.parse().ok()?;
        Some(User { uid, other: Some(Other { name: name.to_owned(), gid }) })
    })
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "a parent-death signal can only be set between fork and exec")]
fn end_with_parent(command: &mut Command) {
    use rustix::process::{Signal, set_parent_process_death_signal};
    // SAFETY: the closure makes one system call and touches no memory of the parent. It runs after the change of
    // user, which would clear the signal.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::INT))?));
    }
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent(_: &mut Command) {}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\npostgres:x:101:104:a,b:/var/lib:/bin/sh\n\
                          nobody:x:65534:65533:nobody:/nonexistent:/bin/false\n";

    #[test]
    fn a_user_is_found_by_its_whole_name_and_never_with_the_rights_of_root() {
        let user = find(PASSWD, "nobody").unwrap();
        assert_eq!((user.uid, user.other.unwrap().gid), (65534, 65533));
        assert!(find(PASSWD, "post").is_none());
        assert!(find(PASSWD, "root").is_none());
    }
}
