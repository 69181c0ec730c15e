//! What the market says.

use super::super::arguments::Arguments;
use super::super::results::answer;
use super::super::schema::{Field, Kind};
use super::super::shelf::Toolset;
use super::fields::{CURSOR, LIMIT, SYMBOL, page, page_of};
use super::{Answered, Call, Effect, Entry};
use crate::service::{Fresh, SYMBOL_MAX};

/// The longest search for instruments, in characters.
const SEARCH_MAX: usize = 64;

pub const TOOLS: &[Entry] = &[
    Entry {
        name: "stock_price",
        title: "Price",
        toolset: Toolset::MarketData,
        effect: Effect::Reads,
        about: "The standing quote (bid, ask, sizes in shares), the last trade and the previous close of a symbol, in US \
                dollars, each with its source and its time by the market's clock. Example: {\"symbol\": \"AAPL\"}. \
                What is not known is absent; on not_found see search_stocks_tool.",
        takes: &[SYMBOL.required()],
        answers: &[
            Field::always("symbol", Kind::Text),
            Field::always("halted", Kind::Flag),
            Field::sometimes("quote", Kind::Object),
            Field::sometimes("last", Kind::Object),
            Field::sometimes("previous_close", Kind::Text),
            Field::sometimes("market_time", Kind::Text),
        ],
        run: |call, arguments| Box::pin(stock_price(call, arguments)),
    },
    Entry {
        name: "search_stocks_tool",
        title: "Search",
        toolset: Toolset::MarketData,
        effect: Effect::Reads,
        about: "What can be traded with query in its ticker or its name, by ticker. Example: {\"query\": \"apple\"}. An \
                empty list: try a shorter word. For the next page send next_cursor as cursor.",
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
];

async fn stock_price(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let symbol = arguments.required_text("symbol", SYMBOL_MAX);
    arguments.end()?;
    answer(&call.service.quote(&symbol)?)
}

async fn search(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let query = arguments.required_text("query", SEARCH_MAX);
    let page = page(&mut arguments);
    arguments.end()?;
    let found = call.service.instruments(call.caller, Some(&query), &page, Fresh::default());
    answer(&found.await?)
}
