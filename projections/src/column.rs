//! Columns: how a value of the domain is stored in Postgres, and read again with its rules checked.
//!
//! Words of an enum are text, amounts are `numeric`, counters are `bigint` or `integer`, ids are `uuid`; what has
//! an inner shape is `jsonb`.

use std::collections::BTreeMap;

use aggregates::account::{AccountKind, Losses, Policy, TradingState};
use aggregates::id::{AccountId, FillId, InstrumentId, LotId, OrderId, TenantId};
use aggregates::instrument::{InstrumentKind, OptionEnd, OptionTerms};
use aggregates::market::Evidence;
use aggregates::money::{Money, Price, Quantity, Residue};
use aggregates::order::{
    CancelReason, ExpiryReason, LegFill, OrderClass, OrderStatus, OrderType, PositionIntent, Side,
    TimeInForce, Trail, TriggerBy,
};
use aggregates::refusal::Refusal;
use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as WordError, StrDeserializer};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgHasArrayType, PgRow};
use sqlx::types::Json;
use sqlx::{Decode, Encode, Postgres, Row, Type};
use uuid::Uuid;

use crate::activities::ActivityType;
use crate::instruments::{ActionKind, ActionStage};
use crate::journal::Book;
use crate::legs::OrderLeg;
use crate::movements::{Hour, Unit};

/// A value that fits one column.
pub trait Column: Sized {
    /// What Postgres holds.
    type Sql: Type<Postgres>
        + PgHasArrayType
        + for<'q> Encode<'q, Postgres>
        + for<'r> Decode<'r, Postgres>
        + Send
        + Sync
        + 'static;

    /// The stored value; `None` is NULL.
    fn stored(&self) -> Option<Self::Sql>;

    /// The value that was stored.
    fn of_stored(stored: Option<Self::Sql>) -> Result<Self, BoxDynError>;
}

/// One column of a row.
pub(crate) fn read<C: Column>(row: &PgRow, name: &str) -> Result<C, sqlx::Error> {
    C::of_stored(row.try_get(name)?)
        .map_err(|source| sqlx::Error::ColumnDecode { index: name.to_owned(), source })
}

fn present<T>(stored: Option<T>) -> Result<T, BoxDynError> {
    stored.ok_or_else(|| "NULL where a value belongs".into())
}

impl<C: Column> Column for Option<C> {
    type Sql = C::Sql;

    fn stored(&self) -> Option<C::Sql> {
        self.as_ref().and_then(C::stored)
    }

    fn of_stored(stored: Option<C::Sql>) -> Result<Self, BoxDynError> {
        stored.map(|value| C::of_stored(Some(value))).transpose()
    }
}

macro_rules! columns {
    ($($type:ty as $sql:ty: $store:expr, $read:expr;)+) => {$(
        impl Column for $type {
            type Sql = $sql;

            fn stored(&self) -> Option<$sql> {
                let store: fn(&$type) -> $sql = $store;
                Some(store(self))
            }

            fn of_stored(stored: Option<$sql>) -> Result<Self, BoxDynError> {
                let read: fn($sql) -> Result<$type, BoxDynError> = $read;
                read(present(stored)?)
            }
        }
    )+};
}

columns! {
    String as String: Clone::clone, Ok;
    bool as bool: |value| *value, Ok;
    DateTime<Utc> as DateTime<Utc>: |value| *value, Ok;
    NaiveDate as NaiveDate: |value| *value, Ok;
    Vec<u8> as Vec<u8>: Clone::clone, Ok;
    u64 as i64: |value| value.cast_signed(), |stored| Ok(stored.try_into()?);
    u32 as i32: |value| value.cast_signed(), |stored| Ok(stored.try_into()?);
    i32 as i32: |value| *value, Ok;
    u8 as i16: |value| i16::from(*value), |stored| Ok(stored.try_into()?);
    Money as Decimal: |value| value.decimal(), |stored| Ok(Self::new(stored)?);
    Price as Decimal: |value| value.decimal(), |stored| Ok(Self::new(stored)?);
    Quantity as Decimal: |value| value.decimal(), |stored| Ok(Self::new(stored)?);
    Residue as Decimal: |value| value.decimal(), |stored| Ok(Self::new(stored)?);
    Decimal as Decimal: |value| *value, |stored| Ok(stored.normalize());
    Hour as i64: |hour| hour.0, |stored| Ok(Self(stored));
    Unit as Uuid: |unit| unit.instrument().map_or(Uuid::nil(), InstrumentId::uuid),
        |stored| Ok(Self::of(Some(stored).filter(|id| !id.is_nil()).map(InstrumentId::new)));
}

macro_rules! ids {
    ($($type:ty),+) => {
        columns! { $($type as Uuid: |id| id.uuid(), |stored| Ok(Self::new(stored));)+ }
    };
}

ids!(AccountId, FillId, InstrumentId, LotId, OrderId, TenantId);

fn word<'de, T: Deserialize<'de>>(stored: &'de str) -> Result<T, BoxDynError> {
    let word: StrDeserializer<'de, WordError> = stored.into_deserializer();
    Ok(T::deserialize(word)?)
}

/// An enum whose serde name is what its `word` says.
macro_rules! words {
    ($($type:ty),+) => {
        columns! { $($type as String: |value| value.word().to_owned(), |stored| word(&stored);)+ }
    };
}

words!(
    AccountKind,
    TradingState,
    InstrumentKind,
    OptionEnd,
    OrderStatus,
    OrderType,
    OrderClass,
    PositionIntent,
    Side,
    TimeInForce,
    TriggerBy,
    CancelReason,
    ActivityType,
    Book,
    ActionKind,
    ActionStage
);

columns! {
    ExpiryReason as String: |value| expiry_word(*value).to_owned(), |stored| word(&stored);
}

/// The word of an expiry reason in fields.
pub const fn expiry_word(reason: ExpiryReason) -> &'static str {
    match reason {
        ExpiryReason::SessionClosed => "session_closed",
        ExpiryReason::TimeReached => "time_reached",
        ExpiryReason::AuctionMissed => "auction_missed",
    }
}

macro_rules! documents {
    ($($type:ty),+) => {
        columns! { $($type as Json<$type>: |value| Json(value.clone()), |stored| Ok(stored.0);)+ }
    };
}

documents!(
    Policy,
    Losses,
    Refusal,
    Evidence,
    Trail,
    OptionTerms,
    Vec<OrderLeg>,
    Vec<LegFill>,
    BTreeMap<OrderId, Quantity>
);
