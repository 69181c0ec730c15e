//! Decisions that touch several aggregates: decided together, committed together or not at all.
//!
//! [`decide`] is a pure function of a [`World`] (the aggregates as they are), a [`Command`] and the [`Rules`]. It
//! changes nothing: the events that it returns are applied after all of them were decided, so a refusal leaves no
//! trace. An aggregate that decides a second time in one command does so on the state after the first; what a decision
//! looks at otherwise is the state before the command.
//!
//! An aggregate that the world has not in memory is [`Undecided::Absent`]: load it and decide again.

mod actions;
mod adjusting;
mod arrival;
mod command;
mod cover;
mod delivery;
mod dollars;
mod ending;
mod exercise;
mod exits;
mod expiry;
mod filling;
mod limits;
mod losses;
mod margin;
mod options;
mod placing;
mod preview;
mod reducing;
mod replacing;
mod resetting;
mod together;

pub use arrival::{Arrival, Offer, arrival, takeable};
pub use command::{AuctionEntry, BeforeSplit, Command, MarketView};
pub use margin::standing;
pub use preview::{Figures, Impact, Met, Trial, preview};

use std::borrow::Cow;

use crate::account::{Account, AccountCommand, AccountError};
use crate::id::{AccountId, InstrumentId, OrderId, UserId};
use crate::instrument::{Instrument, InstrumentCommand, InstrumentError};
use crate::order::{Order, OrderCommand};
use crate::position::{Position, PositionCommand};
use crate::refusal::{Refusal, RefusalCode};
use crate::rules::Rules;
use crate::stream::{Decide, Event, StreamId};
use crate::user::{User, UserCommand};
use crate::writer::{Writer, WriterError};

/// The aggregates as they are, for a decision to look at. `None` is "not in memory", never "does not exist":
/// an aggregate without events is in the world as its default.
pub trait World {
    /// The account.
    fn account(&self, id: AccountId) -> Option<&Account>;
    /// The order.
    fn order(&self, id: OrderId) -> Option<&Order>;
    /// The position.
    fn position(&self, account: AccountId, instrument: InstrumentId) -> Option<&Position>;
    /// The instruments of which the account has or had a position, in order of their ids.
    fn holdings(&self, account: AccountId) -> Option<Vec<InstrumentId>>;
    /// The instrument.
    fn instrument(&self, id: InstrumentId) -> Option<&Instrument>;
    /// The user.
    fn user(&self, id: UserId) -> Option<&User>;
    /// The writer of a shard.
    fn writer(&self, shard: u16) -> Option<&Writer>;
}

/// What a command makes happen: events in the order in which they are appended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// Each event with its stream.
    pub events: Vec<(StreamId, Event)>,
    /// A refusal by the business that is itself a fact: the order was recorded as rejected, or a fill that the
    /// account cannot pay ended it.
    pub rejected: Option<Refusal>,
}

/// Why there is no decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Undecided {
    /// This aggregate has to be loaded first.
    Absent(StreamId),
    /// The command is refused; nothing happens.
    Refused(Refusal),
}

impl<E: Into<Refusal>> From<E> for Undecided {
    fn from(refusal: E) -> Self {
        Self::Refused(refusal.into())
    }
}

impl From<WriterError> for Refusal {
    fn from(error: WriterError) -> Self {
        Self::new(RefusalCode::AlreadyApplied, error.to_string())
    }
}

