//! The engine's stops against a naive one that shares no code with it: it reckons the equity from scratch with every line,
//! in whole cents, and keeps what the day began with and the highest by itself. The same lines, orders, payments, limits and
//! restarts give the same days, stops and ends of stops, with the same figures.

use aggregates::account::{AccountCommand, AccountEvent, PolicyChange, TradingState};
use aggregates::id::{AccountId, CommandId, InstrumentId};
use aggregates::order::OrderStatus;
use aggregates::refusal::RefusalCode;
use aggregates::stream::{Event, StreamId};
use aggregates::trading::Command;
use proptest::prelude::*;
use uuid::Uuid;

use super::desk::Desk;
use super::scan::cents;

const SYMBOLS: [&str; 2] = ["AAPL", "IBM"];
/// Sessions that follow one another: the 26th is a holiday, then there is a weekend.
const DAYS: [&str; 5] = ["2026-11-23", "2026-11-24", "2026-11-25", "2026-11-27", "2026-11-30"];

#[derive(Clone, Debug)]
enum Step {
    Quote {
        which: usize,
        bid: i64,
        spread: i64,
        /// The engine is lost after so many of its commands.
        lost_after: Option<usize>,
    },
    Order {
        which: usize,
        buy: bool,
        qty: i64,
        limit: Option<i64>,
    },
    Limits {
        dollars: Option<i64>,
        percent: Option<i64>,
        drawdown: Option<i64>,
    },
    State(u8),
    Pay(i64),
    /// Two new shares for an old one.
    Split(usize),
    NextDay,
    Rebuild,
    Reload,
}

fn step() -> impl Strategy<Value = Step> {
    let price = 8_000i64..12_000;
    prop_oneof![
        12 => (0usize..2, price.clone(), 0i64..50, prop::option::weighted(0.1, 0usize..3)).prop_map(
            |(which, bid, spread, lost_after)| Step::Quote { which, bid, spread, lost_after }
        ),
        6 => (0usize..2, prop::bool::weighted(0.7), 1i64..40, prop::option::of(price))
            .prop_map(|(which, buy, qty, limit)| Step::Order { which, buy, qty, limit }),
        2 => (
            prop::option::of(1_000i64..40_000),
            prop::option::of(1i64..6),
            prop::option::of(1i64..8),
        )
            .prop_map(|(dollars, percent, drawdown)| Step::Limits { dollars, percent, drawdown }),
        1 => (0u8..3).prop_map(Step::State),
        1 => (-20_000i64..20_000).prop_map(Step::Pay),
        1 => (0usize..2).prop_map(Step::Split),
        2 => Just(Step::NextDay),
        1 => Just(Step::Rebuild),
        1 => Just(Step::Reload),
    ]
}

/// What stopped the account, and what it might trade before.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stopped {
    drawdown: bool,
    before: TradingState,
}

/// Counts losses as the rule book says it, and from nothing but the balance and the shares.
struct Plain {
    dollars: Option<i64>,
    percent: Option<i64>,
    drawdown: Option<i64>,
    state: TradingState,
    /// The day, what it began with, the highest.
    count: Option<(usize, i64, i64)>,
    stopped: Option<Stopped>,
    /// Bid and ask.
    quotes: [Option<(i64, i64)>; 2],
    told: Vec<String>,
}

/// Dollars of the ledger in cents.
fn in_cents(text: &str) -> i64 {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, part) = digits.split_once('.').unwrap();
    let amount = whole.parse::<i64>().unwrap() * 100 + part.parse::<i64>().unwrap();
    if negative { -amount } else { amount }
}

impl Plain {
    fn new() -> Self {
        Self {
            dollars: None,
            percent: None,
            drawdown: None,
            state: TradingState::Active,
            count: None,
            stopped: None,
            quotes: [None, None],
            told: Vec::new(),
        }
    }

    fn limits(&self) -> bool {
        self.dollars.or(self.percent).or(self.drawdown).is_some()
    }

    fn equity(&self, cash: i64, held: [i64; 2]) -> Option<i64> {
        let mut equity = cash;
        for (qty, quote) in held.into_iter().zip(self.quotes) {
            if qty != 0 {
                let (bid, ask) = quote?;
                equity += qty * if qty > 0 { bid } else { ask };
            }
        }
        Some(equity)
    }

