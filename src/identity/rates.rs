//! How many requests a second are taken of one principal, one tenant and one address.
//!
//! Each has an allowance that fills up evenly and holds a second's worth, so that a burst of that many passes at once.
//! Nothing is written down: a restart fills every allowance. At most [`KEYS`] callers of a kind are remembered beyond the
//! second in which they called. The operator has no limit: it runs the server, and steers the market by it.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aggregates::id::{ActorId, TenantId};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::Principal;

/// Callers that are remembered of each kind, between two looks at who can be forgotten.
const KEYS: usize = 10_000;
/// Between two such looks: each costs a walk over all of them.
const SWEEP: Duration = Duration::from_secs(1);
/// How many times as much a tenant may ask as one of its principals.
const TENANT: u32 = 4;
/// How many times as much an address may ask as one principal: several may share it.
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
    principals: Allowances<ActorId>,
    tenants: Allowances<TenantId>,
    addresses: Allowances<IpAddr>,
    registrations: Allowances<IpAddr>,
}

impl Rates {
    /// `each` requests a second of a principal, and so many times as much of a tenant and of an address.
    pub fn new(each: NonZeroU32) -> Self {
        let times = |n: u32| each.saturating_mul(NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN));
        Self {
            principals: Allowances::new("this caller", each),
            tenants: Allowances::new("this caller's tenant", times(TENANT)),
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
    /// It or its tenant has sent too many.
    pub fn principal(&self, principal: &Principal) -> Result<(), Slow> {
        if *principal == Principal::Operator {
            return Ok(());
        }
        self.principals.take(&principal.actor())?;
        self.tenants.take(&principal.tenant())
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
    use aggregates::id::{ClientId, SessionId, UserId};
    use uuid::Uuid;

    use super::*;
    use crate::identity::UserSession;

    fn user(n: u128, tenant: u128) -> Principal {
        Principal::User(UserSession {
            user_id: UserId::new(Uuid::from_u128(n)),
            tenant: TenantId::new(Uuid::from_u128(tenant)),
            session_id: SessionId::default(),
            client_id: ClientId::default(),
        })
    }

    fn rates(each: u32) -> Rates {
        Rates::new(NonZeroU32::new(each).unwrap())
    }

    #[test]
    fn a_principal_that_asks_too_much_is_told_when_to_come_back_and_costs_nobody_else() {
        let rates = rates(2);
        assert_eq!(rates.principal(&user(1, 1)), Ok(()));
        assert_eq!(rates.principal(&user(1, 1)), Ok(()));
        let slow = rates.principal(&user(1, 1)).unwrap_err();
        assert!(slow.wait > Duration::ZERO && slow.wait <= Duration::from_millis(500), "{slow:?}");
        assert!(slow.to_string().starts_with("this caller has sent more than 2 requests"));
        assert_eq!(rates.principal(&user(2, 2)), Ok(()));
        for _ in 0..100 {
            assert_eq!(rates.principal(&Principal::Operator), Ok(()));
        }
    }

    #[test]
    fn the_principals_of_a_tenant_share_its_allowance() {
        let rates = rates(1);
        for n in 0..TENANT {
            assert_eq!(rates.principal(&user(n.into(), 1)), Ok(()));
        }
        let slow = rates.principal(&user(99, 1)).unwrap_err();
        assert!(slow.to_string().contains("tenant has sent more than 4"), "{slow}");
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