/// Decides one command. Never changes the world.
pub fn decide(world: &impl World, command: &Command, rules: &Rules) -> Result<Decision, Undecided> {
    let mut desk = Desk { world, rules, decision: Decision::default() };
    match command {
        Command::Account { account_id, command } => {
            stands_alone(*account_id, command)?;
            desk.account(*account_id, command)?;
        }
        Command::Withdraw { account_id, withdrawal_id, amount, marks, at } => {
            desk.withdraw(*account_id, *withdrawal_id, *amount, (marks, *at))?;
        }
        Command::Instrument { instrument_id, command } => {
            if matches!(command, InstrumentCommand::List { instrument_id: id, .. } if id != instrument_id)
            {
                return Err(InstrumentError::NotListed.into());
            }
            desk.instrument(*instrument_id, command)?;
        }
        Command::User { user_id, command } => desk.user(*user_id, command)?,
        Command::Writer { shard, command } => desk.writer(*shard, command)?,
        Command::Place { order_id, spec, market } => desk.place(*order_id, spec, market)?,
        Command::Close { order_id, spec, market } => {
            desk.only_closes(spec)?;
            desk.place(*order_id, spec, market)?;
        }
        Command::Replace { account_id, order_id, change, seen, market } => {
            desk.replace(*account_id, *order_id, (change, *seen), market)?;
        }
        Command::Cancel { account_id, order_id, reason, at } => {
            desk.cancel(*account_id, *order_id, *reason, *at)?;
        }
        Command::GiveUp { order_id, revision, at } => desk.give_up(*order_id, *revision, *at)?,
        Command::CancelAll { account_id, kind, at } => desk.cancel_all(*account_id, *kind, *at)?,
        Command::Reset { account_id, reset_id, balance, at } => {
            desk.reset(*account_id, *reset_id, *balance, *at)?;
        }
        Command::Expire { order_id, reason, at } => desk.expire(*order_id, *reason, *at)?,
        Command::Fill { order_id, execution, marks, at } => {
            desk.fill(*order_id, execution, marks, *at)?;
        }
        Command::BeginDay { account_id, day, seen, rise, marks, tape_place, at } => {
            desk.begin_day(*account_id, *day, (*seen, *rise), marks, (*tape_place, *at))?;
        }
        Command::StopLosses { account_id, seen, rise, marks, tape_place, at } => {
            desk.stop_losses(*account_id, (*seen, *rise), marks, (*tape_place, *at))?;
        }
        Command::Trigger { order_id, trigger, at } => desk.trigger(*order_id, trigger, *at)?,
        Command::FollowSplit { account_id, instrument_id, orders, contracts, at } => {
            desk.follow_split((*account_id, *instrument_id), (orders, contracts), *at)?;
        }
        Command::AccrueDividend { account_id, instrument_id, action_id, qty, at } => {
            desk.accrue_dividend(*account_id, *instrument_id, action_id, *qty, *at)?;
        }
        Command::PayDividend { account_id, instrument_id, action_id, at } => {
            desk.pay_dividend(*account_id, *instrument_id, action_id, *at)?;
        }
        Command::SettleExpired {
            account_id,
            underlying_id,
            session,
            contracts,
            orders,
            marks,
            at,
        } => {
            let of = (*account_id, *underlying_id, *session);
            desk.settle_expired(of, (contracts, orders), marks, *at)?;
        }
        Command::Exercise {
            account_id,
            instrument_id,
            exercise_id,
            qty,
            contract_end,
            underlying,
            marks,
            at,
        } => {
            let of = (*account_id, *instrument_id);
            let asked = (*qty, underlying.as_ref());
            desk.exercise(of, *exercise_id, asked, marks, (*contract_end, *at))?;
        }
        Command::Assign {
            account_id,
            instrument_id,
            assignment_id,
            qty,
            contract_end,
            marks,
            at,
        } => {
            let of = (*account_id, *instrument_id);
            desk.assign(of, *assignment_id, *qty, marks, (*contract_end, *at))?;
        }
        Command::InstructExercise { account_id, instrument_id, exercise, contract_end, at } => {
            let of = (*account_id, *instrument_id);
            desk.instruct_exercise(of, *exercise, (*contract_end, *at))?;
        }
    }
    Ok(desk.decision)
}

/// Only what concerns an account alone may be asked of it alone: reservations and money of orders and corporate
/// actions move with them or not at all, and what may be withdrawn depends on positions.
fn stands_alone(id: AccountId, command: &AccountCommand) -> Result<(), AccountError> {
    match command {
        AccountCommand::Open { account_id, .. } if *account_id != id => Err(AccountError::NotFound),
        AccountCommand::Open { .. }
        | AccountCommand::Deposit { .. }
        | AccountCommand::ChangePolicy { .. }
        | AccountCommand::Offer { .. }
        | AccountCommand::EndOffer { .. }
        | AccountCommand::Grant { .. }
        | AccountCommand::Revoke { .. } => Ok(()),
        AccountCommand::Withdraw { .. }
        | AccountCommand::Reserve { .. }
        | AccountCommand::Rereserve { .. }
        | AccountCommand::Release { .. }
        | AccountCommand::Settle { .. }
        | AccountCommand::FollowSplit { .. }
        | AccountCommand::PayDividend { .. }
        | AccountCommand::SettleOption { .. }
        | AccountCommand::BeginDay { .. }
        | AccountCommand::StopLosses { .. }
        | AccountCommand::Reset { .. } => Err(AccountError::NotAlone),
    }
}

/// A decision under way.
struct Desk<'a, W> {
    world: &'a W,
    rules: &'a Rules,
    decision: Decision,
}

