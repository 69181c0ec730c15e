//! Typed identifiers: no bare `Uuid` or `String` crosses a module border.
//!
//! Ids that the ledger hands out are UUIDv7 and come in with the command; ids that follow from a fact
//! (an instrument from its first symbol, a fill from the order and the tick that made it) are UUIDv8 from a
//! SHA-256, so that a replay makes the same ones.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(#[schemars(with = "String")] Uuid);

        impl $name {
            /// Wraps a UUID that is known to be of this kind.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID inside, for storage.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            /// Reads the hyphenated form only, the one that we write.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if text.len() == 36 { text.parse().map(Self) } else { "".parse().map(Self) }
            }
        }
    )+};
}

id! {
    /// Who owns accounts and sees their rows. Decided at registration, for ever.
    TenantId
    /// A person, an agent's token or a part of the system on whose behalf a command runs.
    ActorId
    /// A person who registered. Acts under the [`ActorId`] of the same UUID.
    UserId
    /// One log-in of a user, until it ends.
    SessionId
    /// One token that a user made for an agent or a program.
    TokenId
    /// One account: cash, reservations, orders and positions of one owner.
    AccountId
    /// One order over its whole life, replacements included.
    OrderId
    /// One tradable thing. The ticker is an attribute of it, not its name.
    InstrumentId
    /// One execution of one order.
    FillId
    /// Shares of one position that were acquired by one fill.
    LotId
    /// One role of one user on one account, until it is revoked.
    GrantId
    /// The browser or program behind a session; what is known of it stands in an erasable table.
    ClientId
    /// One fact about a user on its way to the log.
    FactId
    /// One command that reached the ledger.
    CommandId
    /// One request of a client.
    RequestId
}

/// The tenant of the operator's own accounts.
pub const OPERATOR_TENANT: TenantId =
    TenantId::new(Uuid::from_u128(0x0000_0000_0000_8000_8000_0000_0000_0001));
/// The tenant of facts that everyone may read: instruments, halts, corporate actions, official closes.
pub const MARKET_TENANT: TenantId =
    TenantId::new(Uuid::from_u128(0x0000_0000_0000_8000_8000_0000_0000_0002));
/// The actor behind the operator token.
pub const OPERATOR: ActorId =
    ActorId::new(Uuid::from_u128(0x0000_0000_0000_8000_8000_0000_0000_0003));
/// The actor behind triggers, fills, expiries and corporate actions.
pub const ENGINE: ActorId =
    ActorId::new(Uuid::from_u128(0x0000_0000_0000_8000_8000_0000_0000_0004));

/// A UUIDv8 that follows from `parts` alone; `domain` keeps kinds of ids apart.
///
/// Parts are length-prefixed, so that `("ab", "c")` and `("a", "bc")` differ.
pub fn derived_uuid(domain: &str, parts: &[&[u8]]) -> Uuid {
    let mut hash = Sha256::new();
    for part in std::iter::once(domain.as_bytes()).chain(parts.iter().copied()) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Uuid::new_v8(bytes)
}

impl UserId {
    /// The actor that this user is in the log.
    pub const fn actor(self) -> ActorId {
        ActorId::new(self.0)
    }
}

impl ClientId {
    /// The id of the browser or program that began `session`: a session has one.
    pub fn of(session: SessionId) -> Self {
        Self(derived_uuid("blotter/client", &[session.uuid().as_bytes()]))
    }
}

impl InstrumentId {
    /// The id of the instrument that is first listed under `symbol`.
    pub fn of_symbol(symbol: &str) -> Self {
        Self(derived_uuid("blotter/instrument", &[symbol.as_bytes()]))
    }
}

impl FillId {
    /// The id of one leg of this fill.
    pub fn leg(self, instrument: InstrumentId) -> Self {
        let instrument = instrument.uuid();
        Self(derived_uuid("blotter/leg", &[self.0.as_bytes(), instrument.as_bytes()]))
    }

    /// The id of the end of a holding of an option, in this way, by its expiry (`cause` is its session) or by a command.
    pub fn of_ending(account: AccountId, option: InstrumentId, cause: &[u8], how: &str) -> Self {
        let (account, option) = (account.uuid(), option.uuid());
        Self(derived_uuid(
            "blotter/ending",
            &[account.as_bytes(), option.as_bytes(), cause, how.as_bytes()],
        ))
    }

    /// The id of the `n`-th fill that revision `revision` of `order` gets from the tick at `place` of the tape.
    pub fn of(order: OrderId, revision: u32, place: u64, n: u32) -> Self {
        Self(derived_uuid(
            "blotter/fill",
            &[
                order.uuid().as_bytes(),
                &revision.to_be_bytes(),
                &place.to_be_bytes(),
                &n.to_be_bytes(),
            ],
        ))
    }
}

impl LotId {
    /// The id of the lot that `fill` opens: a fill opens at most one.
    pub fn of(fill: FillId) -> Self {
        Self(derived_uuid("blotter/lot", &[fill.uuid().as_bytes()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_ids_depend_on_every_part_and_on_where_parts_end() {
        let a = derived_uuid("x", &[b"ab", b"c"]);
        assert_eq!(a, derived_uuid("x", &[b"ab", b"c"]));
        assert_ne!(a, derived_uuid("x", &[b"a", b"bc"]));
        assert_ne!(a, derived_uuid("y", &[b"ab", b"c"]));
        assert_eq!(a.get_version_num(), 8);
    }

    #[test]
    fn only_the_hyphenated_form_is_an_id() {
        let id = OPERATOR.to_string();
        assert_eq!(id.parse(), Ok(OPERATOR));
        assert!(id.replace('-', "").parse::<ActorId>().is_err());
        assert!(format!("{{{id}}}").parse::<ActorId>().is_err());
    }
}
