//! How many requests a second are taken of one token or session, of the tokens of one user, of one user and of one
//! address.
//!
//! Guarantees: no agent keeps its user from stopping it: sessions have their own allowances and what tokens leave of the
//! user's, and what stops an agent or a session has one apart, whatever comes from the same address.
//! Each has an allowance that fills up evenly and holds a second's worth, so that a burst of that many passes at once.
//! Nothing is written down: a restart fills every allowance. At most [`KEYS`] callers of a kind are remembered beyond the
//! second in which they called. The operator has no limit: it runs the server, and steers the market by it.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aggregates::id::UserId;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use uuid::Uuid;

use super::Principal;

/// Callers that are remembered of each kind, between two looks at who can be forgotten.
const KEYS: usize = 10_000;
/// Between two such looks: each costs a walk over all of them.
const SWEEP: Duration = Duration::from_secs(1);
/// How many times as much a user may ask as one of their tokens or sessions.
const USER: u32 = 4;
/// How many times as much all tokens of a user may ask together: sessions have the rest.
const TOKENS: u32 = 3;
/// How many times as much an address may ask as one token or session: several users may share it.
const ADDRESS: u32 = 8;

/// Registrations a second of one address, in the long run.
const REGISTRATIONS: NonZeroU32 = NonZeroU32::new(2).expect("above zero");
/// Registrations of one address at once.
const AT_ONCE: NonZeroU32 = NonZeroU32::new(200).expect("above zero");

/// Too many requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{whose} has sent more than {limit} requests a second: come back after {} ms", .wait.as_millis())]
pub struct Slow {
    /// Whose allowance is used up.
    whose: &'static str,
    /// How many requests a second are taken.
    limit: u32,
    /// When one more will be.
    pub wait: Duration,
}

/// The allowances of one kind of caller.
struct Allowances<K: Hash + Eq + Clone> {
    whose: &'static str,
    limit: NonZeroU32,
    limiter: DefaultKeyedRateLimiter<K>,
    clock: DefaultClock,
    swept: Mutex<Instant>,
}

impl<K: Hash + Eq + Clone> Allowances<K> {
    fn new(whose: &'static str, limit: NonZeroU32) -> Self {
        Self::with_burst(whose, limit, limit)
    }

    fn with_burst(whose: &'static str, limit: NonZeroU32, burst: NonZeroU32) -> Self {
        let limiter = RateLimiter::keyed(Quota::per_second(limit).allow_burst(burst));
        Self {
            whose,
            limit,
            limiter,
            clock: DefaultClock::default(),
            swept: Mutex::new(Instant::now()),
        }
    }

    fn take(&self, key: &K) -> Result<(), Slow> {
        if self.limiter.len() > KEYS {
            self.sweep();
        }
        self.limiter.check_key(key).map_err(|until| Slow {
            whose: self.whose,
            limit: self.limit.get(),
            wait: until.wait_time_from(self.clock.now()),
        })
    }

    /// Forgets who has a full allowance again: whoever has not called for a second.
    fn sweep(&self) {
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.elapsed() >= SWEEP {
            *swept = Instant::now();
            self.limiter.retain_recent();
        }
    }
}

/// The allowances of all callers of one process.
pub struct Rates {
    shown: Allowances<Uuid>,
    tokens: Allowances<UserId>,
    users: Allowances<UserId>,
    stopping: Allowances<UserId>,
    addresses: Allowances<IpAddr>,
    registrations: Allowances<IpAddr>,
}

impl Rates {
    /// `each` requests a second of a token or session, and so many times as much of all tokens of a user, of a user and of
    /// an address.
    pub fn new(each: NonZeroU32) -> Self {
        let times = |n: u32| each.saturating_mul(NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN));
        Self {
            shown: Allowances::new("this caller", each),
            tokens: Allowances::new("this user, by all tokens together,", times(TOKENS)),
            users: Allowances::new("this user", times(USER)),
            stopping: Allowances::new("this user", each),
            addresses: Allowances::new("this address", times(ADDRESS)),
            registrations: Allowances::with_burst("this address", REGISTRATIONS, AT_ONCE),
        }
    }

    /// Takes a request from this address, whoever sends it.
    ///
    /// # Errors
    /// It has sent too many.
    pub fn address(&self, address: IpAddr) -> Result<(), Slow> {
        self.addresses.take(&network(address))
    }

    /// Takes a registration from this address: each tells whether somebody is registered.
    ///
    /// # Errors
    /// It has sent too many.
    pub fn registration(&self, address: IpAddr) -> Result<(), Slow> {
        self.registrations.take(&network(address))
    }

    /// Takes a request of this principal.
    ///
    /// # Errors
    /// It, its user or all tokens of its user together have sent too many.
    pub fn principal(&self, principal: &Principal) -> Result<(), Slow> {
        let user = match principal {
            Principal::Operator => return Ok(()),
            Principal::User(session) => {
                self.shown.take(&session.session_id.uuid())?;
                session.user_id
            }
            Principal::Token(token) => {
                self.shown.take(&token.token_id.uuid())?;
                self.tokens.take(&token.user_id)?;
                token.user_id
            }
        };
        self.users.take(&user)
    }

    /// Takes a request of a user to stop an agent or a session, whatever else was sent in their name or from where they
    /// are.
    ///
    /// # Errors
    /// They have sent too many of these.
    pub fn stopping(&self, user: UserId) -> Result<(), Slow> {
        self.stopping.take(&user)
    }
}