    /// A line of this day, which shows a quote or nothing; so much money and so many shares are there before it.
    fn line(
        &mut self,
        day: usize,
        quote: Option<(usize, (i64, i64))>,
        (cash, held): (i64, [i64; 2]),
    ) {
        let before = self.equity(cash, held);
        if let (Some((_, _, highest)), Some(equity)) = (&mut self.count, before) {
            *highest = equity.max(*highest);
        }
        let begins = self.limits() && self.count.is_none_or(|(counted, ..)| counted < day);
        if let Some(equity) = before.filter(|_| begins) {
            if let Some(stopped) = self.stopped.filter(|stopped| !stopped.drawdown) {
                (self.state, self.stopped) = (stopped.before, None);
                self.told.push(format!("lifted to {}", self.state.word()));
            }
            let highest = self.count.map_or(equity, |(_, _, highest)| highest.max(equity));
            self.count = Some((day, equity, highest));
            self.told.push(format!("{} begins with {equity}, highest {highest}", DAYS[day]));
        }
        if let Some((which, quote)) = quote {
            self.quotes[which] = Some(quote);
        }
        let Some((counted, opening, highest)) = self.count else { return };
        let Some(equity) = self.equity(cash, held) else { return };
        let part = |base: i64, percent: i64| base.max(0) * percent / 100;
        let daily = [self.dollars, self.percent.map(|percent| part(opening, percent))];
        let drawdown = self.drawdown.map(|percent| part(highest, percent));
        let reached = |base: i64, most: Option<i64>| {
            most.filter(|most| base - equity >= *most && base > equity).map(|most| (base, most))
        };
        let by_drawdown = reached(highest, drawdown);
        let by_day = reached(opening, daily.into_iter().flatten().min());
        // A day's loss is of that day, and a drawdown stops what a day's loss has stopped, too.
        let by_drawdown = by_drawdown.filter(|_| self.stopped.is_none_or(|it| !it.drawdown));
        let by_day = by_day.filter(|_| self.stopped.is_none() && counted == day);
        if let Some((base, most)) = by_drawdown.or(by_day) {
            let drawdown = by_drawdown.is_some();
            let before = self.stopped.map_or(self.state, |stopped| stopped.before);
            self.stopped = Some(Stopped { drawdown, before });
            if self.state == TradingState::Active {
                self.state = TradingState::Reducing;
            }
            let state = self.state.word();
            self.told.push(format!(
                "{state} at {equity} by {most} from {base}, drawdown {drawdown}, highest {highest}"
            ));
        }
    }

    fn end(&mut self) {
        (self.count, self.stopped) = (None, None);
    }
}

/// What the log tells of the account's days and stops.
fn told(desk: &Desk, account: AccountId) -> Vec<String> {
    let amount = |money: &aggregates::money::Money| in_cents(&money.to_string());
    let of = |(stream, event): &(StreamId, Event)| {
        let Event::Account(event) = event else { return None };
        (*stream == StreamId::Account(account)).then_some(())?;
        Some(match event {
            AccountEvent::TradingDayBegan { day, equity, peak, .. } => {
                format!("{day} begins with {}, highest {}", amount(equity), amount(peak))
            }
            AccountEvent::LossLimitLifted { trading_state, .. } => {
                format!("lifted to {}", trading_state.word())
            }
            AccountEvent::LossLimitReached {
                limit,
                trading_state,
                base,
                max_loss,
                equity,
                peak,
                ..
            } => {
                let drawdown = limit.word() == "drawdown";
                let (base, most) = (amount(base), amount(max_loss));
                let (equity, highest, state) = (amount(equity), amount(peak), trading_state.word());
                format!(
                    "{state} at {equity} by {most} from {base}, drawdown {drawdown}, highest {highest}"
                )
            }
            _ => return None,
        })
    };
    desk.log.iter().filter_map(of).collect()
}

