//! The checkpoints that somebody kept outside the database.
//!
//! What a crash cut short at the end of a file is left out with a remark. What is no checkpoint further up is a problem
//! of the verdict, named by its lines, and costs no checkpoint before or behind it: evidence that was damaged must
//! neither hide what is left of it nor pass for whole.

use std::path::{Path, PathBuf};

use super::chain::Kept;
use super::checkpoint::{Checkpoint, split_notes};
use super::error::AuditError;
use super::report::{Code, Findings};

/// The lines of a note before its signatures: the log, the size, the root, and an empty one.
const BODY_LINES: usize = 4;

/// The checkpoints of any number of files.
#[derive(Debug, Default)]
pub struct Evidence {
    pub(super) kept: Vec<Kept>,
    /// Where something else stands, and the first position that it can have been about.
    damage: Vec<(u64, String)>,
    remarks: Vec<String>,
    /// An export brought the only one along.
    only_its_own: bool,
}

impl Evidence {
    /// Reads every note of these files, each of which somebody named for the checkpoints in it.
    ///
    /// # Errors
    /// A file cannot be read, or there is no whole checkpoint in it.
    pub fn named(files: &[PathBuf]) -> Result<Self, AuditError> {
        let mut evidence = Self::default();
        for path in files {
            let before = evidence.kept.len();
            evidence.add_file(path)?;
            if evidence.kept.len() == before {
                return Err(AuditError::NoCheckpoint { path: path.clone() });
            }
        }
        Ok(evidence)
    }

    /// Reads every note of these files, in which a process may not have signed anything yet.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn read(files: &[PathBuf]) -> Result<Self, AuditError> {
        let mut evidence = Self::default();
        for path in files {
            evidence.add_file(path)?;
        }
        Ok(evidence)
    }

    fn add_file(&mut self, path: &Path) -> Result<(), AuditError> {
        let failed = |source| AuditError::File { path: path.to_owned(), source };
        self.add(path, &std::fs::read(path).map_err(failed)?);
        Ok(())
    }

    fn add(&mut self, path: &Path, bytes: &[u8]) {
        let file = path.display();
        // A byte that is no text damages its line alone.
        let text = String::from_utf8_lossy(bytes);
        let (notes, whole) = split_notes(text.as_bytes());
        let (mut line, mut reached) = (1, 0);
        for (n, note) in notes.into_iter().enumerate() {
            let (damaged, read) = readable(note);
            if damaged > 0 {
                let last = line + damaged - 1;
                let message = format!("lines {line} to {last} of {file} are no checkpoint");
                self.damage.push((reached + 1, message));
            }
            if let Some((note, checkpoint)) = read {
                reached = checkpoint.size;
                let place = format!("checkpoint {} of {file}", n + 1);
                self.kept.push(Kept { checkpoint, note: note.to_owned(), place, given: true });
            }
            line += note.lines().count();
        }
        if whole < text.len() {
            self.remarks
                .push(format!("the last checkpoint of {file} is cut short, or no checkpoint"));
        }
    }

    /// Adds the one that an export brings along.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn add_header(&mut self, note: &str) -> Result<(), AuditError> {
        let place = "the checkpoint of the export's header".to_owned();
        let checkpoint = Checkpoint::read(note)
            .map_err(|source| AuditError::Checkpoint { place: place.clone(), source })?;
        self.only_its_own = self.kept.is_empty();
        self.kept.push(Kept { checkpoint, note: note.to_owned(), place, given: false });
        Ok(())
    }

    /// Reports what is damaged and gives what somebody who reads the verdict ought to know.
    pub(super) fn judge(&mut self, findings: &mut Findings) -> Vec<String> {
        for (position, message) in self.damage.drain(..) {
            findings.report(position, Code::Checkpoint, message);
        }
        let mut remarks = std::mem::take(&mut self.remarks);
        if self.only_its_own {
            let remark = "the only checkpoint is the one that the export brings along, which whoever made the export up \
                          could have made too: blotter audit verify takes --checkpoints FILE";
            remarks.push(remark.to_owned());
        } else if self.kept.is_empty() {
            let remark = "the log was held against no checkpoint from outside the database, so one that was rewritten as \
                          a whole would not be noticed: blotter audit verify takes --checkpoints FILE, or --data-dir DIR \
                          of a server that signed some";
            remarks.push(remark.to_owned());
        }
        remarks
    }
}

