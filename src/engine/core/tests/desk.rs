//! A ledger in memory for the engine's tests: it decides by the same `trading::decide` as the real one.

use std::collections::BTreeMap;

use aggregates::account::{Account, AccountCommand, AccountKind, PolicyChange};
use aggregates::id::{AccountId, CommandId, InstrumentId, OPERATOR_TENANT, OrderId, UserId};
use aggregates::instrument::Instrument;
use aggregates::money::Price;
use aggregates::order::{
    CancelReason, Exit, Exits, Leg, Order, OrderChange, OrderClass, OrderEvent, OrderSpec,
    OrderStatus, OrderType, Side, StopLoss, TakeProfit, TimeInForce, Trail, TriggerBy,
};
use aggregates::position::Position;
use aggregates::refusal::Refusal;
use aggregates::rules::Rules;
use aggregates::stream::{Decide, Event, StreamId};
use aggregates::trading::{Command, Decision, MarketView, Undecided, World, decide};
use aggregates::user::User;
use aggregates::writer::Writer;
use uuid::Uuid;

use super::super::{
    Core, EngineState, FillModel, Glance, MarketNow, Settings, Stood, Worked, Written,
};
use crate::market::calendar::Calendar;
use crate::market::reading::parse_line;
use crate::market::tick::{Clock, Tick};

/// The aggregates; what is not there is as it was before its first event.
#[derive(Default)]
pub(super) struct Aggregates {
    accounts: BTreeMap<AccountId, Account>,
    orders: BTreeMap<OrderId, Order>,
    positions: BTreeMap<(AccountId, InstrumentId), Position>,
    instruments: BTreeMap<InstrumentId, Instrument>,
    unborn: (Account, Order, Position, Instrument, User, Writer),
}

impl World for Aggregates {
    fn account(&self, id: AccountId) -> Option<&Account> {
        Some(self.accounts.get(&id).unwrap_or(&self.unborn.0))
    }
    fn order(&self, id: OrderId) -> Option<&Order> {
        Some(self.orders.get(&id).unwrap_or(&self.unborn.1))
    }
    fn position(&self, account: AccountId, instrument: InstrumentId) -> Option<&Position> {
        Some(self.positions.get(&(account, instrument)).unwrap_or(&self.unborn.2))
    }
    fn holdings(&self, account: AccountId) -> Option<Vec<InstrumentId>> {
        Some(self.positions.keys().filter(|key| key.0 == account).map(|key| key.1).collect())
    }
    fn instrument(&self, id: InstrumentId) -> Option<&Instrument> {
        Some(self.instruments.get(&id).unwrap_or(&self.unborn.3))
    }
    fn user(&self, _: UserId) -> Option<&User> {
        Some(&self.unborn.4)
    }
    fn writer(&self, _: u16) -> Option<&Writer> {
        Some(&self.unborn.5)
    }
}

/// One fill as the tests compare it: order, place on the tape, price, quantity.
pub(super) type Fill = (u128, u64, String, String);

/// One line of the tape: the event that it came after, the settings beside it, how it stood, the line.
pub(super) type Taped = (u64, Option<Settings>, Option<Stood>, Tick);

/// An engine on a ledger in memory, with everything that a restart needs.
pub(super) struct Desk {
    pub(super) world: Aggregates,
    pub(super) core: Core,
    pub(super) log: Vec<(StreamId, Event)>,
    pub(super) tape: Vec<Taped>,
    settings: Settings,
    orders: u128,
    accounts: u128,
}

pub(super) const AAPL: &str = "AAPL";

/// The exits of order 7 are 7,001 (the take-profit) and 7,002.
const EXITS: u128 = 1_000;

pub(super) fn order_id(n: u128) -> OrderId {
    let parent = |n| OrderId::new(Uuid::from_u128(n));
    match n % EXITS {
        1 if n > EXITS => parent(n / EXITS).exit(Exit::TakeProfit),
        2 if n > EXITS => parent(n / EXITS).exit(Exit::StopLoss),
        _ => parent(n),
    }
}

