//! What the market and a model say of options. What nobody has told is absent and named in `missing`.

use aggregates::money::Price;

use super::super::arguments::Arguments;
use super::super::results::answer;
use super::super::schema::{Field, Kind, words};
use super::super::shelf::Toolset;
use super::fields::{CURSOR, LIMIT, SYMBOL, page, page_of, page_up_to};
use super::{Answered, Call, Effect, Entry};
use crate::identity::Act;
use crate::service::{Assumed, CHAIN_MAX, ChainRequest, Period, RIGHTS, SYMBOL_MAX, Timeframe};

const EXPIRATION: Field = Field::new("expiration_date", Kind::Text, "Such as 2026-12-18.");
const RIGHT: Field = Field::new("option_type", Kind::Word(|| words(&RIGHTS)), "Default: both.");
const OPTION: Field =
    Field::new("option_symbol", Kind::Text, "OCC symbol, such as AAPL261218C00190000.").required();
const RATE: Field = Field::new(
    "risk_free_rate",
    Kind::Text,
    "Yearly, 0.045 for 4.5 %. Default: what the market has told.",
);
const YIELD: Field =
    Field::new("dividend_yield", Kind::Text, "Yearly. Default: what the market has told.");

/// What no figure of a chain can be computed without.
const MISSING: Field = Field::always(
    "missing",
    Kind::Words(|| vec!["underlying_price", "risk_free_rate", "dividend_yield"]),
);
/// What a valuation can lack.
const LACKING: Field = Field::always(
    "missing",
    Kind::Words(|| {
        vec!["option_price", "style", "underlying_price", "risk_free_rate", "dividend_yield"]
    }),
);
const UNDERLYING: Field = Field::always("underlying", Kind::Text);
const MARKET_TIME: Field = Field::always("market_time", Kind::Text);

const A_SYMBOL: Field = Field::always("symbol", Kind::Text);
const A_DATE: Field = Field::always("expiration_date", Kind::Text);
const A_STRIKE: Field = Field::always("strike_price", Kind::Text);
const A_TYPE: Field = Field::always("type", Kind::Text);

