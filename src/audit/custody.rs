//! The file `checkpoints` in the data directory: every checkpoint that this process signed, one note after another.
//!
//! It only grows, each note is on disk before [`Checkpointer::record`] returns, and a note that a crash cut short is
//! taken off when the file is opened (it was never shown to anyone). What the file says last is what the log has to
//! contain: a database that was restored from an older backup, or rewritten, does not, and the writer stays away
//! until the operator accepts that. The old file is then kept under another name, as evidence.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tracing::warn;

use super::checkpoint::{Checkpoint, CheckpointError, Signed, signed, split_notes};
use super::key::ProcessKey;
use crate::ledger::proof::Frontier;

/// The file of checkpoints in the data directory.
pub const CHECKPOINT_FILE: &str = "checkpoints";

/// More than a note of ours takes: what is longer was not cut short by a crash.
const NOTE_BYTES: usize = 1024;

/// Why checkpoints cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// The file cannot be read or written.
    #[error("the checkpoints in {path} cannot be used: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A note in the file is none, or this process's key did not sign it.
    #[error("{path} is not this process's record of checkpoints: note {note} {reason}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Which note, from 1.
        note: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A checkpoint could not be signed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// The log is not what this process signed. Nothing may be written to it until somebody says that this is meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rollback {
    /// Events are missing.
    #[error(
        "the log ends at position {position}, but this process has signed a checkpoint of {signed} events: the \
         database is an older one (a restored backup?). Start with --accept-rollback if that is meant"
    )]
    Behind {
        /// Where the log ends.
        position: u64,
        /// The size signed.
        signed: u64,
    },
    /// Events are others.
    #[error(
        "the first {signed} events of the log are not those that this process has signed: the database was exchanged \
         or rewritten. Run `blotter audit verify`; start with --accept-rollback if that is meant"
    )]
    Other {
        /// The size signed.
        signed: u64,
    },
}

/// Writes the checkpoints of one process.
#[derive(Debug)]
pub struct Checkpointer {
    key: ProcessKey,
    path: PathBuf,
    file: File,
    /// Where the last whole note ends.
    end: u64,
    last: Option<Checkpoint>,
    note: Option<String>,
}

