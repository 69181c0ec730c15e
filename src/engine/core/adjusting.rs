//! Options whose underlying is split.
//!
//! When the split begins, what was seen of those that are held is kept with its gate, and void under their symbols: these
//! name other contracts from then on. What they become is listed before the accounts follow, since the market may never say
//! a word of it, and is valued by what was seen of them, divided by the split, until it does. Costs O(n) once a split, n the
//! instruments.

use std::collections::{BTreeMap, BTreeSet};

use aggregates::id::{AccountId, InstrumentId, OrderId};
use aggregates::instrument::{Adjustment, Contract, InstrumentKind, OptionTerms, Split};
use aggregates::market::{MarketTime, Reference};
use aggregates::money::Quantity;
use aggregates::position::PositionEvent;
use aggregates::trading::{BeforeSplit, Command};

use super::Core;
use super::state::{Adjusted, EngineState, Gate, Issue, Last, Seen};

/// What an account has of what is split.
#[derive(Default)]
pub(super) struct Part {
    /// Its open orders.
    pub orders: Vec<OrderId>,
    /// The options on it that it holds.
    contracts: BTreeSet<InstrumentId>,
}

/// Whether a split changes contracts at all.
pub(super) fn changes_contracts(split: &Split) -> bool {
    // One without a ratio cannot have begun.
    split.adjustment().is_ok_and(|adjustment| adjustment != Adjustment::None)
}

impl EngineState {
    /// A split of an underlying begins.
    pub(super) fn void_contracts(&mut self, underlying_id: InstrumentId, split: &Split) {
        if !changes_contracts(split) {
            return;
        }
        let held = self.held_on.get(&underlying_id);
        let mut seen = BTreeMap::new();
        for (instrument_id, issue) in &mut self.issues {
            if issue.on != Some(underlying_id) {
                continue;
            }
            if held.is_some_and(|held| held.contains(instrument_id)) {
                seen.insert(*instrument_id, issue.seen());
            }
            issue.void();
            issue.adjusted = Some(Adjusted::of(&issue.symbol, split));
            self.interest.remove(&issue.symbol);
        }
        let issue = self.issues.get_mut(&underlying_id);
        if let Some(gate) = issue.and_then(|issue| issue.gate.as_mut()) {
            gate.seen = seen;
        }
    }

    /// An event of a position in an option: its account may have followed the split of what that is on.
    pub(super) fn follow_with_contract(
        &mut self,
        (account_id, instrument_id): (AccountId, InstrumentId),
        event: &PositionEvent,
    ) {
        let follows = matches!(
            event,
            PositionEvent::ContractAdjusted { .. }
                | PositionEvent::SplitNotFollowed { .. }
                | PositionEvent::OptionEnded { action_id: Some(_), .. }
        );
        if !follows {
            return;
        }
        let on = self.contracts.get(&instrument_id).map(|terms| terms.underlying_id);
        let issue = on.and_then(|on| self.issues.get_mut(&on));
        if let Some(gate) = issue.and_then(|issue| issue.gate.as_mut()) {
            gate.followed.insert(account_id);
        }
    }

    /// Contracts came to a position by a split: what is known of those that they were holds for these.
    pub(super) fn take_adjusted(&mut self, instrument_id: InstrumentId, event: &PositionEvent) {
        let PositionEvent::AdjustedContractOpened { contract, from, .. } = event else { return };
        self.expects(instrument_id, contract);
        if let Some(kept) = self.last_before_end.get(from).cloned() {
            self.last_before_end.entry(instrument_id).or_insert(kept);
        }
        let terms = self.issues.get(from).and_then(|issue| issue.terms.clone());
        let gate = self.issues.get(&contract.underlying_id).and_then(|issue| issue.gate.as_ref());
        let seen = gate.and_then(|gate| Some(gate.seen.get(from)?.clone().rescaled(&gate.split)));
        let Some(issue) = self.issues.get_mut(&instrument_id) else { return };
        issue.adjusted = None;
        if let Some(Seen { quote, last }) = seen
            && issue.seen() == Seen::default()
        {
            issue.kinds.quotes |= quote.is_some();
            (issue.quote, issue.last, issue.awaits_price) = (quote, last, true);
            self.watch.price_moved(instrument_id);
        }
        if issue.terms.is_none() {
            issue.terms = terms;
            self.put_on(instrument_id);
        }
    }

    /// What an option is to those that hold it or have open orders of it; none where there are none.
    pub(super) fn open_as(&self, instrument_id: InstrumentId) -> Option<&OptionTerms> {
        self.contracts.get(&instrument_id).filter(|_| self.is_open_in(instrument_id))
    }
}