pub(super) fn profit(n: u128) -> u128 {
    n * EXITS + 1
}

pub(super) fn loss(n: u128) -> u128 {
    n * EXITS + 2
}

impl Desk {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            world: Aggregates::default(),
            core: Core::new(settings.clone(), EngineState::default()),
            log: Vec::new(),
            tape: Vec::new(),
            settings,
            orders: 0,
            accounts: 0,
        }
    }

    /// NYSE hours, displayed sizes, no limit on the age of quotes; one instrument, quoted before the open.
    pub(super) fn nyse() -> Self {
        Self::new(Settings { max_quote_age: None, ..Settings::new(Calendar::nyse()) })
    }

    pub(super) fn unlimited() -> Self {
        Self::new(Settings {
            max_quote_age: None,
            fill_model: FillModel::Unlimited,
            ..Settings::new(Calendar::nyse())
        })
    }

    fn commit(&mut self, command: &Command) -> Result<Decision, Undecided> {
        let decision = decide(&self.world, command, &Rules::default())?;
        for (stream, event) in &decision.events {
            self.log.push((*stream, event.clone()));
            match (stream, event) {
                (StreamId::Account(id), Event::Account(event)) => {
                    self.world.accounts.entry(*id).or_default().evolve(event).unwrap();
                }
                (StreamId::Order(id), Event::Order(event)) => {
                    self.world.orders.entry(*id).or_default().evolve(event).unwrap();
                }
                (StreamId::Position(account, id), Event::Position(event)) => {
                    let key = (*account, *id);
                    self.world.positions.entry(key).or_default().evolve(event).unwrap();
                }
                (StreamId::Instrument(id), Event::Instrument(event)) => {
                    self.world.instruments.entry(*id).or_default().evolve(event).unwrap();
                }
                _ => panic!("an event of another stream"),
            }
            self.core.observe(self.log.len() as u64, OPERATOR_TENANT, *stream, event);
        }
        Ok(decision)
    }

    /// One line: the whole of it, or so many of its commands, after which the engine is lost and begins anew.
    pub(super) fn line_or_restart(&mut self, line: &str, commands: Option<usize>) {
        match commands {
            Some(commands) => {
                self.line_until(line, commands);
                self.rebuild();
            }
            None => {
                self.line(line);
            }
        }
    }

    /// One line of which only the first commands commit: then the engine is lost.
    pub(super) fn line_until(&mut self, line: &str, mut commands_left: usize) {
        let tick = parse_line(line.as_bytes(), 1).unwrap().unwrap();
        let after = self.log.len() as u64;
        let worked = self.core.line("feed", &tick);
        assert_eq!((worked.before.len(), worked.unfinished), (0, false));
        self.tape.push((after, worked.by, None, tick));
        let mut commands = worked.commands;
        while !commands.is_empty() {
            for command in std::mem::take(&mut commands) {
                if commands_left == 0 {
                    return;
                }
                commands_left -= 1;
                self.commit(&command).unwrap();
            }
            commands = self.core.again();
        }
    }

    /// Commits what the engine proposes, round after round, arrivals included.
    pub(super) fn run(&mut self, mut commands: Vec<Command>) {
        for _ in 0..10_000 {
            if commands.is_empty() {
                commands = self.core.again();
            }
            if commands.is_empty() {
                let before = self.core.before_arrivals();
                self.write(before);
                commands = self.core.arrivals();
            }
            if commands.is_empty() {
                return;
            }
            for command in std::mem::take(&mut commands) {
                let _refusals_are_part_of_the_game = self.commit(&command);
            }
        }
        panic!("the engine never comes to rest: {:?}", self.core.state().round);
    }

    /// One line of the feed.
    pub(super) fn line(&mut self, line: &str) -> Worked {
        let tick = parse_line(line.as_bytes(), 1).unwrap().unwrap();
        self.tick(&tick)
    }

    pub(super) fn tick(&mut self, tick: &Tick) -> Worked {
        let worked = self.tick_alone(tick);
        if let Some(at) = self.core.pending_end() {
            let over = self.tick_alone(&Tick::Clock(Clock { at }));
            assert_eq!(over.ignored, None);
        }
        worked
    }

    /// A line that others of the same start follow.
    pub(super) fn tick_alone(&mut self, tick: &Tick) -> Worked {
        loop {
            let after = self.log.len() as u64;
            let worked = self.core.line("feed", tick);
            self.write(worked.before.clone());
            if worked.place.is_some() {
                self.tape.push((after, worked.by.clone(), None, tick.clone()));
            }
            self.run(worked.commands.clone());
            if !worked.unfinished {
                return worked;
            }
        }
    }

    /// Lines that go on the tape before the one at hand.
    pub(super) fn write(&mut self, lines: Vec<Written>) {
        for line in lines {
            self.tape.push((self.log.len() as u64, line.by, line.stood, line.tick));
            assert_eq!(line.place, self.tape.len() as u64);
        }
    }

    pub(super) fn quote(
        &mut self,
        bid: &str,
        bid_size: u32,
        ask: &str,
        ask_size: u32,
        at: &str,
    ) -> Worked {
        self.line(&format!(
            r#"{{"t":"quote","symbol":"AAPL","bid":"{bid}","bid_size":"{bid_size}","ask":"{ask}","ask_size":"{ask_size}","at":"{at}"}}"#
        ))
    }

    pub(super) fn clock(&mut self, at: &str) {
        let worked = self.line(&format!(r#"{{"t":"clock","at":"{at}"}}"#));
        assert_eq!(worked.ignored, None);
    }

    pub(super) fn daily_bar(&mut self, day: &str, prices: [&str; 4], volume: u32) -> Worked {
        let [open, high, low, close] = prices;
        self.line(&format!(
            r#"{{"t":"bar","symbol":"AAPL","open":"{open}","high":"{high}","low":"{low}","close":"{close}","volume":"{volume}","at":"{day}T05:00:00Z","span":"1d"}}"#
        ))
    }

    pub(super) fn account(&mut self, cash: &str) -> AccountId {
        self.open_account(AccountKind::Cash, cash, 0)
    }

    pub(super) fn margin_account(&mut self, cash: &str) -> AccountId {
        self.open_account(AccountKind::Margin, cash, 0)
    }

    /// An account that may trade options of every kind that its own permits.
    pub(super) fn options_account(&mut self, kind: AccountKind, cash: &str) -> AccountId {
        self.open_account(kind, cash, if kind == AccountKind::Margin { 4 } else { 2 })
    }

    fn open_account(&mut self, kind: AccountKind, cash: &str, option_level: u8) -> AccountId {
        self.accounts += 1;
        let account_id = AccountId::new(Uuid::from_u128(1_000_000 + self.accounts));
        let command = AccountCommand::Open {
            account_id,
            kind,
            option_level,
            name_digest: String::new(),
            starting_balance: cash.parse().unwrap(),
            deposit_id: CommandId::new(Uuid::from_u128(self.accounts)),
            at: None,
        };
        self.commit(&Command::Account { account_id, command }).unwrap();
        account_id
    }

    /// Changes limits of an account.
    pub(super) fn limit(&mut self, account_id: AccountId, change: PolicyChange) {
        let command = AccountCommand::ChangePolicy { change };
        self.submit(&Command::Account { account_id, command });
    }

    /// Carries a command out that cannot be refused.
    pub(super) fn submit(&mut self, command: &Command) {
        self.commit(command).unwrap();
    }

    pub(super) fn account_of(&self, account_id: AccountId) -> &Account {
        &self.world.accounts[&account_id]
    }

    /// Places `"buy 100 stop 11.00 quote @ 12.00 day"`: without `@ price` at the market, without `stop price` at once, and
    /// without `quote` triggered by trades; `trail 5` and `percent 5` follow the market, `from 12.00` on, and become limit
    /// orders with `offset 0.10`; `extended` fills outside regular hours too. With `profit 13.00` and `loss 9.00` it has
    /// exits: a buy with both is a bracket, with one an oto, a sell is an oco; `sell 100 opens` and `buy 100 closes` are
    /// the other way round. `buy for 1000.00` names dollars. Gives its number.
    pub(super) fn place(&mut self, account_id: AccountId, order: &str) -> u128 {
        let n = self.place_only(account_id, order);
        self.run(Vec::new());
        n
    }

    /// Places an order and leaves its arrival to be evaluated.
    pub(super) fn place_only(&mut self, account_id: AccountId, order: &str) -> u128 {
        let now = self.now();
        self.place_by(now, account_id, order)
    }

    /// The market clock as it is shown.
    pub(super) fn now(&self) -> MarketNow {
        self.core.now().unwrap()
    }

    /// Places an order by the clock that was shown at some time, and leaves its arrival to be evaluated.
    pub(super) fn place_by(&mut self, now: MarketNow, account_id: AccountId, order: &str) -> u128 {
        self.place_in(AAPL, now, account_id, order)
    }

    /// Places an order for any symbol, and leaves its arrival to be evaluated.
    pub(super) fn place_in(
        &mut self,
        symbol: &str,
        now: MarketNow,
        account_id: AccountId,
        order: &str,
    ) -> u128 {
        self.orders += 1;
        let n = self.orders;
        let words: Vec<&str> = order.split(' ').collect();
        let side = if words[0] == "buy" { Side::Buy } else { Side::Sell };
        let after = |word: &str| {
            let found = words.iter().position(|known| *known == word);
            found.map(|at| words[at + 1].parse::<Price>().unwrap())
        };
        let (limit_price, stop_price) = (after("@"), after("stop"));
        let trail = after("trail").map(Trail::Price).or(after("percent").map(Trail::Percent));
        let order_type = match (stop_price, limit_price) {
            _ if trail.is_some() && words.contains(&"offset") => OrderType::TrailingStopLimit,
            _ if trail.is_some() => OrderType::TrailingStop,
            (None, None) => OrderType::Market,
            (None, Some(_)) => OrderType::Limit,
            (Some(_), None) => OrderType::Stop,
            (Some(_), Some(_)) => OrderType::StopLimit,
        };
        let by = if words.contains(&"quote") { TriggerBy::Quote } else { TriggerBy::Last };
        let time_in_force = match *words.last().unwrap() {
            "gtc" => TimeInForce::Gtc,
            "ioc" => TimeInForce::Ioc,
            "fok" => TimeInForce::Fok,
            "opg" => TimeInForce::Opg,
            "cls" => TimeInForce::Cls,
            _ => TimeInForce::Day,
        };
        let stop_loss = after("loss").map(|stop_price| StopLoss { stop_price, limit_price: None });
        let take_profit = after("profit").map(|limit_price| TakeProfit { limit_price });
        let other = if side == Side::Sell { "opens" } else { "closes" };
        let closes = (side == Side::Sell) != words.contains(&other);
        let order_class = match (closes, take_profit, stop_loss) {
            (_, None, None) => OrderClass::Simple,
            (true, ..) => OrderClass::Oco,
            (false, Some(_), Some(_)) => OrderClass::Bracket,
            (false, ..) => OrderClass::Oto,
        };
        let exits = Exits { take_profit, stop_loss };
        let exits = Some(Box::new(exits)).filter(|_| order_class != OrderClass::Simple);
        let spec = OrderSpec {
            account_id,
            instrument_id: InstrumentId::of_symbol(symbol),
            symbol: symbol.into(),
            side,
            order_type,
            qty: words[1].parse().unwrap_or_default(),
            notional: after("for").map(|dollars| dollars.to_string().parse().unwrap()),
            limit_price,
            stop_price,
            trail,
            limit_offset: after("offset"),
            activation_price: after("from"),
            trigger_by: order_type.is_stop().then_some(by),
            good_till: None,
            time_in_force,
            extended_hours: words.contains(&"extended"),
            order_class,
            client_order_id: n.to_string(),
            note_digest: None,
            contract: None,
            position_intent: None,
            legs: None,
            parent_order_id: None,
            exits,
        };
        let placing = self.placing(now, n, spec);
        self.commit(&placing).unwrap();
        n
    }

    /// Places an order of options, and evaluates its arrival: of one as `[("buy", 1, symbol)]` by itself, of several legs at
    /// a net price. Gives its number.
    pub(super) fn place_legs(
        &mut self,
        account_id: AccountId,
        qty: u32,
        limit: Option<&str>,
        legs: &[(&str, u32, &str)],
        time_in_force: TimeInForce,
    ) -> u128 {
        let (n, placing) = self.sent_legs(account_id, qty, limit, legs, time_in_force);
        self.arrive(&placing);
        n
    }

    /// What was on its way comes.
    pub(super) fn arrive(&mut self, placing: &Command) {
        self.commit(placing).unwrap();
        self.run(Vec::new());
    }

    /// The same as far as to be on its way, with the market as it is now.
    pub(super) fn sent_legs(
        &mut self,
        account_id: AccountId,
        qty: u32,
        limit: Option<&str>,
        legs: &[(&str, u32, &str)],
        time_in_force: TimeInForce,
    ) -> (u128, Command) {
        self.orders += 1;
        let n = self.orders;
        let legs: Vec<Leg> = legs
            .iter()
            .map(|(side, ratio_qty, symbol)| Leg {
                instrument_id: InstrumentId::of_symbol(symbol),
                symbol: (*symbol).to_owned(),
                side: if *side == "buy" { Side::Buy } else { Side::Sell },
                ratio_qty: *ratio_qty,
                position_intent: None,
                contract: None,
            })
            .collect();
        let single = legs.len() == 1;
        let Leg { instrument_id, symbol, side, .. } = legs[0].clone();
        let symbol = if single { symbol } else { String::new() };
        let spec = OrderSpec {
            account_id,
            instrument_id,
            symbol,
            side: if single { side } else { Side::Buy },
            order_type: if limit.is_some() { OrderType::Limit } else { OrderType::Market },
            qty: qty.to_string().parse().unwrap(),
            notional: None,
            limit_price: limit.map(|limit| limit.parse().unwrap()),
            stop_price: None,
            trail: None,
            limit_offset: None,
            activation_price: None,
            trigger_by: None,
            good_till: None,
            time_in_force,
            extended_hours: false,
            order_class: if single { OrderClass::Simple } else { OrderClass::Mleg },
            client_order_id: n.to_string(),
            note_digest: None,
            contract: None,
            position_intent: None,
            legs: Some(legs).filter(|_| !single),
            parent_order_id: None,
            exits: None,
        };
        (n, self.placing(self.now(), n, spec))
    }

    /// An order with the market as the board shows it.
    fn placing(&self, now: MarketNow, n: u128, spec: OrderSpec) -> Command {
        let market = self.market_for(now, &spec);
        Command::Place { order_id: order_id(n), spec, market }
    }

    /// The market as an order meets it.
    fn market_for(&self, now: MarketNow, spec: &OrderSpec) -> MarketView {
        let symbols = self.core.state().symbols.keys();
        let glances: BTreeMap<String, Glance> =
            symbols.map(|symbol| (symbol.clone(), self.core.glance(symbol).unwrap())).collect();
        let mut market = now.view_for(spec, &|symbol: &str| glances.get(symbol));
        let account_id = spec.account_id;
        if self.core.state().priced.contains_key(&account_id) {
            let own =
                glances.get(&spec.symbol).and_then(|it| Some((it.instrument_id, it.marks()?)));
            market.marks.extend(own);
        }
        market.marks.extend(self.core.marks(account_id, None));
        market
    }

    /// Changes what is open of an order, or its limit; false if that was refused.
    pub(super) fn replace(
        &mut self,
        account_id: AccountId,
        n: u128,
        open: Option<i64>,
        limit: Option<&str>,
    ) -> bool {
        let filled = self.world.orders[&order_id(n)].filled_qty();
        let total = |open: i64| filled.plus(open.to_string().parse().unwrap()).unwrap();
        let change = OrderChange {
            qty: open.map(total),
            limit_price: limit.map(|limit| limit.parse().unwrap()),
            ..OrderChange::default()
        };
        self.change(account_id, n, change)
    }

    /// Changes how far an order stays behind the market; false if that was refused.
    pub(super) fn retrail(&mut self, account_id: AccountId, n: u128, distance: &str) -> bool {
        let trail = Some(distance.parse().unwrap());
        self.change(account_id, n, OrderChange { trail, ..OrderChange::default() })
    }

    /// Changes from where on an order follows the market, or its offset, in cents; false if that was refused.
    pub(super) fn refollow(
        &mut self,
        account_id: AccountId,
        n: u128,
        from: Option<i64>,
        offset: Option<i64>,
    ) -> bool {
        let dollars =
            |amount: i64| format!("{}.{:02}", amount / 100, amount % 100).parse().unwrap();
        let change = OrderChange {
            limit_offset: offset.map(dollars),
            activation_price: from.map(dollars),
            ..OrderChange::default()
        };
        self.change(account_id, n, change)
    }

    fn change(&mut self, account_id: AccountId, n: u128, change: OrderChange) -> bool {
        let spec = self.world.orders[&order_id(n)].spec().unwrap();
        let market = self.market_for(self.now(), &OrderSpec { trail: None, ..spec.clone() });
        let command =
            Command::Replace { account_id, order_id: order_id(n), change, seen: None, market };
        let done = self.commit(&command).is_ok();
        self.run(Vec::new());
        done
    }

    pub(super) fn cancel(&mut self, account_id: AccountId, n: u128) -> bool {
        let at = self.core.clock().unwrap();
        let command = Command::Cancel {
            account_id,
            order_id: order_id(n),
            reason: CancelReason::Requested,
            at,
        };
        self.commit(&command).is_ok()
    }

    pub(super) fn status(&self, n: u128) -> OrderStatus {
        self.world.orders[&order_id(n)].status().unwrap()
    }

    pub(super) fn held(&self, account_id: AccountId) -> String {
        self.held_of(account_id, InstrumentId::of_symbol(AAPL))
    }

    pub(super) fn held_of(&self, account_id: AccountId, instrument_id: InstrumentId) -> String {
        let position = self.world.positions.get(&(account_id, instrument_id));
        position.map(|position| position.qty().to_string()).unwrap_or("0".into())
    }

    pub(super) fn order(&self, n: u128) -> &Order {
        &self.world.orders[&order_id(n)]
    }

    pub(super) fn cash(&self, account_id: AccountId) -> String {
        self.world.accounts[&account_id].cash().to_string()
    }

    fn number(&self, order_id: OrderId) -> u128 {
        let spec = self.world.orders[&order_id].spec().unwrap();
        let exit = if spec.order_type == OrderType::Limit { profit } else { loss };
        spec.parent_order_id.map_or(order_id.uuid().as_u128(), |id| exit(id.uuid().as_u128()))
    }

    /// Every fill so far.
    pub(super) fn fills(&self) -> Vec<Fill> {
        let fills = self.log.iter().filter_map(|(stream, event)| match (stream, event) {
            (
                StreamId::Order(order_id),
                Event::Order(OrderEvent::OrderFilled { qty, price, evidence, .. }),
            ) => {
                let n = self.number(*order_id);
                Some((n, evidence.tape_place, price.to_string(), qty.to_string()))
            }
            _ => None,
        });
        fills.collect()
    }

    /// Order, place on the tape and stop of every trigger so far.
    pub(super) fn triggers(&self) -> Vec<(u128, u64, String)> {
        let triggers = self.log.iter().filter_map(|(stream, event)| match (stream, event) {
            (
                StreamId::Order(order_id),
                Event::Order(OrderEvent::OrderTriggered { stop_price, evidence, .. }),
            ) => Some((self.number(*order_id), evidence.tape_place, stop_price.to_string())),
            _ => None,
        });
        triggers.collect()
    }

    /// Order, price and quantity of every fill so far.
    pub(super) fn trades(&self) -> Vec<(u128, String, String)> {
        self.fills().into_iter().map(|(n, _, price, qty)| (n, price, qty)).collect()
    }

    /// Why an order was rejected.
    pub(super) fn rejection(&self, n: u128) -> Refusal {
        let rejected = self.log.iter().find_map(|(stream, event)| match (stream, event) {
            (StreamId::Order(id), Event::Order(OrderEvent::OrderRejected { reject, .. }))
                if *id == order_id(n) =>
            {
                Some(reject.clone())
            }
            _ => None,
        });
        rejected.unwrap()
    }

    pub(super) fn reason(&self, n: u128) -> Option<CancelReason> {
        self.log.iter().find_map(|(stream, event)| match (stream, event) {
            (StreamId::Order(id), Event::Order(OrderEvent::OrderCanceled { reason, .. }))
                if *id == order_id(n) =>
            {
                Some(*reason)
            }
            _ => None,
        })
    }

    /// The names of all events of the market, in order.
    pub(super) fn market_events(&self) -> Vec<String> {
        let of_market =
            self.log.iter().filter(|(stream, _)| matches!(stream, StreamId::Instrument(_)));
        of_market.map(|(_, event)| event.event_type()).collect()
    }

    /// A new engine that knows nothing but log and tape.
    pub(super) fn rebuild(&mut self) {
        let mut core = Core::new(self.settings.clone(), EngineState::default());
        let mut events = (1u64..).zip(&self.log).peekable();
        for (place, (after, by, stood, tick)) in (1u64..).zip(&self.tape) {
            while let Some((position, (stream, event))) = events.next_if(|(p, _)| p <= after) {
                core.observe(position, OPERATOR_TENANT, *stream, event);
            }
            if let Some(by) = by {
                core.work_again_by(by.clone());
            }
            match stood {
                Some(stood) => assert_eq!(core.stand("feed", tick, stood), place),
                None => assert_eq!(core.line_again("feed", tick), (place, None)),
            }
        }
        for (position, (stream, event)) in events {
            core.observe(position, OPERATOR_TENANT, *stream, event);
        }
        core.retry();
        self.core = core;
        self.run(Vec::new());
        self.core.work_by(self.settings.clone());
    }

    /// Kills the engine and starts it with other settings.
    pub(super) fn restart_by(&mut self, settings: Settings) {
        self.settings = settings;
        self.rebuild();
    }

    /// A new engine from the stored state of this one.
    pub(super) fn reload(&mut self) {
        let stored = serde_json::to_string(self.core.state()).unwrap();
        let state: EngineState = serde_json::from_str(&stored).unwrap();
        assert_eq!(&state, self.core.state());
        self.core = Core::new(self.settings.clone(), state);
        self.run(Vec::new());
    }
}

pub(super) fn trade(n: u128, price: &str, qty: &str) -> (u128, String, String) {
    (n, price.to_owned(), qty.to_owned())
}
