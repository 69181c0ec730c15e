//! The database roles that the server works as, and what each session of a role is allowed to take.
//!
//! A role is the border between parts of the server: what a role may do is granted in
//! the migrations beside the tables; here is how a connection becomes that role, and its limits.

/// A part of the server, as the database knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The sequencer and the engine: appends to log and tape.
    Writer,
    /// Writes query views and their checkpoints.
    Projector,
    /// Every request of a user, under row-level security.
    Reader,
    /// Users, sessions, tokens and grants, with their secrets.
    Identity,
    /// Reads everything: operator, auditors, `blotter audit`.
    Auditor,
}

/// Upper bounds of one session, in seconds.
struct Limits {
    statement: u32,
    lock: u32,
    idle_in_transaction: u32,
}

impl Role {
    /// Every role of the running server.
    pub const ALL: [Self; 5] =
        [Self::Writer, Self::Projector, Self::Reader, Self::Identity, Self::Auditor];

    /// The name in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Writer => "blotter_writer",
            Self::Projector => "blotter_projector",
            Self::Reader => "blotter_reader",
            Self::Identity => "blotter_identity",
            Self::Auditor => "blotter_auditor",
        }
    }

    const fn limits(self) -> Limits {
        match self {
            // A fencing statement waits behind a running append, never longer than that append may run.
            // One that falls silent within an append is followed as soon as one that is silent between two.
            Self::Writer => Limits { statement: 30, lock: 30, idle_in_transaction: 5 },
            // A rebuild switches its generation in one statement over a whole view.
            Self::Projector => Limits { statement: 300, lock: 10, idle_in_transaction: 60 },
            Self::Reader => Limits { statement: 10, lock: 1, idle_in_transaction: 10 },
            // No transaction lasts longer than the feed of revocations looks back.
            Self::Identity => Limits { statement: 5, lock: 2, idle_in_transaction: 5 },
            // An audit holds one snapshot while it hashes what it has read.
            Self::Auditor => Limits { statement: 300, lock: 5, idle_in_transaction: 600 },
        }
    }

    /// How statements are planned. Those of projectors and requests are few, short, and find their rows by index: to plan
    /// one costs as much as to run it, so a session plans each once, and not as suits a table that is still empty.
    const fn planning(self) -> &'static str {
        match self {
            Self::Projector => {
                "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off;
                 SET enable_hashjoin = off; SET enable_mergejoin = off"
            }
            Self::Reader => "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off",
            Self::Writer | Self::Identity | Self::Auditor => "",
        }
    }

    /// What turns a fresh connection into a session of this role, as one batch of statements; `login` says that
    /// it connected as the role itself.
    pub(super) fn session(self, login: bool) -> String {
        let Limits { statement, lock, idle_in_transaction } = self.limits();
        let set_role = if login { String::new() } else { format!("SET ROLE {};", self.name()) };
        format!(
            "{set_role} SET search_path = public; SET statement_timeout = '{statement}s';
             SET lock_timeout = '{lock}s';
             SET idle_in_transaction_session_timeout = '{idle_in_transaction}s';
             {}",
            self.planning()
        )
    }
}