impl<'a, W: World> Desk<'a, W> {
    fn look_account(&self, id: AccountId) -> Result<&'a Account, Undecided> {
        self.world.account(id).ok_or(Undecided::Absent(StreamId::Account(id)))
    }

    fn look_order(&self, id: OrderId) -> Result<&'a Order, Undecided> {
        self.world.order(id).ok_or(Undecided::Absent(StreamId::Order(id)))
    }

    fn look_position(
        &self,
        account: AccountId,
        instrument: InstrumentId,
    ) -> Result<&'a Position, Undecided> {
        let absent = Undecided::Absent(StreamId::Position(account, instrument));
        self.world.position(account, instrument).ok_or(absent)
    }

    fn look_holdings(&self, id: AccountId) -> Result<Vec<InstrumentId>, Undecided> {
        self.world.holdings(id).ok_or(Undecided::Absent(StreamId::Account(id)))
    }

    fn look_instrument(&self, id: InstrumentId) -> Result<&'a Instrument, Undecided> {
        self.world.instrument(id).ok_or(Undecided::Absent(StreamId::Instrument(id)))
    }

    fn push(&mut self, stream: StreamId, events: impl IntoIterator<Item = Event>) {
        self.decision.events.extend(events.into_iter().map(|event| (stream, event)));
    }

    /// An aggregate as the events of this command leave it so far.
    fn ahead<A: Decide>(
        &self,
        stream: StreamId,
        before: &'a A,
        of: impl Fn(&Event) -> Option<&A::Event>,
    ) -> Cow<'a, A> {
        let events = self.decision.events.iter().filter(|(of, _)| *of == stream);
        let mut events = events.filter_map(|(_, event)| of(event)).peekable();
        let mut aggregate = Cow::Borrowed(before);
        if events.peek().is_some() {
            let after = aggregate.to_mut();
            for event in events {
                after
                    .evolve(event)
                    .expect("an event follows from the state that it was decided on");
            }
        }
        aggregate
    }

    /// The account as this command leaves it so far.
    fn account_ahead(&self, id: AccountId) -> Result<Cow<'a, Account>, Undecided> {
        Ok(self.ahead(StreamId::Account(id), self.look_account(id)?, |event| match event {
            Event::Account(event) => Some(event),
            _ => None,
        }))
    }

    /// The position as this command leaves it so far.
    fn position_ahead(
        &self,
        account: AccountId,
        instrument: InstrumentId,
    ) -> Result<Cow<'a, Position>, Undecided> {
        let before = self.look_position(account, instrument)?;
        let stream = StreamId::Position(account, instrument);
        Ok(self.ahead(stream, before, |event| match event {
            Event::Position(event) => Some(event),
            _ => None,
        }))
    }

    fn account(&mut self, id: AccountId, command: &AccountCommand) -> Result<(), Undecided> {
        let events = self.account_ahead(id)?.decide(command, self.rules)?;
        self.push(StreamId::Account(id), events.into_iter().map(Event::Account));
        Ok(())
    }

    fn order(&mut self, id: OrderId, command: &OrderCommand) -> Result<(), Undecided> {
        let events = self.look_order(id)?.decide(command, self.rules)?;
        self.push(StreamId::Order(id), events.into_iter().map(Event::Order));
        Ok(())
    }

    fn position(
        &mut self,
        account: AccountId,
        instrument: InstrumentId,
        command: &PositionCommand,
    ) -> Result<(), Undecided> {
        let events = self.position_ahead(account, instrument)?.decide(command, self.rules)?;
        let stream = StreamId::Position(account, instrument);
        self.push(stream, events.into_iter().map(Event::Position));
        Ok(())
    }

    fn instrument(
        &mut self,
        id: InstrumentId,
        command: &InstrumentCommand,
    ) -> Result<(), Undecided> {
        let events = self.look_instrument(id)?.decide(command, self.rules)?;
        self.push(StreamId::Instrument(id), events.into_iter().map(Event::Instrument));
        Ok(())
    }

    fn user(&mut self, id: UserId, command: &UserCommand) -> Result<(), Undecided> {
        command.is_of(id)?;
        let stream = StreamId::User(id);
        let user = self.world.user(id).ok_or(Undecided::Absent(stream))?;
        let events = user.decide(command, self.rules)?;
        self.push(stream, events.into_iter().map(Event::User));
        Ok(())
    }

    fn writer(
        &mut self,
        shard: u16,
        command: &crate::writer::WriterCommand,
    ) -> Result<(), Undecided> {
        let stream = StreamId::Writer(shard);
        let writer = self.world.writer(shard).ok_or(Undecided::Absent(stream))?;
        let events = writer.decide(command, self.rules)?;
        self.push(stream, events.into_iter().map(Event::Writer));
        Ok(())
    }
}