/// Runs the steps on both and gives what each told.
fn both(steps: &[Step]) -> (Vec<String>, Vec<String>) {
    let mut desk = Desk::unlimited();
    let (mut day, mut second) = (0, 0u32);
    let mut time = |day: usize| {
        second += 1;
        format!("{}T15:{:02}:{:02}Z", DAYS[day], second / 60, second % 60)
    };
    desk.clock(&time(day));
    let account = desk.account("10000");
    let (mut plain, mut payments, mut splits) = (Plain::new(), 0, 0);
    let standing = |desk: &Desk| {
        let held = SYMBOLS
            .map(|symbol| desk.held_of(account, InstrumentId::of_symbol(symbol)).parse().unwrap());
        (in_cents(&desk.cash(account)), held)
    };
    for step in steps {
        match step {
            Step::Quote { which, bid, spread, lost_after } => {
                let (ask, at, symbol) = (bid + spread, time(day), SYMBOLS[*which]);
                let line = format!(
                    r#"{{"t":"quote","symbol":"{symbol}","bid":"{}","bid_size":"9","ask":"{}","ask_size":"9","at":"{at}"}}"#,
                    cents(*bid),
                    cents(ask)
                );
                plain.line(day, Some((*which, (*bid, ask))), standing(&desk));
                match lost_after {
                    Some(commands) => {
                        desk.line_until(&line, *commands);
                        desk.rebuild();
                    }
                    None => {
                        desk.line(&line);
                    }
                }
            }
            Step::Order { which, buy, qty, limit } => {
                if plain.quotes[*which].is_none() {
                    continue;
                }
                let side = if *buy { "buy" } else { "sell" };
                let limit = limit.map(|limit| format!(" @ {}", cents(limit))).unwrap_or_default();
                let kind = if limit.is_empty() { "ioc" } else { "gtc" };
                let order = format!("{side} {qty}{limit} {kind}");
                let n = desk.place_in(SYMBOLS[*which], desk.now(), account, &order);
                desk.run(Vec::new());
                let rejected = desk.status(n) == OrderStatus::Rejected;
                let by_losses = rejected
                    && matches!(
                        desk.rejection(n).code,
                        RefusalCode::DailyLossLimit | RefusalCode::DrawdownLimit
                    );
                assert_eq!(by_losses, *buy && plain.stopped.is_some(), "order {n}");
            }
            Step::Limits { dollars, percent, drawdown } => {
                desk.limit(
                    account,
                    PolicyChange {
                        max_daily_loss: Some(dollars.map(|most| cents(most).parse().unwrap())),
                        max_daily_loss_pct: Some(percent.map(|it| it.to_string().parse().unwrap())),
                        max_drawdown_pct: Some(drawdown.map(|it| it.to_string().parse().unwrap())),
                        ..PolicyChange::default()
                    },
                );
                (plain.dollars, plain.percent, plain.drawdown) = (*dollars, *percent, *drawdown);
                if !plain.limits() {
                    plain.end();
                }
            }
            Step::State(n) => {
                let states = [TradingState::Active, TradingState::Reducing, TradingState::Halted];
                let state = states[usize::from(*n)];
                let trading_state = Some(state);
                desk.limit(account, PolicyChange { trading_state, ..PolicyChange::default() });
                if plain.stopped.is_some() {
                    plain.end();
                }
                plain.state = state;
            }
            Step::Pay(amount) => {
                payments += 1;
                let id = CommandId::new(Uuid::from_u128(9_000 + payments));
                let paid = cents(amount.abs()).parse().unwrap();
                let available =
                    in_cents(&desk.account_of(account).available().unwrap().to_string());
                if *amount == 0 || *amount < 0 && available < amount.abs() {
                    continue;
                }
                desk.submit(&if *amount > 0 {
                    let command =
                        AccountCommand::Deposit { deposit_id: id, amount: paid, at: None };
                    Command::Account { account_id: account, command }
                } else {
                    Command::Withdraw {
                        account_id: account,
                        withdrawal_id: id,
                        amount: paid,
                        marks: Default::default(),
                        at: None,
                    }
                });
                if let Some((_, opening, highest)) = &mut plain.count {
                    *opening += amount;
                    *highest += amount;
                }
            }
            Step::Split(which) => {
                splits += 1;
                plain.line(day, None, standing(&desk));
                plain.quotes[*which] = None;
                let (at, symbol) = (time(day), SYMBOLS[*which]);
                desk.line(&format!(
                    r#"{{"t":"split","symbol":"{symbol}","numerator":"2","denominator":"1","id":"{splits}","at":"{at}"}}"#
                ));
            }
            Step::NextDay if day + 1 < DAYS.len() => {
                day += 1;
                plain.line(day, None, standing(&desk));
                desk.clock(&time(day));
            }
            Step::NextDay => {}
            Step::Rebuild => desk.rebuild(),
            Step::Reload => desk.reload(),
        }
        let stopped = plain.stopped.is_some();
        assert!(
            !stopped || desk.account_of(account).reserved().is_zero(),
            "nothing opens any more"
        );
        assert_eq!(desk.account_of(account).policy().trading_state, plain.state);
    }
    (told(&desk, account), plain.told)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn accounts_are_stopped_as_a_naive_count_says(steps in prop::collection::vec(step(), 1..60)) {
        let (engine, plain) = both(&steps);
        prop_assert_eq!(engine, plain);
    }
}

#[test]
fn the_comparison_sees_days_stops_and_their_ends() {
    let quote = |bid| Step::Quote { which: 0, bid, spread: 0, lost_after: None };
    let steps = [
        quote(10_000),
        Step::Order { which: 0, buy: true, qty: 50, limit: None },
        Step::Limits { dollars: Some(40_000), percent: None, drawdown: Some(8) },
        quote(9_201),
        quote(9_200),
        Step::NextDay,
        quote(9_400),
        quote(8_400),
    ];
    let (engine, plain) = both(&steps);
    assert_eq!(engine, plain);
    assert_eq!(
        engine,
        [
            "2026-11-23 begins with 1000000, highest 1000000",
            "reducing at 960000 by 40000 from 1000000, drawdown false, highest 1000000",
            "lifted to active",
            "2026-11-24 begins with 960000, highest 1000000",
            "reducing at 920000 by 80000 from 1000000, drawdown true, highest 1000000",
        ]
    );
}
