//! Users, folded again: invited before they register if at all, registered once, disabled and enabled in turn, no fact recorded twice.

use uuid::Uuid;

use super::fields::{Fault, Fields};
use crate::audit::report::{Code, Findings};

/// How many of its last facts a user knows again.
const REMEMBERED: usize = 64;

/// One user.
#[derive(Clone, Debug, Default)]
pub(in crate::audit) struct User {
    /// Empty before anything.
    pub(in crate::audit) state: &'static str,
    pub(in crate::audit) recent_facts: Vec<Uuid>,
}

impl User {
    /// Takes one event of the user.
    pub(super) fn apply(
        &mut self,
        id: Uuid,
        event_type: &str,
        body: Fields<'_>,
        position: u64,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        let mut expect = |holds: bool, message: &str| {
            findings.expect(holds, position, Code::Identity, || format!("{event_type}: {message}"));
        };
        let expected: &[&str] = match self.state {
            "" => &["UserInvited", "UserRegistered"],
            "invited" => &["UserRegistered"],
            _ => &[],
        };
        let begins = ["UserInvited", "UserRegistered"].contains(&event_type);
        expect(
            if expected.is_empty() { !begins } else { expected.contains(&event_type) },
            "a user is invited once at the most, and registers once, before all else",
        );
        match event_type {
            "UserInvited" => {
                expect(body.uuid("user_id")? == id, "it is in another's stream");
                body.time("expires_at")?;
                self.state = "invited";
            }
            "UserRegistered" => {
                expect(body.uuid("user_id")? == id, "it is in another's stream");
                body.text("by")?;
                self.state = "active";
            }
            "UserDisabled" => {
                expect(self.state == "active", "the user was not active");
                body.text("by")?;
                self.state = "disabled";
            }
            "UserEnabled" => {
                expect(self.state == "disabled", "the user was not disabled");
                body.text("by")?;
                self.state = "active";
            }
            "UserForgotten" => {
                expect(self.state != "forgotten", "the user was forgotten before");
                body.text("by")?;
                self.state = "forgotten";
            }
            "LoggedIn" => {
                body.uuid("session_id")?;
                body.uuid("client_id")?;
            }
            "LogInRefused" => drop(body.text("reason")?),
            "SessionRefreshed" | "RefreshReused" => drop(body.uuid("session_id")?),
            "SessionEnded" => {
                body.uuid("session_id")?;
                body.text("reason")?;
            }
            "EmailChanged" | "PasswordRehashed" => {}
            "PasswordChanged" => drop(body.text("by")?),
            "TokenMade" => {
                body.uuid("token_id")?;
                let scopes = body.value("scopes")?.as_array().map_or(0, Vec::len);
                expect(scopes > 0, "it permits nothing");
                body.object("limits")?;
                body.time_or_none("expires_at")?;
            }
            "TokenFirstUsed" => {
                body.uuid("token_id")?;
                body.text("interface")?;
            }
            "TokenHalted" | "TokenResumed" => drop(body.uuid("token_id")?),
            "TokenRevoked" => {
                body.uuid("token_id")?;
                body.text("reason")?;
            }
            "AccessDenied" => {
                body.text("act")?;
                body.text("reason")?;
            }
            other => return Err(format!("a user has no event {other}")),
        }
        body.time("at")?;
        let fact = body.uuid("fact_id")?;
        expect(!self.recent_facts.contains(&fact), "the fact was recorded before");
        self.recent_facts.push(fact);
        if self.recent_facts.len() > REMEMBERED {
            self.recent_facts.remove(0);
        }
        Ok(())
    }
}
