//! `blotter audit`: verify, replay, export and checkpoint, on the database or on files.
//!
//! Exits with 0 for a log that is valid (or an export that was written), 1 for one that is not, 2 when there is no
//! verdict. A private database is read beside the server that runs it; without one it is started for
//! the audit, and neither made nor migrated.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use aggregates::rules::Rules;
use anyhow::{Context, bail};
use blotter::audit::{
    CHECKPOINT_FILE, Evidence, Report, Scope, export, split_notes, verify_database, verify_export,
};
use blotter::config::{DatabaseSettings, RuleSettings};
use blotter::database::{AuditorPool, Visit};
use blotter::engine::core::Settings;
use blotter::engine::history::Snapshot;
use blotter::engine::replay::{Replayed, replay};
use blotter::market::calendar::Calendar;
use clap::{Args, Subcommand};
use uuid::Uuid;

/// What can be asked of an audit.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check every event, every invariant and every view; exits with 1 and names the first bad position
    Verify(Verify),
    /// Run the engine again over log and tape; exits with 1 and names the first event that it would not have written so
    Replay(Replay),
    /// Write the log as JSON lines that `verify --file` accepts without a database
    Export(Export),
    /// Print the latest checkpoint that this data directory has signed
    Checkpoint(DatabaseSettings),
}

/// What to verify, and against what.
#[derive(Args, Debug)]
pub struct Verify {
    /// Where the database and the checkpoints are
    #[command(flatten)]
    database: DatabaseSettings,
    /// An exported log, instead of the database
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Checkpoints kept elsewhere; may be given several times [default: those of the data directory, if one is named
    /// or the database is a private one]
    #[arg(long, value_name = "FILE")]
    checkpoints: Vec<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// What to run again, and by which rules.
#[derive(Args, Debug)]
pub struct Replay {
    /// Where the database is
    #[command(flatten)]
    database: DatabaseSettings,
    /// The rules that the server ran by: they decide what fills cost
    #[command(flatten)]
    rules: RuleSettings,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What to export.
#[derive(Args, Debug)]
pub struct Export {
    /// Where the database is
    #[command(flatten)]
    database: DatabaseSettings,
    /// Show this tenant's rows only; the others are left out as leaves
    #[arg(long, value_name = "UUID")]
    tenant: Option<Uuid>,
    /// Show this account's rows only; the others are left out as leaves
    #[arg(long, value_name = "UUID")]
    account: Option<Uuid>,
    /// Where to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// How often a long replay says how far it has come.
const TELL: Duration = Duration::from_secs(2);
/// The shard that there is.
const SHARD: u16 = 0;

/// Does it and says how it went.
pub async fn run(command: AuditCommand) -> ExitCode {
    let done = match command {
        AuditCommand::Verify(verify) => check(&verify).await,
        AuditCommand::Replay(replay) => run_again(&replay).await,
        AuditCommand::Export(export) => write_export(&export).await.map(|()| true),
        AuditCommand::Checkpoint(settings) => print_checkpoint(&settings).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => crate::failed(&error, 2),
    }
}

/// Whether the log is valid.
async fn check(verify: &Verify) -> anyhow::Result<bool> {
    let report = match &verify.file {
        Some(path) => {
            let file = File::open(path).with_context(|| path.display().to_string())?;
            verify_export(BufReader::new(file), Evidence::named(&verify.checkpoints)?)?
        }
        None => {
            let evidence = evidence(verify)?;
            let visit = Visit::open(verify.database.existing()?).await?;
            let auditor = visit.auditor();
            let report = verify_database(&auditor, SHARD, evidence).await;
            auditor.pool().close().await;
            visit.close().await?;
            report?
        }
    };
    print_report(&report, verify.json)?;
    Ok(report.valid)
}

fn print_report(report: &Report, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, report)?;
        writeln!(out)?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(())
}

/// Whether the engine, run again, does what the log says.
async fn run_again(settings: &Replay) -> anyhow::Result<bool> {
    let visit = Visit::open(settings.database.existing()?).await?;
    let auditor = visit.auditor();
    let replayed = replayed(&auditor, &settings.rules.rules()).await;
    auditor.pool().close().await;
    visit.close().await?;
    let replayed = replayed?;
    let mut out = std::io::stdout().lock();
    if settings.json {
        serde_json::to_writer_pretty(&mut out, &replayed)?;
        writeln!(out)?;
    } else {
        write!(out, "{replayed}")?;
    }
    Ok(replayed.differing == 0)
}

async fn replayed(auditor: &AuditorPool, rules: &Rules) -> anyhow::Result<Replayed> {
    let past = Snapshot::of(auditor, SHARD).await?;
    let mut told = Instant::now();
    let progress = |place| {
        if told.elapsed() > TELL {
            told = Instant::now();
            eprintln!("line {place} of the tape");
        }
    };
    // The tape says with its first line which hours the engine kept.
    Ok(replay(&past, Settings::new(Calendar::nyse()), rules, progress).await?)
}

/// What a database is held against.
fn evidence(verify: &Verify) -> anyhow::Result<Evidence> {
    if !verify.checkpoints.is_empty() {
        return Ok(Evidence::named(&verify.checkpoints)?);
    }
    let own = verify.database.checkpoint_dir()?.map(|directory| directory.join(CHECKPOINT_FILE));
    let own: Vec<PathBuf> = own.filter(|file| file.exists()).into_iter().collect();
    Ok(Evidence::read(&own)?)
}

async fn write_export(settings: &Export) -> anyhow::Result<()> {
    // Read before the snapshot, so that the export is never shorter than what was signed.
    let signed = match settings.database.checkpoint_dir()?.map(|own| latest_checkpoint(&own)) {
        None => None,
        Some(Ok(note)) => note,
        Some(Err(error)) if is_missing(&error) => None,
        Some(Err(error)) => return Err(error),
    };
    let note = signed.as_deref();
    let scope = Scope { tenant: settings.tenant, account: settings.account };
    let visit = Visit::open(settings.database.existing()?).await?;
    let auditor = visit.auditor();
    let written = match &settings.out {
        Some(path) => {
            let file = File::create(path).with_context(|| path.display().to_string())?;
            let mut out = BufWriter::new(file);
            let written = export(&auditor, SHARD, scope, note, &mut out).await;
            out.into_inner().map_err(|error| error.into_error())?.sync_all()?;
            written
        }
        None => {
            let mut out = BufWriter::new(std::io::stdout());
            export(&auditor, SHARD, scope, note, &mut out).await
        }
    };
    auditor.pool().close().await;
    visit.close().await?;
    eprintln!("{} events", written?);
    Ok(())
}

fn print_checkpoint(settings: &DatabaseSettings) -> anyhow::Result<()> {
    let note = latest_checkpoint(&settings.data_dir()?)?;
    let Some(note) = note else { bail!("nothing was signed yet") };
    std::io::stdout().write_all(note.as_bytes())?;
    Ok(())
}

fn latest_checkpoint(data_dir: &Path) -> anyhow::Result<Option<String>> {
    let path = data_dir.join(CHECKPOINT_FILE);
    let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
    Ok(split_notes(&bytes).0.last().map(|note| (*note).to_owned()))
}

fn is_missing(error: &anyhow::Error) -> bool {
    let cause = error.root_cause().downcast_ref::<std::io::Error>();
    cause.is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}