/// What counts as one address: of IPv6 the network, since whoever has one address there has 2^64.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aggregates::id::{ClientId, SessionId, TenantId, TokenId};
    use aggregates::user::TokenLimits;

    use super::*;
    use crate::identity::{AgentToken, UserSession};

    fn session(user: u128, n: u128) -> Principal {
        Principal::User(UserSession {
            user_id: UserId::new(Uuid::from_u128(user)),
            tenant: TenantId::default(),
            session_id: SessionId::new(Uuid::from_u128(n)),
            client_id: ClientId::default(),
        })
    }

    fn token(user: u128, n: u128) -> Principal {
        Principal::Token(Arc::new(AgentToken {
            token_id: TokenId::new(Uuid::from_u128(n)),
            user_id: UserId::new(Uuid::from_u128(user)),
            tenant: TenantId::default(),
            scopes: Default::default(),
            accounts: None,
            limits: TokenLimits::default(),
            halted: false,
        }))
    }

    fn rates(each: u32) -> Rates {
        Rates::new(NonZeroU32::new(each).unwrap())
    }

    #[test]
    fn a_principal_that_asks_too_much_is_told_when_to_come_back_and_costs_nobody_else() {
        let rates = rates(2);
        assert_eq!(rates.principal(&session(1, 1)), Ok(()));
        assert_eq!(rates.principal(&session(1, 1)), Ok(()));
        let slow = rates.principal(&session(1, 1)).unwrap_err();
        assert!(slow.wait > Duration::ZERO && slow.wait <= Duration::from_millis(500), "{slow:?}");
        assert!(slow.to_string().starts_with("this caller has sent more than 2 requests"));
        assert_eq!(rates.principal(&session(2, 2)), Ok(()));
        for _ in 0..100 {
            assert_eq!(rates.principal(&Principal::Operator), Ok(()));
        }
    }

    #[test]
    fn the_sessions_of_a_user_share_an_allowance_of_which_tokens_leave_some() {
        let rates = rates(1);
        for n in 0..TOKENS {
            assert_eq!(rates.principal(&token(1, n.into())), Ok(()));
        }
        let slow = rates.principal(&token(1, 99)).unwrap_err();
        assert!(slow.to_string().contains("tokens together, has sent more than 3"), "{slow}");
        assert_eq!(rates.principal(&token(2, 98)), Ok(()), "another user's");
        assert_eq!(rates.principal(&session(1, 100)), Ok(()));
        let slow = rates.principal(&session(1, 101)).unwrap_err();
        assert!(slow.to_string().starts_with("this user has sent more than 4"), "{slow}");
        assert_eq!(rates.stopping(UserId::new(Uuid::from_u128(1))), Ok(()), "this is apart");
        assert!(rates.stopping(UserId::new(Uuid::from_u128(1))).is_err());
    }

    #[test]
    fn an_address_is_one_whether_mapped_or_not_and_a_network_in_ipv6() {
        let rates = rates(1);
        let ask = |address: &str| rates.address(address.parse().unwrap());
        for _ in 0..ADDRESS {
            assert_eq!(ask("::ffff:10.0.0.1"), Ok(()));
        }
        assert!(ask("10.0.0.1").is_err());
        assert_eq!(ask("10.0.0.2"), Ok(()));
        for n in 0..ADDRESS {
            assert_eq!(ask(&format!("2001:db8::{n}")), Ok(()));
        }
        assert!(ask("2001:db8::ffff").is_err());
        assert_eq!(ask("2001:db8:0:1::1"), Ok(()));
    }

    #[test]
    fn callers_who_have_gone_are_forgotten() {
        let rates = rates(1_000);
        for n in 0..=KEYS {
            let address = IpAddr::from(u32::try_from(n).unwrap().to_be_bytes());
            assert_eq!(rates.address(address), Ok(()));
        }
        assert!(rates.addresses.limiter.len() > KEYS);
        std::thread::sleep(SWEEP + Duration::from_millis(50));
        assert_eq!(rates.address("10.0.0.1".parse().unwrap()), Ok(()));
        assert!(rates.addresses.limiter.len() < 10, "{}", rates.addresses.limiter.len());
    }
}
