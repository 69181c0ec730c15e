//! The view of accounts: cash, what of it is reserved, limits. One row an account.

use aggregates::account::{Account, AccountEvent, AccountKind, Losses, Policy, TradingState};
use aggregates::id::{AccountId, TenantId};
use aggregates::money::Money;
use aggregates::stream::Impossible;
use chrono::{DateTime, Utc};

use crate::fold::{Mirror, Stamped};
use crate::log::Recorded;
use crate::row::view_row;

view_row! {
    /// One account.
    #[derive(serde::Serialize, serde::Deserialize)]
    AccountRow in "accounts",
    key {
        /// Its id.
        account_id: AccountId = 0,
    }
    facts {
        /// Who may see it.
        tenant_id: TenantId,
        /// Cash or margin.
        kind: AccountKind,
        /// Which options it may trade.
        option_level: u8,
        /// What it may trade at present; also in `policy`.
        trading_state: TradingState,
        /// The limits that it trades under.
        policy: Policy,
        /// What its losses are counted from, while the policy limits them.
        losses: Option<Losses>,
        /// The balance.
        cash: Money,
        /// What open orders reserve of it.
        reserved: Money,
        /// When it was recorded, by the wall clock.
        opened_at: DateTime<Utc>,
        /// The place of its first event.
        opened_position: u64,
        /// The number of its events.
        sequence: u64,
        /// The place of its last event.
        position: u64,
    }
}

impl Mirror<Account> for AccountRow {
    fn fold(row: Option<Self>, event: &AccountEvent) -> Result<Self, Impossible> {
        let Some(mut row) = row else {
            let AccountEvent::AccountOpened { account_id, kind, option_level, .. } = event else {
                return Err(Impossible("an event before AccountOpened".into()));
            };
            return Ok(Self {
                account_id: *account_id,
                tenant_id: TenantId::default(),
                kind: *kind,
                option_level: *option_level,
                trading_state: TradingState::default(),
                policy: Policy::default(),
                losses: None,
                cash: Money::ZERO,
                reserved: Money::ZERO,
                opened_at: DateTime::UNIX_EPOCH,
                opened_position: 0,
                sequence: 0,
                position: 0,
            });
        };
        match event {
            AccountEvent::OptionSettled { cash, .. } => row.cash = *cash,
            AccountEvent::AccountOpened { .. } => {
                return Err(Impossible("an account opened twice".into()));
            }
            AccountEvent::CashDeposited { cash, .. }
            | AccountEvent::CashWithdrawn { cash, .. }
            | AccountEvent::FeeCharged { cash, .. }
            | AccountEvent::DividendPaid { cash, .. }
            | AccountEvent::CashPaidInLieu { cash, .. } => row.cash = *cash,
            AccountEvent::CashReserved { reserved, .. }
            | AccountEvent::ReservationReleased { reserved, .. }
            | AccountEvent::ReservationsAdjusted { reserved, .. } => row.reserved = *reserved,
            AccountEvent::FillSettled { cash, reserved, .. } => {
                row.cash = *cash;
                row.reserved = *reserved;
            }
            AccountEvent::AccountReset { cash, .. } => {
                row.cash = *cash;
                row.reserved = Money::ZERO;
            }
            AccountEvent::PolicyChanged { .. }
            | AccountEvent::TradingDayBegan { .. }
            | AccountEvent::LossLimitReached { .. }
            | AccountEvent::LossLimitLifted { .. }
            | AccountEvent::AccessOffered { .. }
            | AccountEvent::OfferEnded { .. }
            | AccountEvent::AccessGranted { .. }
            | AccountEvent::AccessRevoked { .. } => {}
        }
        Losses::follow(&mut row.policy, &mut row.losses, event)
            .map_err(|error| Impossible(error.to_string()))?;
        row.trading_state = row.policy.trading_state;
        Ok(row)
    }
}

impl Stamped for AccountRow {
    fn sequence(&self) -> u64 {
        self.sequence
    }

    fn stamp(&mut self, recorded: &Recorded) {
        if recorded.sequence == 1 {
            self.tenant_id = recorded.tenant_id;
            self.opened_at = recorded.recorded_at;
            self.opened_position = recorded.position;
        }
        self.sequence = recorded.sequence;
        self.position = recorded.position;
    }
}