impl Checkpointer {
    /// Opens the record in this data directory, or begins it.
    ///
    /// # Errors
    /// The file cannot be used, or holds what this key did not sign.
    pub fn open(data_dir: &Path, key: ProcessKey) -> Result<Self, CustodyError> {
        let path = data_dir.join(CHECKPOINT_FILE);
        let failed = |source| CustodyError::File { path: path.clone(), source };
        let mut file = open_file(data_dir, &path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let (notes, whole) = split_notes(&bytes);
        let foreign = |reason: String| CustodyError::Foreign {
            path: path.clone(),
            note: notes.len(),
            reason,
        };
        if bytes.len() - whole > NOTE_BYTES {
            return Err(foreign("is followed by what is no note".into()));
        }
        if whole < bytes.len() {
            file.set_len(whole as u64).map_err(failed)?;
            file.sync_all().map_err(failed)?;
        }
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        let (mut last, mut note) = (None, None);
        if let Some(latest) = notes.last() {
            let checkpoint =
                Checkpoint::read(latest).map_err(|error| foreign(error.to_string()))?;
            let keys: Vec<_> = key.verifier().into_iter().collect();
            if signed(latest, &keys)? != Signed::Known {
                return Err(foreign(format!("is not signed by {}", key.name())));
            }
            last = Some(checkpoint);
            note = Some((*latest).to_owned());
        }
        Ok(Self { key, path, file, end: whole as u64, last, note })
    }

    /// The last checkpoint on disk.
    pub fn last(&self) -> Option<&Checkpoint> {
        self.last.as_ref()
    }

    /// The last checkpoint as it was signed.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// The key that signs.
    pub fn key(&self) -> &ProcessKey {
        &self.key
    }

    /// Signs this state of the log if it moved since the last one, and puts it on disk. The new note, if there is
    /// one. Costs an Ed25519 signature (about 40 us) and an fsync; call it once a second and on stop, off the
    /// runtime's threads.
    ///
    /// # Errors
    /// The disk failed, and the checkpoint does not count: what reached the file of it is taken off again.
    pub fn record(&mut self, origin: &str, tree: &Frontier) -> Result<Option<&str>, CustodyError> {
        if tree.size() == 0 || self.last.as_ref().is_some_and(|last| last.size >= tree.size()) {
            return Ok(None);
        }
        let checkpoint = Checkpoint::of(origin.to_owned(), tree);
        let note = checkpoint.sign(&self.key)?;
        let path = &self.path;
        append(&mut self.file, self.end, note.as_bytes())
            .map_err(|source| CustodyError::File { path: path.clone(), source })?;
        self.end += note.len() as u64;
        self.last = Some(checkpoint);
        Ok(Some(self.note.insert(note)))
    }

    /// Begins anew after a rollback that was accepted: the record so far is kept beside it, as `checkpoints.1` or
    /// the next free number.
    ///
    /// # Errors
    /// The file cannot be moved.
    pub fn supersede(&mut self, data_dir: &Path) -> Result<PathBuf, CustodyError> {
        let failed = |source| CustodyError::File { path: self.path.clone(), source };
        let aside = (1u32..)
            .map(|n| data_dir.join(format!("{CHECKPOINT_FILE}.{n}")))
            .find(|path| !path.exists())
            .expect("numbers do not end before files do");
        std::fs::rename(&self.path, &aside).map_err(failed)?;
        self.file = open_file(data_dir, &self.path).map_err(failed)?;
        self.end = 0;
        self.last = None;
        self.note = None;
        Ok(aside)
    }
}

/// What a record lies on.
trait Disk: Write {
    /// Takes off everything from `end` on.
    fn cut(&mut self, end: u64) -> std::io::Result<()>;
    /// Returns when what was written is on disk.
    fn sync(&mut self) -> std::io::Result<()>;
}

impl Disk for File {
    fn cut(&mut self, end: u64) -> std::io::Result<()> {
        self.set_len(end)
    }

    fn sync(&mut self) -> std::io::Result<()> {
        self.sync_data()
    }
}

/// Puts a note behind the whole ones, which end at `end`: all of it, or nothing.
fn append(file: &mut impl Disk, end: u64, note: &[u8]) -> std::io::Result<()> {
    // A part that an earlier failure left, and that could not be taken off then, would tear this note too.
    file.cut(end)?;
    let written = file.write_all(note).and_then(|()| file.sync());
    if written.is_err()
        && let Err(error) = file.cut(end)
    {
        warn!(%error, "a part of a checkpoint stays in the file until the next one is written");
    }
    written
}

fn open_file(data_dir: &Path, path: &Path) -> std::io::Result<File> {
    let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    File::open(data_dir)?.sync_all()?;
    Ok(file)
}

/// Follows the leaves of a log and says whether it contains what was signed.
///
/// Feed it every leaf from position 1 to the head; a log that stands where the checkpoint was made is compared by its
/// frontier alone, see [`RollbackCheck::at_head`].
#[derive(Debug)]
pub struct RollbackCheck<'a> {
    signed: &'a Checkpoint,
    tree: Frontier,
    other: bool,
}

impl<'a> RollbackCheck<'a> {
    /// Against this checkpoint.
    pub fn new(signed: &'a Checkpoint) -> Self {
        Self { signed, tree: Frontier::default(), other: false }
    }

    /// Takes the next leaf.
    pub fn push(&mut self, leaf: [u8; 32]) {
        self.tree.push(leaf);
        if self.tree.size() == self.signed.size {
            self.other = self.tree.root() != self.signed.root;
        }
    }

    /// The verdict after the last leaf, `head` being the frontier that the head row keeps.
    ///
    /// # Errors
    /// The log is behind what was signed, or another one.
    pub fn finish(self, head: &Frontier) -> Result<(), Rollback> {
        let signed = self.signed.size;
        if self.tree.size() < signed {
            return Err(Rollback::Behind { position: self.tree.size(), signed });
        }
        if self.other || self.tree != *head { Err(Rollback::Other { signed }) } else { Ok(()) }
    }

