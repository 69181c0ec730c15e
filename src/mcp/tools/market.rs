//! What the market says. What its source lacks is refused with `capability_missing`; nothing is made up in its place.

use aggregates::instrument::InstrumentKind;

use super::super::arguments::Arguments;
use super::super::results::answer;
use super::super::schema::{Field, Kind, words};
use super::super::shelf::Toolset;
use super::fields::{CURSOR, LIMIT, SYMBOL, page, page_of};
use super::{Answered, Call, Effect, Entry};
use crate::identity::Act;
use crate::service::{Fresh, Period, SYMBOL_MAX, Timeframe};

/// The longest search for instruments, in characters.
const SEARCH_MAX: usize = 64;

/// A price of a symbol, as far as it is known.
const PRICE: &[Field] = &[
    Field::always("symbol", Kind::Text),
    Field::sometimes("price", Kind::Text),
    Field::sometimes("basis", Kind::Text),
    Field::sometimes("at", Kind::Text),
    Field::sometimes("source", Kind::Text),
    Field::sometimes("bid", Kind::Text),
    Field::sometimes("ask", Kind::Text),
    Field::sometimes("previous_close", Kind::Text),
    Field::sometimes("change", Kind::Text),
    Field::sometimes("change_rate", Kind::Text),
    Field::always("halted", Kind::Flag),
    Field::sometimes("session", Kind::Text),
    Field::sometimes("market_time", Kind::Text),
];

/// A level of a book.
const LEVEL: &[Field] = &[Field::always("price", Kind::Text), Field::always("size", Kind::Text)];