impl Core {
    /// The accounts that have not followed a split yet, with all that they have of it.
    pub(super) fn to_follow(
        &self,
        instrument_id: InstrumentId,
        gate: &Gate,
    ) -> BTreeMap<AccountId, Part> {
        let mut accounts: BTreeMap<AccountId, Part> = BTreeMap::new();
        for (account_id, orders) in self.state.orders.of_instrument(instrument_id) {
            accounts.entry(account_id).or_default().orders = orders;
        }
        let holders = |id: &InstrumentId| {
            let holders = self.state.holders.get(id);
            holders.into_iter().flat_map(|holders| holders.accounts()).collect::<Vec<_>>()
        };
        for account_id in holders(&instrument_id) {
            accounts.entry(account_id).or_default();
        }
        let options = self.state.held_on.get(&instrument_id).into_iter().flatten();
        for option in options.filter(|_| changes_contracts(&gate.split)) {
            for account_id in holders(option) {
                accounts.entry(account_id).or_default().contracts.insert(*option);
            }
        }
        accounts.retain(|account_id, _| !gate.followed.contains(account_id));
        accounts
    }

    /// The listings of what the contracts of these accounts become, where the market has not told of it.
    pub(super) fn adjusted_listings(
        &self,
        gate: &Gate,
        accounts: &BTreeMap<AccountId, Part>,
    ) -> Vec<Command> {
        let Ok(Adjustment::Multiplied(times)) = gate.split.adjustment() else { return Vec::new() };
        let contracts: BTreeSet<InstrumentId> =
            accounts.values().flat_map(|part| part.contracts.iter().copied()).collect();
        let become_others = contracts.iter().filter_map(|id| self.symbol_after(*id, times));
        let symbols: BTreeSet<String> = become_others.collect();
        let option = InstrumentKind::Option;
        symbols.iter().filter_map(|symbol| self.listing(symbol, symbol, option)).collect()
    }

    /// The symbol that an option has after a split into so many, if one can say its strike.
    fn symbol_after(&self, instrument_id: InstrumentId, times: Quantity) -> Option<String> {
        divided(&self.state.issues.get(&instrument_id)?.symbol, times)
    }

    /// What is listed under the symbol that an option on `underlying_id` becomes: what it is to those that are in it, unless
    /// the split makes another one of that too, or else what a line has said of it.
    fn listed_after(
        &self,
        instrument_id: InstrumentId,
        (underlying_id, split): (InstrumentId, &Split),
    ) -> Option<OptionTerms> {
        let Ok(Adjustment::Multiplied(times)) = split.adjustment() else { return None };
        let becomes = InstrumentId::of_symbol(&self.symbol_after(instrument_id, times)?);
        let open = self.state.open_as(becomes).filter(|it| it.underlying_id != underlying_id);
        let issue = self.state.issues.get(&becomes).filter(|issue| issue.terms.is_some());
        open.cloned().or_else(|| issue?.contract())
    }

    /// The step of one account in a split.
    pub(super) fn follow_of(
        &self,
        account_id: AccountId,
        instrument_id: InstrumentId,
        (gate, part): (&Gate, Part),
        at: MarketTime,
    ) -> Command {
        let Part { orders, contracts } = part;
        let before = |id: InstrumentId| {
            let worth = gate.seen.get(&id).and_then(Seen::worth);
            (id, BeforeSplit { worth, listed: self.listed_after(id, (instrument_id, &gate.split)) })
        };
        let contracts = contracts.into_iter().map(before).collect();
        Command::FollowSplit { account_id, instrument_id, orders, contracts, at }
    }
}

/// The symbol of what a contract becomes by a split into so many, if one can say its strike.
fn divided(symbol: &str, times: Quantity) -> Option<String> {
    let contract: Contract = symbol.parse().ok()?;
    Some(contract.divided_by(times).ok()?.to_string())
}

impl Adjusted {
    /// What a split makes of the contract of a symbol.
    fn of(symbol: &str, split: &Split) -> Self {
        let Split { numerator, denominator, at, .. } = *split;
        let times = match split.adjustment() {
            Ok(Adjustment::Multiplied(times)) => Some(times),
            _ => None,
        };
        let into = times.and_then(|times| Some((times, divided(symbol, times)?)));
        Self { numerator, denominator, at, into }
    }
}

impl Seen {
    /// What a contract is worth, in dollars a share: the middle of its quote, else its last price.
    fn worth(&self) -> Option<Reference> {
        if let Some(quote) = &self.quote {
            let price = quote.bid.middle(quote.ask).ok()?;
            return Some(Reference { price, source: quote.source.clone(), at: quote.at });
        }
        let Last { price, at, source } = self.last.clone()?;
        Some(Reference { price, source, at })
    }
}

impl Issue {
    fn seen(&self) -> Seen {
        Seen { quote: self.quote.clone(), last: self.last.clone() }
    }

    /// What was seen of it was of another contract.
    pub(super) fn void(&mut self) {
        (self.quote, self.print) = (None, None);
        (self.last, self.trade, self.daily) = (None, None, None);
        self.closed = None;
    }
}
