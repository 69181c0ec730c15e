//! The verification: every row of a log through the checks of [`super::chain`] and the second fold, and every view
//! compared with that fold at the view's own checkpoint.
//!
//! A database is read in one REPEATABLE READ snapshot, so it may be in use meanwhile. The cost is one pass over the
//! log and one over the views; memory is linear in the number of streams, not of events.

use std::io::BufRead;

use super::chain::{Chain, Head};
use super::error::AuditError;
use super::evidence::Evidence;
use super::export::Export;
use super::fold::Fold;
use super::report::{Findings, Report};
use super::row::Row;
use super::source;
use super::views::Views;
use crate::database::AuditorPool;

/// A verification under way.
struct Verification {
    chain: Chain,
    fold: Fold,
    findings: Findings,
    notes: Vec<String>,
}

impl Verification {
    fn new(mut evidence: Evidence) -> Self {
        let mut findings = Findings::default();
        let notes = evidence.judge(&mut findings);
        Self { chain: Chain::new(evidence.kept), fold: Fold::default(), findings, notes }
    }

    /// Takes the next row; `false` when the log breaks off here.
    fn row(&mut self, row: &Row) -> bool {
        if !self.chain.row(row, &mut self.findings) {
            return false;
        }
        if let Some(content) = &row.content {
            self.fold.row(row.position, content, &mut self.findings);
        }
        true
    }

    fn finish(mut self, head: &Head, whole: bool, view_rows: u64) -> Report {
        // Where a row is missing, the command that it was part of is not whole either: that is one problem, not two.
        if whole && head.position == self.chain.position() {
            self.fold.close_command(&mut self.findings);
        } else {
            self.notes
                .push(format!("nothing after position {} was looked at", self.chain.position()));
        }
        let agreement = self.chain.finish(Some(head), &mut self.findings);
        let problem_count = self.findings.count();
        let problems = self.findings.into_problems();
        Report {
            valid: problem_count == 0,
            position: self.chain.position(),
            root: self.chain.root(),
            first_bad_position: problems.first().map(|problem| problem.position),
            problem_count,
            problems,
            checkpoints: agreement.known,
            unknown_signers: agreement.unknown,
            covered: agreement.covered,
            beyond: self.chain.position() - agreement.covered,
            blanked: self.chain.blanked,
            streams: self.chain.streams(),
            view_rows,
            notes: self.notes,
        }
    }
}

/// Verifies the log of a shard and every view of it.
///
/// # Errors
/// The database cannot be read; a log that is wrong is a report, not an error.
pub async fn verify_database(
    auditor: &AuditorPool,
    shard: u16,
    evidence: Evidence,
) -> Result<Report, AuditError> {
    let mut snapshot = auditor.begin().await?;
    let (head, _) = source::head(&mut snapshot, shard).await?;
    let mut verification = Verification::new(evidence);
    let mut views = Views::open(&mut snapshot, &mut verification.findings).await?;
    let mut whole = true;
    while whole {
        let rows = source::rows(&mut snapshot, shard, verification.chain.position()).await?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            whole = verification.row(row);
            if !whole {
                break;
            }
            let Verification { fold, findings, .. } = &mut verification;
            views.after(row, &fold.streams, findings);
            views.compare_due(&mut snapshot, row.position, &fold.streams, findings).await?;
        }
        views.compare_chunk(&mut snapshot, &mut verification.findings).await?;
    }
    if whole {
        let Verification { chain, fold, findings, notes } = &mut verification;
        views.finish(&mut snapshot, chain.position(), &fold.streams, findings, notes).await?;
    }
    Ok(verification.finish(&head, whole, views.compared()))
}

/// Verifies an exported log.
///
/// # Errors
/// The export cannot be read; a log that is wrong is a report, not an error.
pub fn verify_export(lines: impl BufRead, mut evidence: Evidence) -> Result<Report, AuditError> {
    let mut export = Export::open(lines)?;
    if let Some(note) = &export.checkpoint {
        evidence.add_header(note)?;
    }
    let mut verification = Verification::new(evidence);
    let mut whole = true;
    while let Some(row) = export.next()? {
        whole = verification.row(&row);
        if !whole {
            break;
        }
    }
    Ok(verification.finish(&export.head, whole, 0))
}