pub const TOOLS: &[Entry] = &[
    Entry {
        name: "stock_price",
        title: "Price",
        toolset: Toolset::MarketData,
        effect: Effect::Reads,
        act: Act::ReadMarket,
        about: "The price of a symbol in US dollars with source and time by the market's clock, bid, ask, and the \
                change since the previous close (change_rate 0.05 is 5 %). Example: {\"symbol\": \"AAPL\"}. What \
                is not known is absent; on not_found see search_stocks_tool.",
        takes: &[SYMBOL.required()],
        answers: PRICE,
        run: |call, arguments| Box::pin(stock_price(call, arguments)),
    },
    Entry {
        name: "stock_info",
        title: "About a stock",
        toolset: Toolset::MarketData,
        effect: Effect::Reads,
        act: Act::ReadMarket,
        about: "A symbol: name, kind, sector, whether it is halted and why, its price as in stock_price. Example: \
                {\"symbol\": \"AAPL\"}. On not_found see search_stocks_tool.",
        takes: &[SYMBOL.required()],
        answers: &[
            Field::always("symbol", Kind::Text),
            Field::always("name", Kind::Text),
            Field::always("kind", Kind::Text),
            Field::sometimes("sector", Kind::Text),
            Field::always("halted", Kind::Flag),
            Field::sometimes("last_close", Kind::Text),
            Field::always("price", Kind::Object),
        ],
        run: |call, arguments| Box::pin(stock_info(call, arguments)),
    },
    Entry {
        name: "search_stocks_tool",
        title: "Search",
        toolset: Toolset::MarketData,
        effect: Effect::Reads,
        act: Act::ReadMarket,
        about: "The stocks with query in their ticker or name, by ticker. Example: {\"query\": \"apple\"}. \
                An empty list: try a shorter word.",
        takes: &[
            Field::new("query", Kind::Text, "A part of a ticker or of a name, such as apple.")
                .required(),
            LIMIT,
            CURSOR,
        ],
        answers: &page_of(&[
            Field::always("symbol", Kind::Text),
            Field::always("name", Kind::Text),
            Field::always("kind", Kind::Text),
            Field::always("halted", Kind::Flag),
            Field::sometimes("last_close", Kind::Text),
        ]),
        run: |call, arguments| Box::pin(search(call, arguments)),
    },
    Entry {
        name: "market_hours",
        title: "Market hours",
        toolset: Toolset::MarketData,
        effect: Effect::Reads,
        act: Act::ReadMarket,
        about: "Whether the market is open now by its own clock, when it opens and closes next, and the hours of a \
                date (holidays, early closes). Times are RFC 3339. Example: {\"date\": \"2026-11-27\"}. Before the \
                market has a time name a date.",
        takes: &[Field::new(
            "date",
            Kind::Text,
            "A date in New York, such as 2026-11-27. Default: today by the market's clock.",
        )],
        answers: &[
            Field::always("date", Kind::Text),
            Field::always("is_trading_day", Kind::Flag),
            Field::always("is_holiday", Kind::Flag),
            Field::always("early_close", Kind::Flag),
            Field::sometimes("open", Kind::Text),
            Field::sometimes("close", Kind::Text),
            Field::sometimes("is_open", Kind::Flag),
            Field::always("halted", Kind::Flag),
            Field::sometimes("session", Kind::Text),
            Field::sometimes("next_open", Kind::Text),
            Field::sometimes("next_close", Kind::Text),
        ],
        run: |call, arguments| Box::pin(market_hours(call, arguments)),
    },
    Entry {
        name: "price_history",
        title: "Price history",
        toolset: Toolset::MarketData,
        effect: Effect::Reads,
        act: Act::ReadMarket,
        about: "The bars of a symbol over a period up to the market's clock, in US dollars and shares, not \
                adjusted for splits. Example: {\"symbol\": \"AAPL\", \"period\": \"month\"}. On capability_missing \
                try a longer interval.",
        takes: &[
            SYMBOL.required(),
            Field::new("period", Kind::Word(|| words(&Period::WORDS)), "How far back.").required(),
            Field::new(
                "interval",
                Kind::Word(|| Timeframe::ALL.map(Timeframe::word).to_vec()),
                "How long a bar is. Default: what suits the period.",
            ),
        ],
        answers: &[
            Field::always("interval", Kind::Text),
            Field::always("source", Kind::Text),
            Field::sometimes("covers_from", Kind::Text),
            Field::always("market_time", Kind::Text),
            Field::always(
                "bars",
                Kind::List(&[
                    Field::always("at", Kind::Text),
                    Field::always("open", Kind::Text),
                    Field::always("high", Kind::Text),
                    Field::always("low", Kind::Text),
                    Field::always("close", Kind::Text),
                    Field::always("volume", Kind::Text),
                ]),
            ),
        ],
        run: |call, arguments| Box::pin(price_history(call, arguments)),
    },
    Entry {
        name: "stock_level2_data",
        title: "Order book",
        toolset: Toolset::MarketData,
        effect: Effect::Reads,
        act: Act::ReadMarket,
        about: "The book behind the quote of a symbol: prices in US dollars with sizes in shares, best first. \
                Example: {\"symbol\": \"AAPL\"}. On capability_missing stock_price shows the quote.",
        takes: &[SYMBOL.required()],
        answers: &[
            Field::always("bids", Kind::List(LEVEL)),
            Field::always("asks", Kind::List(LEVEL)),
            Field::always("at", Kind::Text),
            Field::always("source", Kind::Text),
            Field::always("market_time", Kind::Text),
        ],
        run: |call, arguments| Box::pin(depth(call, arguments)),
    },
];

async fn stock_price(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let symbol = arguments.required_text("symbol", SYMBOL_MAX);
    arguments.end()?;
    answer(&call.service.price(&symbol)?)
}

async fn stock_info(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let symbol = arguments.required_text("symbol", SYMBOL_MAX);
    arguments.end()?;
    let caller = call.caller(None).await?;
    answer(&call.service.info(&caller, &symbol, Fresh::default()).await?)
}

async fn search(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let query = arguments.required_text("query", SEARCH_MAX);
    let page = page(&mut arguments);
    arguments.end()?;
    let caller = call.caller(None).await?;
    let found = call.service.instruments(
        &caller,
        Some(InstrumentKind::Stock),
        Some(&query),
        &page,
        Fresh::default(),
    );
    answer(&found.await?)
}

async fn market_hours(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let date = arguments.date("date");
    arguments.end()?;
    answer(&call.service.hours(date)?)
}

async fn price_history(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let symbol = arguments.required_text("symbol", SYMBOL_MAX);
    let period = arguments.required_word("period", &Period::WORDS);
    let intervals = Timeframe::ALL.map(|timeframe| (timeframe.word(), timeframe));
    let interval = arguments.word("interval", &intervals);
    arguments.end()?;
    let period = period.expect("one that is missing is a fault, and faults were answered");
    answer(&call.service.history(&symbol, period, interval).await?)
}

async fn depth(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let symbol = arguments.required_text("symbol", SYMBOL_MAX);
    arguments.end()?;
    answer(&call.service.depth(&symbol).await?)
}