pub const TOOLS: &[Entry] = &[
    Entry {
        name: "options_chains",
        title: "Option chain",
        toolset: Toolset::OptionsData,
        effect: Effect::Reads,
        act: Act::ReadMarket,
        about: "The option chain of a stock with quotes, open interest, implied_volatility (0.25 is 25 % a year) and delta; dollars a \
                share, a contract is 100. Example: {\"symbol\": \"AAPL\", \"expiration_date\": \"2026-12-18\"}. Figures \
                named in missing need rates as arguments.",
        takes: &[SYMBOL.required(), EXPIRATION, RIGHT, RATE, YIELD, LIMIT, CURSOR],
        answers: &CHAIN,
        run: |call, arguments| Box::pin(options_chains(call, arguments)),
    },
    Entry {
        name: "find_options",
        title: "Find options",
        toolset: Toolset::OptionsData,
        effect: Effect::Reads,
        act: Act::ReadMarket,
        about: "The option contracts on a stock that have not expired, without prices. Example: {\"symbol\": \"AAPL\", \
                \"option_type\": \"put\"}. On not_found see search_stocks_tool.",
        takes: &[SYMBOL.required(), EXPIRATION, RIGHT, LIMIT, CURSOR],
        answers: &page_of(&[
            A_SYMBOL,
            A_DATE,
            A_STRIKE,
            A_TYPE,
            Field::sometimes("style", Kind::Text),
        ]),
        run: |call, arguments| Box::pin(find_options(call, arguments)),
    },
    Entry {
        name: "option_market_data",
        title: "Option price",
        toolset: Toolset::OptionsData,
        effect: Effect::Reads,
        act: Act::ReadMarket,
        about: "One option: quote with source and time, last price, open interest, and in valuation what option_greeks says. Example: \
                {\"option_symbol\": \"AAPL261218C00190000\"}. On not_found see find_options.",
        takes: &[OPTION, RATE, YIELD],
        answers: &[
            A_SYMBOL,
            A_DATE,
            A_STRIKE,
            A_TYPE,
            Field::sometimes("quote", Kind::Object),
            Field::sometimes("last", Kind::Object),
            Field::sometimes("open_interest", Kind::Object),
            Field::always("valuation", Kind::Object),
            MARKET_TIME,
        ],
        run: |call, arguments| Box::pin(option_market_data(call, arguments)),
    },
    Entry {
        name: "option_greeks",
        title: "Greeks",
        toolset: Toolset::OptionsData,
        effect: Effect::Reads,
        act: Act::ReadMarket,
        about: "Implied volatility and greeks of one option by its price, of one share: delta, gamma, theta (a calendar day), vega (a \
                point of volatility), rho (a percent), vanna, charm, vomma, veta, speed, zomma, color; with what they were made \
                from. Example: {\"option_symbol\": \"AAPL261218C00190000\"}. If missing names a rate, give it.",
        takes: &[OPTION, RATE, YIELD],
        answers: &[
            A_SYMBOL,
            Field::sometimes("model", Kind::Text),
            Field::sometimes("price", Kind::Object),
            Field::sometimes("underlying_price", Kind::Object),
            Field::sometimes("risk_free_rate", Kind::Object),
            Field::sometimes("dividend_yield", Kind::Object),
            Field::sometimes("days_to_expiration", Kind::Text),
            Field::sometimes("implied_volatility", Kind::Text),
            Field::sometimes("no_implied_volatility", Kind::Object),
            Field::sometimes("greeks", Kind::Object),
            LACKING,
            MARKET_TIME,
        ],
        run: |call, arguments| Box::pin(option_greeks(call, arguments)),
    },
    Entry {
        name: "option_expirations",
        title: "Expirations",
        toolset: Toolset::OptionsData,
        effect: Effect::Reads,
        act: Act::ReadMarket,
        about: "When the options on a stock expire, the next date first, with days left and contracts listed. Example: {\"symbol\": \
                \"AAPL\"}. On not_found see search_stocks_tool.",
        takes: &[SYMBOL.required(), RIGHT],
        answers: &page_of(&[
            A_DATE,
            Field::always("expires_at", Kind::Text),
            Field::always("days", Kind::Whole),
            Field::always("calls", Kind::Whole),
            Field::always("puts", Kind::Whole),
        ]),
        run: |call, arguments| Box::pin(option_expirations(call, arguments)),
    },
    Entry {
        name: "option_strikes",
        title: "Strikes",
        toolset: Toolset::OptionsData,
        effect: Effect::Reads,
        act: Act::ReadMarket,
        about: "The strikes of the options on a stock in dollars, the lowest first. Example: {\"symbol\": \"AAPL\", \
                \"expiration_date\": \"2026-12-18\"}. An empty list: see option_expirations.",
        takes: &[SYMBOL.required(), EXPIRATION, RIGHT],
        answers: &page_of(&[
            A_STRIKE,
            Field::always("calls", Kind::Whole),
            Field::always("puts", Kind::Whole),
        ]),
        run: |call, arguments| Box::pin(option_strikes(call, arguments)),
    },
    Entry {
        name: "option_historicals",
        title: "Option history",
        toolset: Toolset::OptionsData,
        effect: Effect::Reads,
        act: Act::ReadMarket,
        about: "The bars of one option over a span up to the market's clock, in dollars a share. Example: {\"symbol\": \"AAPL\", \
                \"expiration_date\": \"2026-12-18\", \"strike_price\": \"190\", \"option_type\": \"call\"}. On capability_missing the \
                market's source keeps none: see option_market_data.",
        takes: &[
            SYMBOL.required(),
            EXPIRATION.required(),
            Field::new("strike_price", Kind::Text, "Dollars a share.").required(),
            Field::new("option_type", Kind::Word(|| words(&RIGHTS)), "Call or put.").required(),
            Field::new(
                "interval",
                Kind::Word(|| Timeframe::ALL.map(Timeframe::word).to_vec()),
                "How long a bar is. Default: what suits the span.",
            ),
            Field::new(
                "span",
                Kind::Word(|| words(&Period::WORDS)),
                "How far back. Default: month.",
            ),
        ],
        answers: &[
            A_SYMBOL,
            Field::always("interval", Kind::Text),
            Field::always("source", Kind::Text),
            MARKET_TIME,
            Field::always("bars", Kind::Objects).about("Bars as price_history shows them."),
        ],
        run: |call, arguments| Box::pin(option_historicals(call, arguments)),
    },
    Entry {
        name: "analyze_option_chain",
        title: "Analyze a chain",
        toolset: Toolset::OptionsData,
        effect: Effect::Reads,
        act: Act::ReadMarket,
        about: "What the chain of a stock says as a whole: volatility by strike (smile) and by expiration, expected move in dollars, \
                put-call ratios, max pain, liquidity. Example: {\"symbol\": \"AAPL\"}. If missing names a rate, give it.",
        takes: &[
            SYMBOL.required(),
            Field::new("expiration_date", Kind::Text, "Of smile and liquidity. Default: the next."),
            RIGHT,
            RATE,
            YIELD,
        ],
        answers: &[
            UNDERLYING,
            Field::sometimes("underlying_price", Kind::Object),
            MISSING,
            A_DATE,
            Field::always("smile", Kind::Objects),
            Field::always("liquidity", Kind::Object),
            Field::always("term_structure", Kind::Objects),
            MARKET_TIME,
        ],
        run: |call, arguments| Box::pin(analyze_option_chain(call, arguments)),
    },
];