/// How many lines of a note, from its first, are no part of a checkpoint, and the checkpoint in the others.
fn readable(note: &str) -> (usize, Option<(&str, Checkpoint)>) {
    if let Ok(checkpoint) = Checkpoint::read(note) {
        return (0, Some((note, checkpoint)));
    }
    let lines: Vec<&str> = note.split_inclusive('\n').collect();
    let signatures = lines.iter().rev().take_while(|line| line.starts_with('\u{2014}')).count();
    let before = lines.len().saturating_sub(signatures + BODY_LINES);
    let skipped = lines[..before].iter().map(|line| line.len()).sum::<usize>();
    match Checkpoint::read(&note[skipped..]) {
        Ok(checkpoint) if before > 0 => (before, Some((&note[skipped..], checkpoint))),
        _ => (lines.len(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{ProcessKey, origin};
    use crate::ledger::proof::Frontier;

    /// Three notes of one process, and the lines of one.
    fn notes(name: &str) -> (Vec<String>, usize) {
        let directory = std::env::temp_dir().join(format!("blotter-{}-{name}", std::process::id()));
        let key = ProcessKey::open_or_create(&directory).expect("a key");
        std::fs::remove_dir_all(&directory).expect("it is there");
        let mut tree = Frontier::default();
        let notes: Vec<String> = (1..=3)
            .map(|n| {
                tree.push([n; 32]);
                Checkpoint::of(origin(&[1; 32]), &tree).sign(&key).expect("signed")
            })
            .collect();
        let lines = notes[0].lines().count();
        (notes, lines)
    }

    fn read(bytes: &[u8]) -> (Vec<u64>, Vec<(u64, String)>, usize) {
        let mut evidence = Evidence::default();
        evidence.add(Path::new("file"), bytes);
        let sizes = evidence.kept.iter().map(|kept| kept.checkpoint.size).collect();
        (sizes, evidence.damage, evidence.remarks.len())
    }

    #[test]
    fn what_is_torn_in_the_middle_is_named_by_its_lines_and_the_others_are_read() {
        let (notes, lines) = notes("evidence-torn");
        let whole = notes.concat();
        assert_eq!(read(whole.as_bytes()), (vec![1, 2, 3], vec![], 0));
        let damage = |first: usize, last: usize| {
            vec![(2, format!("lines {first} to {last} of file are no checkpoint"))]
        };
        // Two lines of the second are left; its signature is not.
        let torn: String = notes[1].split_inclusive('\n').take(2).collect();
        let text = [&notes[0], &torn, &notes[2]].map(String::as_str).concat();
        assert_eq!(read(text.as_bytes()), (vec![1, 3], damage(lines + 1, lines + 2), 0));
        // Its size is no number.
        let spoilt = notes[1].replacen("\n2\n", "\nx\n", 1);
        let text = [&notes[0], &spoilt, &notes[2]].map(String::as_str).concat();
        assert_eq!(read(text.as_bytes()), (vec![1, 3], damage(lines + 1, 2 * lines), 0));
        // A byte of it is no text.
        let mut bytes = whole.clone().into_bytes();
        bytes[notes[0].len() + notes[1].find("\n2\n").expect("its size") + 1] = 0xff;
        assert_eq!(read(&bytes), (vec![1, 3], damage(lines + 1, 2 * lines), 0));
        assert_eq!(read(&whole.as_bytes()[..whole.len() - 1]), (vec![1, 2], vec![], 1));
    }
}
