//! Exercising options.

use super::super::arguments::Arguments;
use super::super::results::answer;
use super::super::schema::{Field, Kind};
use super::super::shelf::Toolset;
use super::fields::{ACCOUNT, IDEMPOTENCY_KEY, POSITION};
use super::kinds::{OPTION, expect};
use super::option_orders::CONTRACT;
use super::orders::by_argument;
use super::{Answered, Call, Effect, Entry};
use crate::identity::Act;
use crate::service::SYMBOL_MAX;

/// What is left of an option, and what the end of its contracts did.
const ENDED: &[Field] = &[
    Field::always("symbol", Kind::Text),
    Field::always("qty", Kind::Text),
    Field::always("ended", Kind::Object),
    Field::always("replayed", Kind::Flag),
    POSITION,
];

/// What is left of an option.
const LEFT: &[Field] = &[
    Field::always("symbol", Kind::Text),
    Field::always("qty", Kind::Text),
    Field::always("replayed", Kind::Flag),
    POSITION,
];

pub const TOOLS: &[Entry] = &[
    Entry {
        name: "exercise_option",
        title: "Exercise an option",
        toolset: Toolset::OptionOrders,
        effect: Effect::Places,
        act: Act::ExerciseOption,
        about: "Exercises an american option that the account holds: a call buys 100 shares a contract at the strike, a put sells \
                them. ended has the shares that came or went, the cash, and both after it. Example: {\"instrument_id\": \
                \"AAPL261218C00190000\", \"quantity\": \"1\"}. On insufficient_buying_power sell the option instead.",
        takes: &[
            CONTRACT,
            Field::new("quantity", Kind::Text, "Contracts. Default: all that are free."),
            IDEMPOTENCY_KEY,
            ACCOUNT,
        ],
        answers: ENDED,
        run: |call, arguments| Box::pin(exercise(call, arguments)),
    },
    Entry {
        name: "do_not_exercise_option",
        title: "Do not exercise an option",
        toolset: Toolset::OptionOrders,
        effect: Effect::Ends,
        act: Act::ExerciseOption,
        about: "An option that is in the money by 0.01 at expiry is exercised; this says that those held are not to be. Example: \
                {\"instrument_id\": \"AAPL261218C00190000\"}. REST takes it back.",
        takes: &[
            CONTRACT,
            Field::new("quantity", Kind::Text, "All that are held, if named."),
            IDEMPOTENCY_KEY,
            ACCOUNT,
        ],
        answers: LEFT,
        run: |call, arguments| Box::pin(do_not_exercise(call, arguments)),
    },
];

async fn exercise(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let named = arguments.account_id();
    let symbol = arguments.required_text("instrument_id", SYMBOL_MAX);
    let (qty, key) = (arguments.amount("quantity"), arguments.idempotency_key());
    arguments.end()?;
    expect(call, "instrument_id", &symbol, OPTION)?;
    let (caller, account) = call.account(named).await?;
    let ended = call.service.exercise(&caller, account, &symbol, qty, key.as_deref()).await;
    answer(&ended.map_err(by_argument)?)
}

async fn do_not_exercise(call: Call<'_>, mut arguments: Arguments) -> Answered {
    let named = arguments.account_id();
    let symbol = arguments.required_text("instrument_id", SYMBOL_MAX);
    let (qty, key) = (arguments.amount("quantity"), arguments.idempotency_key());
    arguments.end()?;
    expect(call, "instrument_id", &symbol, OPTION)?;
    let (caller, account) = call.account(named).await?;
    let said = (false, qty);
    let said = call.service.instruct_exercise(&caller, account, &symbol, said, key.as_deref());
    answer(&said.await.map_err(by_argument)?)
}