const CHAIN: [Field; 6] = {
    let [items, next] = page_of(&[
        A_SYMBOL,
        A_DATE,
        A_STRIKE,
        A_TYPE,
        Field::sometimes("quote", Kind::Object),
        Field::sometimes("open_interest", Kind::Object),
        Field::sometimes("implied_volatility", Kind::Text),
        Field::sometimes("delta", Kind::Text),
    ]);
    [
        UNDERLYING,
        Field::sometimes("underlying_price", Kind::Object),
        MISSING,
        MARKET_TIME,
        items,
        next,
    ]
};

fn wanted(arguments: &mut Arguments) -> ChainRequest {
    ChainRequest {
        underlying: arguments.required_text("symbol", SYMBOL_MAX),
        expiration_date: arguments.date("expiration_date"),
        right: arguments.word("option_type", &RIGHTS),
        ..ChainRequest::default()
    }
}

fn assumed(arguments: &mut Arguments) -> Assumed {
    let mut rate = |name| arguments.amount::<Price>(name).map(Price::decimal);
    Assumed { risk_free_rate: rate("risk_free_rate"), dividend_yield: rate("dividend_yield") }
}

async fn options_chains(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let (request, assumed) = (wanted(&mut arguments), assumed(&mut arguments));
    let page = page_up_to(&mut arguments, CHAIN_MAX);
    arguments.end()?;
    let caller = call.caller(None).await?;
    answer(&call.service.option_chain(&caller, &request, assumed, &page).await?)
}

async fn find_options(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let (request, page) = (wanted(&mut arguments), page(&mut arguments));
    arguments.end()?;
    let caller = call.caller(None).await?;
    answer(&call.service.option_contracts(&caller, &request, &page).await?)
}

async fn option_market_data(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let symbol = arguments.required_text("option_symbol", SYMBOL_MAX);
    let assumed = assumed(&mut arguments);
    arguments.end()?;
    answer(&call.service.option(&symbol, assumed).await?)
}

async fn option_greeks(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let symbol = arguments.required_text("option_symbol", SYMBOL_MAX);
    let assumed = assumed(&mut arguments);
    arguments.end()?;
    answer(&call.service.option_greeks(&symbol, assumed).await?)
}

async fn option_expirations(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let underlying = arguments.required_text("symbol", SYMBOL_MAX);
    let right = arguments.word("option_type", &RIGHTS);
    arguments.end()?;
    let caller = call.caller(None).await?;
    let request = ChainRequest { underlying, right, ..ChainRequest::default() };
    answer(&call.service.option_expirations(&caller, &request).await?)
}

async fn option_strikes(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let request = wanted(&mut arguments);
    arguments.end()?;
    let caller = call.caller(None).await?;
    answer(&call.service.option_strikes(&caller, &request).await?)
}

async fn option_historicals(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let underlying = arguments.required_text("symbol", SYMBOL_MAX);
    let expiration = arguments.required_date("expiration_date");
    let strike: Price = arguments.required_amount("strike_price");
    let right = arguments.required_word("option_type", &RIGHTS);
    let intervals = Timeframe::ALL.map(|timeframe| (timeframe.word(), timeframe));
    let interval = arguments.word("interval", &intervals);
    let span = arguments.word("span", &Period::WORDS).unwrap_or(Period::Month);
    arguments.end()?;
    let known = "one that is missing is a fault, and faults were answered";
    let (expiration, right) = (expiration.expect(known), right.expect(known));
    let symbol = call.service.option_symbol(&underlying, expiration, right, strike)?;
    answer(&call.service.history(&symbol, span, interval).await?)
}

async fn analyze_option_chain(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let (request, assumed) = (wanted(&mut arguments), assumed(&mut arguments));
    arguments.end()?;
    answer(&call.service.analyze_chain(&request, assumed).await?)
}
