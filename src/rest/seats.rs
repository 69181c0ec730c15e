//! Who follows the log how often: the right to one stream, for as long as it lives.
//!
//! Guarantees: no agent keeps its user from following: each token and session has its own seats, and the tokens of a user
//! together have not all that the process has.

use std::sync::{Arc, Mutex, PoisonError};

use aggregates::id::UserId;
use axum::http::StatusCode;

use super::problem::Problem;
use crate::identity::Principal;

/// Streams of one token or session at the most.
const STREAMS_EACH: usize = 8;
/// Streams of all tokens of a user at the most.
const STREAMS_OF_TOKENS: usize = 3 * STREAMS_EACH;
/// Streams of one process at the most.
const STREAMS: usize = 256;

/// Who follows: what was shown, and whose token it is if it is one.
type Taken = (String, Option<UserId>);

/// Who follows how often.
#[derive(Clone, Default)]
pub struct Streams(Arc<Mutex<Vec<Taken>>>);

/// The right to one stream, for as long as it lives.
pub(super) struct Seat {
    streams: Streams,
    taken: Taken,
}

impl Streams {
    fn seats(&self) -> std::sync::MutexGuard<'_, Vec<Taken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self, principal: &Principal) -> Result<Seat, Problem> {
        let user = match principal {
            Principal::Token(token) => Some(token.user_id),
            Principal::Operator | Principal::User(_) => None,
        };
        let shown = principal.token_id();
        let mut seats = self.seats();
        let of = |is: &dyn Fn(&Taken) -> bool| seats.iter().filter(|taken| is(taken)).count();
        let mine = of(&|(by, _)| *by == shown);
        let tokens = of(&|(_, of)| of.is_some() && *of == user);
        let all = seats.len();
        if mine >= STREAMS_EACH || tokens >= STREAMS_OF_TOKENS || all >= STREAMS {
            let together = match user {
                Some(_) => format!(", {tokens} of all tokens of your user"),
                None => String::new(),
            };
            let detail = format!(
                "{mine} streams of yours{together} and {all} in all are open; there may be {STREAMS_EACH} of a token or \
                 session, {STREAMS_OF_TOKENS} of all tokens of a user and {STREAMS} in all: close one and come back"
            );
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_streams", detail));
        }
        let taken = (shown, user);
        seats.push(taken.clone());
        Ok(Seat { streams: self.clone(), taken })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.streams.seats();
        if let Some(at) = seats.iter().position(|taken| *taken == self.taken) {
            seats.swap_remove(at);
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
        let streams = Streams::default();
        let mut open: Vec<Seat> = (0..8).map(|_| streams.take(&token(10)).ok().unwrap()).collect();
        assert!(streams.take(&token(10)).is_err(), "its own are taken");
        open.extend((0..16).map(|n| streams.take(&token(11 + n / 8)).ok().unwrap()));
        assert!(streams.take(&token(99)).is_err(), "those of all tokens are");
        open.extend((0..8).map(|_| streams.take(&session).ok().unwrap()));
        assert!(streams.take(&session).is_err());
        open.remove(0);
        assert!(streams.take(&token(99)).is_ok(), "one was given back");
        drop(open);
        assert!(streams.seats().is_empty());
    }
}