    /// The verdict without reading leaves, where the head alone gives it.
    pub fn at_head(signed: &Checkpoint, head: &Frontier) -> Option<Result<(), Rollback>> {
        let (position, size) = (head.size(), signed.size);
        if position < size {
            return Some(Err(Rollback::Behind { position, signed: size }));
        }
        if position > size {
            return None;
        }
        let same = head.root() == signed.root;
        Some(if same { Ok(()) } else { Err(Rollback::Other { signed: size }) })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::audit::{KEY_FILE, KeyError, origin};

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("blotter-custody-{}-{name}", std::process::id()));
            std::fs::create_dir(&path).expect("a new directory");
            Self(path)
        }

        fn open(&self) -> Checkpointer {
            let key = ProcessKey::open_or_create(&self.0).expect("a key");
            Checkpointer::open(&self.0, key).expect("a record")
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).expect("it is there");
        }
    }

    fn tree(leaves: u8) -> Frontier {
        let mut tree = Frontier::default();
        (0..leaves).for_each(|n| tree.push([n; 32]));
        tree
    }

    #[test]
    fn a_checkpoint_is_written_when_the_log_moved_and_read_again_by_the_same_key() {
        let directory = Directory::new("moves");
        let mut own = directory.open();
        let name = origin(&[0; 32]);
        assert!(own.record(&name, &tree(0)).expect("nothing").is_none());
        assert!(own.record(&name, &tree(3)).expect("written").is_some());
        assert!(own.record(&name, &tree(3)).expect("the same").is_none());
        let note = own.record(&name, &tree(5)).expect("written").expect("moved").to_owned();
        let read = Checkpoint::read(&note).expect("a checkpoint");
        assert_eq!(read, Checkpoint::of(name.clone(), &tree(5)));
        assert_eq!(
            read.body(),
            note.split_inclusive("\n\n").next().expect("a body").replacen("\n\n", "\n", 1)
        );
        drop(own);
        assert_eq!(directory.open().last(), Some(&read));
    }

    #[test]
    fn the_key_is_its_owners_alone_and_an_exposed_one_is_refused() {
        let directory = Directory::new("mode");
        let first = directory.open().key().public_key();
        let path = directory.0.join(KEY_FILE);
        let mode = std::fs::metadata(&path).expect("a key").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(directory.open().key().public_key(), first);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("ours");
        assert!(matches!(
            ProcessKey::open_or_create(&directory.0),
            Err(KeyError::Exposed { mode: 0o640, .. })
        ));
    }

    #[test]
    fn the_key_comes_into_a_directory_that_was_not_there_yet_and_is_private() {
        let directory = Directory::new("absent");
        let absent = directory.0.join("data");
        ProcessKey::open_or_create(&absent).expect("a key");
        let mode = std::fs::metadata(&absent).expect("a directory").permissions().mode();
        assert_eq!(mode & 0o066, 0, "{mode:o}");
    }

    #[test]
    fn a_note_that_a_crash_cut_short_is_taken_off() {
        let directory = Directory::new("torn");
        let path = directory.0.join(CHECKPOINT_FILE);
        let mut own = directory.open();
        own.record("blotter/test", &tree(1)).expect("written");
        own.record("blotter/test", &tree(2)).expect("written");
        drop(own);
        let whole = std::fs::read(&path).expect("the record");
        let first = split_notes(&whole).0[0].len();
        for cut in first + 1..whole.len() {
            std::fs::write(&path, &whole[..cut]).expect("cut");
            assert_eq!(directory.open().last().map(|last| last.size), Some(1), "cut at {cut}");
            assert_eq!(std::fs::read(&path).expect("the record"), whole[..first], "cut at {cut}");
        }
    }

    /// A disk that has room for so many bytes more, and may refuse to take off what it holds.
    struct Full<'a> {
        file: &'a mut File,
        room: usize,
        stuck: bool,
    }

    impl Write for Full<'_> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let taken = self.file.write(&bytes[..bytes.len().min(self.room)])?;
            self.room -= taken;
            if taken == 0 { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> std::io::Result<()> {
            self.file.flush()
        }
    }

    impl Disk for Full<'_> {
        fn cut(&mut self, end: u64) -> std::io::Result<()> {
            if self.stuck && self.file.metadata()?.len() > end {
                return Err(std::io::ErrorKind::Other.into());
            }
            self.file.cut(end)
        }

        fn sync(&mut self) -> std::io::Result<()> {
            self.file.sync()
        }
    }

    #[test]
    fn a_note_that_the_disk_had_no_room_for_leaves_the_record_whole() {
        let directory = Directory::new("full");
        let path = directory.0.join(CHECKPOINT_FILE);
        let mut own = directory.open();
        let first = own.record("blotter/test", &tree(1)).expect("written").expect("moved").len();
        for (room, stuck) in [(0, false), (70, false), (70, true)] {
            let note = [b'x'; 200];
            let mut full = Full { file: &mut own.file, room, stuck };
            append(&mut full, own.end, &note).expect_err("no room");
            let left = if stuck { room } else { 0 };
            let length = std::fs::metadata(&path).expect("the record").len();
            assert_eq!(length, (first + left) as u64, "{room} {stuck}");
        }
        own.record("blotter/test", &tree(2)).expect("room again").expect("moved");
        let bytes = std::fs::read(&path).expect("the record");
        let (notes, whole) = split_notes(&bytes);
        assert_eq!((notes.len(), whole), (2, bytes.len()));
        drop(own);
        assert_eq!(directory.open().last().map(|last| last.size), Some(2));
    }

    #[test]
    fn checkpoints_of_another_key_or_changed_ones_are_not_ones_own() {
        let (directory, other) = (Directory::new("own"), Directory::new("other"));
        directory.open().record("blotter/test", &tree(1)).expect("written");
        other.open().record("blotter/test", &tree(1)).expect("written");
        let key = || ProcessKey::open_or_create(&directory.0).expect("a key");
        let path = directory.0.join(CHECKPOINT_FILE);
        let own = std::fs::read_to_string(&path).expect("the record");
        std::fs::copy(other.0.join(CHECKPOINT_FILE), &path).expect("copied");
        assert!(matches!(
            Checkpointer::open(&directory.0, key()),
            Err(CustodyError::Foreign { .. })
        ));
        std::fs::write(&path, own.replacen("\n1\n", "\n2\n", 1)).expect("changed");
        assert!(matches!(
            Checkpointer::open(&directory.0, key()),
            Err(CustodyError::Foreign { .. })
        ));
    }

    #[test]
    fn a_log_that_is_behind_or_another_is_told_from_one_that_went_on() {
        let signed = Checkpoint::of("blotter/test".into(), &tree(5));
        let check = |leaves: u8, changed: Option<u8>| {
            let mut check = RollbackCheck::new(&signed);
            let mut head = Frontier::default();
            for n in 0..leaves {
                let leaf = [if changed == Some(n) { 99 } else { n }; 32];
                check.push(leaf);
                head.push(leaf);
            }
            check.finish(&head)
        };
        assert_eq!(check(5, None), Ok(()));
        assert_eq!(check(9, None), Ok(()));
        assert_eq!(check(9, Some(7)), Ok(()), "what was not signed yet");
        assert_eq!(check(9, Some(2)), Err(Rollback::Other { signed: 5 }));
        assert_eq!(check(4, None), Err(Rollback::Behind { position: 4, signed: 5 }));
        assert_eq!(
            RollbackCheck::at_head(&signed, &tree(4)),
            Some(Err(Rollback::Behind { position: 4, signed: 5 }))
        );
        assert_eq!(RollbackCheck::at_head(&signed, &tree(5)), Some(Ok(())));
        assert_eq!(RollbackCheck::at_head(&signed, &tree(6)), None);
    }
}
