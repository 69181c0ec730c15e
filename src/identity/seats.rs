//! What stays open for somebody, a stream or a subscription, and how much of it there may be.
//!
//! Guarantees: no agent keeps its user or anybody else from following: each token and session has its own seats, and the
//! tokens of a user together have not all that the process has.

use std::sync::{Arc, Mutex, PoisonError};

use aggregates::id::UserId;

use super::Principal;

/// Seats of one token or session at the most.
const EACH: usize = 8;
/// Seats of all tokens of a user at the most.
const OF_TOKENS: usize = 3 * EACH;

/// Who has a seat: what was shown, and whose token it is if it is one.
type Taken = (String, Option<UserId>);

/// Every seat is taken that the caller may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{mine} streams of yours, {tokens} of all tokens of your user and {all} in all are open; there may be {EACH} of a \
     token or session, {OF_TOKENS} of all tokens of a user and {most} in all: close one and come back"
)]
pub struct Full {
    mine: usize,
    tokens: usize,
    all: usize,
    most: usize,
}

/// The seats of one face. Cheap to clone.
#[derive(Clone)]
pub struct Seats {
    taken: Arc<Mutex<Vec<Taken>>>,
    most: usize,
}

/// The right to one stream, for as long as it lives.
pub struct Seat {
    seats: Seats,
    taken: Taken,
}

impl Seats {
    /// So many in all.
    pub fn new(most: usize) -> Self {
        Self { taken: Arc::default(), most }
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, Vec<Taken>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A seat for this principal.
    ///
    /// # Errors
    /// There is none for it.
    pub fn take(&self, principal: &Principal) -> Result<Seat, Full> {
        let user = match principal {
            Principal::Token(token) => Some(token.user_id),
            Principal::Operator | Principal::User(_) => None,
        };
        let shown = principal.token_id();
        let mut taken = self.taken();
        let mine = taken.iter().filter(|(by, _)| *by == shown).count();
        let tokens = taken.iter().filter(|(_, of)| of.is_some() && *of == user).count();
        let (all, most) = (taken.len(), self.most);
        if mine >= EACH || tokens >= OF_TOKENS || all >= most {
            return Err(Full { mine, tokens, all, most });
        }
        let seat = (shown, user);
        taken.push(seat.clone());
        Ok(Seat { seats: self.clone(), taken: seat })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        if let Some(at) = taken.iter().position(|taken| *taken == self.taken) {
            taken.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use aggregates::id::{ClientId, SessionId, TenantId, TokenId};
    use aggregates::user::TokenLimits;

    use super::*;
    use crate::identity::{AgentToken, UserSession};

    #[test]
    fn tokens_leave_seats_to_the_sessions_of_their_user_and_to_others() {
        let id = |n: u128| uuid::Uuid::from_u128(n);
        let token = |n: u128| {
            Principal::Token(Arc::new(AgentToken {
                token_id: TokenId::new(id(n)),
                user_id: UserId::new(id(1)),
                tenant: TenantId::default(),
                scopes: Default::default(),
                accounts: None,
                limits: TokenLimits::default(),
                halted: false,
            }))
        };
        let session = Principal::User(UserSession {
            user_id: UserId::new(id(1)),
            tenant: TenantId::default(),
            session_id: SessionId::new(id(2)),
            client_id: ClientId::default(),
        });
        let streams = Seats::new(100);
        let mut open: Vec<Seat> = (0..8).map(|_| streams.take(&token(10)).ok().unwrap()).collect();
        assert!(streams.take(&token(10)).is_err(), "its own are taken");
        open.extend((0..16).map(|n| streams.take(&token(11 + n / 8)).ok().unwrap()));
        assert!(streams.take(&token(99)).is_err(), "those of all tokens are");
        open.extend((0..8).map(|_| streams.take(&session).ok().unwrap()));
        assert!(streams.take(&session).is_err());
        open.remove(0);
        assert!(streams.take(&token(99)).is_ok(), "one was given back");
        drop(open);
        assert!(streams.taken().is_empty());
    }
}
