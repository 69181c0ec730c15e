//! What a split does to the options of an account on what is split, in the commit in which its shares follow.
//!
//! Where each share becomes `n` whole ones, a contract at a strike of `K` becomes `n` contracts at `K / n`, in another
//! position, since it has another symbol. Strikes go in ascending order, so that contracts which come to a symbol find that its
//! own have left it. Contracts that cannot come there, because something is still held of it, nothing can be, or that symbol is
//! another contract's, are paid out, and so are all by any other split: at what they were worth before it, else at what they
//! were in the money by. Nothing is charged.

use std::collections::BTreeMap;

use super::delivery::Ends;
use super::{BeforeSplit, Desk, Undecided, World};
use crate::id::{AccountId, InstrumentId};
use crate::instrument::{
    Adjustment, Contract, Instrument, InstrumentKind, OptionEnd, OptionTerms, Split,
};
use crate::market::MarketTime;
use crate::money::Quantity;
use crate::position::{Adjusted, PaidOut, Position, PositionCommand, PositionError};

/// The options that an account holds on what is split.
pub(super) type Contracts = [(InstrumentId, BeforeSplit)];

/// One of them.
struct Holding<'a> {
    instrument_id: InstrumentId,
    terms: &'a OptionTerms,
    position: &'a Position,
    before: &'a BeforeSplit,
}

/// What a contract becomes.
struct Becomes {
    instrument_id: InstrumentId,
    symbol: String,
    contract: OptionTerms,
}

impl<'a, W: World> Desk<'a, W> {
    /// Lets these contracts of an account follow the split.
    pub(super) fn adjust_contracts(
        &mut self,
        (account_id, underlying_id): (AccountId, InstrumentId),
        (action_id, split): (&str, &Split),
        contracts: &Contracts,
        at: MarketTime,
    ) -> Result<(), Undecided> {
        let adjustment = split.adjustment()?;
        if adjustment == Adjustment::None {
            return Ok(());
        }
        let holdings = self.on_split((account_id, underlying_id), contracts)?;
        if holdings.iter().any(|holding| holding.position.has_followed(action_id)) {
            return Err(PositionError::AlreadyApplied(action_id.to_owned()).into());
        }
        for holding in holdings {
            let becomes = match adjustment {
                Adjustment::Multiplied(times) => {
                    self.becomes(account_id, &holding, times)?.map(|becomes| (becomes, times))
                }
                Adjustment::None | Adjustment::PaidOut => None,
            };
            match becomes {
                Some(becomes) => {
                    self.become_other((account_id, &holding), becomes, (action_id, split), at)?;
                }
                None => self.pay_out((account_id, &holding), (action_id, split), at)?,
            }
        }
        Ok(())
    }

    /// An account keeps the contracts that it holds, as it keeps its shares.
    pub(super) fn keep_contracts(
        &mut self,
        (account_id, underlying_id): (AccountId, InstrumentId),
        (action_id, split): (&str, &Split),
        contracts: &Contracts,
        at: MarketTime,
    ) -> Result<(), Undecided> {
        for Holding { instrument_id, .. } in
            self.on_split((account_id, underlying_id), contracts)?
        {
            let command = PositionCommand::StayBehind {
                action_id: action_id.to_owned(),
                numerator: split.numerator,
                denominator: split.denominator,
                at,
            };
            self.position(account_id, instrument_id, &command)?;
        }
        Ok(())
    }

    /// What is held of these contracts, in ascending order of their strikes. Those that have expired are settled, not adjusted, and
    /// what an account holds under the same symbol on something else is not of this split.
    fn on_split<'b>(
        &self,
        (account_id, underlying_id): (AccountId, InstrumentId),
        contracts: &'b Contracts,
    ) -> Result<Vec<Holding<'b>>, Undecided>
    where
        'a: 'b,
    {
        let named: BTreeMap<InstrumentId, &BeforeSplit> =
            contracts.iter().map(|(instrument_id, before)| (*instrument_id, before)).collect();
        let mut holdings = Vec::with_capacity(named.len());
        for (instrument_id, before) in named {
            let instrument = self.look_instrument(instrument_id)?;
            let position = self.look_position(account_id, instrument_id)?;
            if position.qty().is_zero() || instrument.expired().is_some() {
                continue;
            }
            let terms = position.contract().filter(|it| it.underlying_id == underlying_id);
            let Some(terms) = terms else { continue };
            holdings.push(Holding { instrument_id, terms, position, before });
        }
        holdings.sort_by_key(|holding| (holding.terms.strike, holding.instrument_id));
        Ok(holdings)
    }

    /// The contract that a holding becomes; none if it cannot: no symbol can say its strike, it is not listed or has expired,
    /// something is held of it, or the market says that it is another one.
    fn becomes(
        &self,
        account_id: AccountId,
        holding: &Holding<'_>,
        times: Quantity,
    ) -> Result<Option<Becomes>, Undecided> {
        let of = self.look_instrument(holding.instrument_id)?.symbol().parse::<Contract>();
        let Some(contract) = of.ok().and_then(|of| of.divided_by(times).ok()) else {
            return Ok(None);
        };
        let symbol = contract.to_string();
        let instrument_id = InstrumentId::of_symbol(&symbol);
        let alive = |it: &Instrument| {
            let listed = it.instrument_id().is_some() && it.kind() == InstrumentKind::Option;
            listed && it.expired().is_none()
        };
        let free = alive(self.look_instrument(instrument_id)?)
            && self.position_ahead(account_id, instrument_id)?.qty().is_zero();
        let contract = OptionTerms { strike: contract.strike(), ..holding.terms.clone() };
        let same = holding.before.listed.as_ref().is_none_or(|listed| *listed == contract);
        Ok((free && same).then_some(Becomes { instrument_id, symbol, contract }))
    }

    fn become_other(
        &mut self,
        (account_id, holding): (AccountId, &Holding<'_>),
        (becomes, times): (Becomes, Quantity),
        (action_id, split): (&str, &Split),
        at: MarketTime,
    ) -> Result<(), Undecided> {
        let Becomes { instrument_id, symbol, contract } = becomes;
        let leave = PositionCommand::Adjust {
            action_id: action_id.to_owned(),
            numerator: split.numerator,
            denominator: split.denominator,
            into: instrument_id,
            at,
        };
        self.position(account_id, holding.instrument_id, &leave)?;
        let adjusted = Adjusted {
            account_id,
            instrument_id,
            symbol,
            contract,
            action_id: action_id.to_owned(),
            from: holding.instrument_id,
            lots: holding.position.lots_adjusted(times)?,
            do_not_exercise: holding.position.do_not_exercise(),
            at,
        };
        self.position(account_id, instrument_id, &PositionCommand::TakeAdjusted(adjusted))
    }

    fn pay_out(
        &mut self,
        (account_id, holding): (AccountId, &Holding<'_>),
        (action_id, split): (&str, &Split),
        at: MarketTime,
    ) -> Result<(), Undecided> {
        let Holding { instrument_id, terms, position, before } = holding;
        let mark = &before.worth;
        let ends = Ends {
            instrument_id: *instrument_id,
            terms: (*terms).clone(),
            long: position.qty().is_positive(),
            how: OptionEnd::PaidOut,
            qty: position.qty().abs(),
            settlement_price: split.last_close.filter(|_| mark.is_none()),
            bid: None,
            split: Some(PaidOut { action_id: action_id.to_owned(), mark: mark.clone() }),
        };
        self.carry_out(account_id, vec![ends], (action_id.as_bytes(), None), at)
    }
}
