//! What a verification found: problems by position, and the verdict.
//!
//! At most [`KEPT`] problems are kept, those at the lowest positions; all are counted. So a log that is wrong
//! throughout costs no memory, and the first bad position is always right.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

/// The most problems that a report lists.
pub const KEPT: usize = 100;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident $word:literal),+ $(,)?) => {
        /// What kind of rule a problem breaks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize)]
        #[serde(rename_all = "snake_case")]
        #[schemars(rename = "VerdictCode")]
        pub enum Code { $($(#[$doc])* $variant),+ }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in reports.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

codes! {
    /// A position is missing, or there twice.
    Position "position",
    /// A stream has a gap or a repetition (I15).
    Sequence "sequence",
    /// `recorded_at` goes backwards (I15).
    Time "time",
    /// A row is not what its leaf was made of.
    Leaf "leaf",
    /// The tree is not that of the head row.
    Root "root",
    /// The log is not what a checkpoint signed (I22).
    Checkpoint "checkpoint",
    /// An epoch is not the one that took over last (I23).
    Epoch "epoch",
    /// Tenant, actor, interface, request, command or epoch is missing (I13, I26).
    Metadata "metadata",
    /// A payload that is not what its type says.
    Payload "payload",
    /// A row in the name of the wrong tenant or account.
    Owner "owner",
    /// Cash or reservations of an account (I3, I4).
    Account "account",
    /// The margin that a decision relied on, or what it permits.
    Margin "margin",
    /// What losses are counted from, or the stop that they lead to.
    Losses "losses",
    /// A reservation that is not what the order needs (I5).
    Reservation "reservation",
    /// Shares, lots or profit of a position (I6).
    Holding "holding",
    /// The life or the sums of an order (I8, I9, I10).
    Order "order",
    /// The parts of one fill or corporate action do not agree (I1, I2, I3, I6).
    Command "command",
    /// A fill's price is not what its evidence allows (I24).
    Evidence "evidence",
    /// A `client_order_id` was used twice, or its key is lost (I14).
    Idempotency "idempotency",
    /// The life of an instrument.
    Instrument "instrument",
    /// The life of a user, or of a grant.
    Identity "identity",
    /// Something that looks like a secret (I27).
    Secret "secret",
    /// A view is not what the events say (I17).
    View "view",
    /// A journal entry does not sum to zero (I1, I2).
    Journal "journal",
    /// A snapshot is not what the events say (I18).
    Snapshot "snapshot",
    /// A projection has stopped (I28).
    Projection "projection",
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize)]
#[schemars(rename = "VerdictProblem")]
pub struct Problem {
    /// The position that it is at, or the first that it can be at.
    pub position: u64,
    /// Which rule.
    pub code: Code,
    /// What is found and what belongs there.
    pub message: String,
}

/// Collects problems.
#[derive(Debug, Default)]
pub struct Findings {
    kept: BTreeMap<(u64, u64), (Code, String)>,
    count: u64,
}

impl Findings {
    /// Notes a problem.
    pub fn report(&mut self, position: u64, code: Code, message: impl Into<String>) {
        self.kept.insert((position, self.count), (code, message.into()));
        self.count += 1;
        if self.kept.len() > KEPT {
            self.kept.pop_last();
        }
    }

    /// Notes a problem unless `holds`; the message is made only then.
    pub fn expect(
        &mut self,
        holds: bool,
        position: u64,
        code: Code,
        message: impl FnOnce() -> String,
    ) {
        if !holds {
            self.report(position, code, message());
        }
    }

    /// The first position from `from` to `to` at which a row is not what its leaf was made of.
    pub fn first_changed_row(&self, from: u64, to: u64) -> Option<u64> {
        if from > to {
            return None;
        }
        let mut range = self.kept.range((from, 0)..=(to, u64::MAX));
        range.find(|(_, (code, _))| *code == Code::Leaf).map(|((position, _), _)| *position)
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The problems kept, by position.
    pub fn into_problems(self) -> Vec<Problem> {
        let problem = |((position, _), (code, message))| Problem { position, code, message };
        self.kept.into_iter().map(problem).collect()
    }
}

/// These as a problem tells them, and of nothing that there is none.
pub(super) fn listed<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

/// The verdict on a log.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[schemars(rename = "Verdict")]
pub struct Report {
    /// No problem was found.
    pub valid: bool,
    /// The position of the last event.
    pub position: u64,
    /// The root of the tree over all leaves.
    #[serde(serialize_with = "base64")]
    #[schemars(with = "String")]
    pub root: [u8; 32],
    /// The first position that is not right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_bad_position: Option<u64>,
    /// How many problems there are.
    pub problem_count: u64,
    /// The problems at the lowest positions, 100 at most.
    pub problems: Vec<Problem>,
    /// Checkpoints that the log agrees with and that a logged key signed.
    pub checkpoints: u64,
    /// Checkpoints that the log agrees with, signed by a key that it does not name (a standby that never wrote).
    pub unknown_signers: u64,
    /// The first so many events are what the largest checkpoint states that is counted in `checkpoints` and was given:
    /// not that which an export brings along.
    pub covered: u64,
    /// How many events come after those, which no checkpoint that was given says anything about.
    pub beyond: u64,
    /// Rows that the export leaves out, whose content was not checked.
    pub blanked: u64,
    /// Accounts, orders, positions and instruments looked at.
    pub streams: u64,
    /// Rows of views compared with the events; none for an export.
    pub view_rows: u64,
    /// What somebody who reads the verdict ought to know.
    pub notes: Vec<String>,
}

fn base64<S: Serializer>(root: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64.encode(root))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.valid { "valid" } else { "NOT VALID" };
        writeln!(f, "{:<14}{verdict}", "verdict")?;
        if let Some(position) = self.first_bad_position {
            writeln!(f, "{:<14}{position}", "first bad")?;
        }
        writeln!(f, "{:<14}{}", "position", self.position)?;
        writeln!(f, "{:<14}{}", "root", BASE64.encode(self.root))?;
        writeln!(f, "{:<14}{}", "streams", self.streams)?;
        writeln!(f, "{:<14}{}", "view rows", self.view_rows)?;
        write!(f, "{:<14}{}", "checkpoints", self.checkpoints)?;
        match self.unknown_signers {
            0 => writeln!(f)?,
            n => writeln!(f, " (and {n} by signers that the log does not name)")?,
        }
        match (self.covered, self.beyond) {
            (0, _) => writeln!(f, "{:<14}no row by a checkpoint that was given", "covered")?,
            (size, 0) => {
                writeln!(f, "{:<14}all {size} rows by a checkpoint that was given", "covered")?;
            }
            (size, beyond) => writeln!(
                f,
                "{:<14}the first {size} rows by a checkpoint that was given; {beyond} lie beyond it",
                "covered"
            )?,
        }
        if self.blanked > 0 {
            writeln!(f, "{:<14}{} rows, checked by their leaves alone", "blanked", self.blanked)?;
        }
        for note in &self.notes {
            writeln!(f, "{:<14}{note}", "note")?;
        }
        if self.problem_count > 0 {
            writeln!(f, "{:<14}{}", "problems", self.problem_count)?;
            for Problem { position, code, message } in &self.problems {
                writeln!(f, "{position:>12}  {:<12}  {message}", code.word())?;
            }
            let kept = self.problems.len() as u64;
            if self.problem_count > kept {
                writeln!(f, "{:>12}  and {} more", "…", self.problem_count - kept)?;
            }
        }
        Ok(())
    }
}
