//! Who may act: users, sessions, and the facts about them in the log.

mod facts;
