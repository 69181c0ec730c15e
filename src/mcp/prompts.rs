//! Prompts: what people ask of an agent with a trading account, written down once.
//!
//! What a person fills in is put into the text as data, short and on one line. A prompt about something that is
//! stored brings it along as a resource.

use std::collections::BTreeMap;

use aggregates::id::AccountId;
use rmcp::ErrorData;
use rmcp::model::{GetPromptResult, JsonObject, Prompt, PromptArgument, PromptMessage, Role};
use serde_json::Value;

use super::resources::{self, Address, MEDIA_TYPE};
use super::tools::Call;
use crate::identity::Act;
use crate::service::{Visitor, text};

/// The longest value that is filled in, in characters.
const VALUE_MAX: usize = 300;

/// What was filled in, by name.
type Given = BTreeMap<&'static str, String>;

/// One prompt.
struct Entry {
    name: &'static str,
    title: &'static str,
    about: &'static str,
    /// Name, what it is, whether it has to be filled in.
    takes: &'static [(&'static str, &'static str, bool)],
    /// The text, names in braces standing for what was filled in.
    text: &'static str,
    /// What it has an agent do: offered to nobody who may not.
    acts: &'static [Act],
    /// What it brings along of an account.
    brings: fn(AccountId, &Given) -> Option<Address>,
}

const ACCOUNT: (&str, &str, bool) = ("account_id", "The account. Default: your only one.", false);

const PROMPTS: &[Entry] = &[
    Entry {
        name: "plan_trade",
        title: "Plan a trade",
        about: "Works out an order for an idea, checks it against the account, and asks before it places anything.",
        takes: &[
            ("symbol", "The ticker, such as AAPL.", true),
            (
                "idea",
                "What you want and why, such as: buy on a dip below 180, risk at most 200 dollars.",
                false,
            ),
            ACCOUNT,
        ],
        text: "Plan a paper trade in {symbol} on account {account_id}. The idea, in the person's words: {idea}\n\
               1. Read the account below, its positions and open_stock_orders: what is held, reserved and free to spend.\n\
               2. Read stock_price: bid, ask, sizes, the source and the age of the quote. Say so if it is halted or old.\n\
               3. Propose one order: side, type, quantity, price, time in force, what it costs at worst, what it leaves \
               of the buying power, and what would make it wrong.\n\
               4. Ask the person. Only after a yes, place it with a client_order_id of your own, then wait_for_order \
               and report fills by price and quantity.\n\
               Compute with decimals, never with rounded numbers, and invent no figure that a tool did not give.",
        acts: &[Act::ReadAccount, Act::ReadMarket, Act::PlaceOrder],
        brings: |account, _| Some(Address::Account(account)),
    },
    Entry {
        name: "review_portfolio",
        title: "Review a portfolio",
        about: "Goes through what an account holds: value, profit, concentration, open orders, and what stands out.",
        takes: &[ACCOUNT],
        text: "Review the paper portfolio of account {account_id}. It is below; read account_info, \
               open_stock_orders and account_activities too.\n\
               1. Equity, cash, buying power, and what open orders have reserved.\n\
               2. Each position: quantity, average cost, value, profit taken and not taken, its share of the equity, \
               and the age and source of its price. A value that is absent has no price: say so, do not guess it.\n\
               3. What stands out: concentration above a quarter of the equity, orders that would oversell or \
               contradict each other, prices that are old.\n\
               4. What you would ask the person about. Change nothing.",
        acts: &[Act::ReadAccount],
        brings: |account, _| Some(Address::Portfolio(account)),
    },
    Entry {
        name: "explain_fill",
        title: "Explain a fill",
        about: "Explains from the log why an order filled, or did not, and at which price.",
        takes: &[("order_id", "The order's id.", true), ACCOUNT],
        text: "Explain to a person what happened to order {order_id} of account {account_id}, from its events below.\n\
               1. What was asked for, and when by the market's clock.\n\
               2. Each fill: quantity, price, fees, and the quote it filled against (bid, ask, sizes, source, time). Say \
               why that price: a market order pays the touch, a resting limit its limit, a marketable limit the touch.\n\
               3. If it did not fill, or not wholly: what is missing, or which rule ended it, with the figures.\n\
               Quote figures as they stand in the events; say which event, by position, shows each.",
        acts: &[Act::ReadAccount],
        brings: |account, given| {
            let order = given.get("order_id")?.parse().ok()?;
            Some(Address::OrderEvents(account, order))
        },
    },
    Entry {
        name: "check_risk",
        title: "Check the risk",
        about: "Goes through what an account may lose: exposure, concentration, greeks, stress, value at risk.",
        takes: &[ACCOUNT],
        text: "Check the risk of paper account {account_id}. Its portfolio is below; read portfolio_risk too.\n\
               1. What is in the market: gross and net exposure, leverage, and the underlying with the largest part.\n\
               2. What moves it: dollar_delta, and with options gamma, vega and theta, in dollars.\n\
               3. What it may lose: the worst cells of the stress grid, value at risk and expected shortfall with their \
               method, confidence, horizon and number of days.\n\
               4. What is absent: read missing, and say what lacks. Never put a number of your own in its place.\n\
               5. What you would ask the person about. Change nothing.",
        acts: &[Act::ReadAccount],
        brings: |account, _| Some(Address::Portfolio(account)),
    },
];

/// The prompts whose tools this visitor may use.
pub fn offered(visitor: &Visitor) -> Vec<Prompt> {
    let argument = |(name, about, required): &(&str, &str, bool)| {
        PromptArgument::new(*name).with_description(*about).with_required(*required)
    };
    let prompt = |entry: &Entry| {
        let takes = entry.takes.iter().map(argument).collect();
        Prompt::new(entry.name, Some(entry.about), Some(takes)).with_title(entry.title)
    };
    let may = |entry: &&Entry| entry.acts.iter().all(|act| visitor.principal.may(*act).is_ok());
    PROMPTS.iter().filter(may).map(prompt).collect()
}

/// The prompt `name`, filled in.
///
/// # Errors
/// There is none, a value is missing, unknown or no short text, or what it is about is not there.
pub async fn get(
    call: Call<'_>,
    name: &str,
    filled: Option<JsonObject>,
) -> Result<GetPromptResult, ErrorData> {
    let entry = PROMPTS.iter().find(|entry| entry.name == name).ok_or_else(|| {
        ErrorData::invalid_params(format!("there is no prompt {name}: ask for prompts/list"), None)
    })?;
    for act in entry.acts {
        let permitted = call.visitor.principal.may(*act);
        permitted.map_err(|denied| ErrorData::invalid_params(denied.to_string(), None))?;
    }
    let mut given = entry.read(filled.unwrap_or_default())?;
    let named = match given.get("account_id") {
        None => None,
        Some(id) => Some(id.parse().map_err(|_| {
            ErrorData::invalid_params(
                "account_id has to be an id as it was answered: see get_all_accounts",
                None,
            )
        })?),
    };
    let (_, account) = call
        .account(named)
        .await
        .map_err(|error| ErrorData::invalid_params(error.to_string(), None))?;
    given.insert("account_id", account.to_string());
    let mut messages = vec![PromptMessage::new_text(Role::User, entry.filled_in(&given))];
    if let Some(address) = (entry.brings)(account, &given) {
        let uri = address.uri();
        let content = resources::read(call.service, call.visitor, &uri).await?;
        let (media_type, content) = (Some(MEDIA_TYPE.to_owned()), Some(content.to_string()));
        let resource =
            PromptMessage::new_resource(Role::User, uri, media_type, content, None, None, None);
        messages.push(resource);
    }
    Ok(GetPromptResult::new(messages).with_description(entry.about))
}

impl Entry {
    fn read(&self, mut filled: JsonObject) -> Result<Given, ErrorData> {
        let mut given = Given::new();
        let mut wrong = Vec::new();
        for (name, _, required) in self.takes {
            match filled.remove(*name) {
                None | Some(Value::Null) if *required => wrong.push(format!("{name} is missing")),
                None | Some(Value::Null) => {}
                Some(Value::String(value)) => match text::fault(name, &value, VALUE_MAX) {
                    None => {
                        given.insert(name, value);
                    }
                    Some(fault) => wrong.push(fault.message),
                },
                Some(_) => wrong.push(format!("{name} has to be text")),
            }
        }
        if !filled.is_empty() {
            let known: Vec<_> = self.takes.iter().map(|(name, ..)| *name).collect();
            wrong.push(format!("{} takes {} and nothing else", self.name, known.join(", ")));
        }
        if wrong.is_empty() {
            Ok(given)
        } else {
            Err(ErrorData::invalid_params(wrong.join("; "), None))
        }
    }

    fn filled_in(&self, given: &Given) -> String {
        let mut text = String::with_capacity(self.text.len());
        let mut rest = self.text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, after) = behind.split_once('}').expect("a brace of ours is closed");
            text.push_str(before);
            text.push_str(given.get(name).map_or("(not said)", String::as_str));
            rest = after;
        }
        text.push_str(rest);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_names_only_what_can_be_filled_in() {
        for entry in PROMPTS {
            let given =
                entry.takes.iter().map(|(name, ..)| (*name, "{filled}".to_owned())).collect();
            let text = entry.filled_in(&given);
            assert!(!text.contains("(not said)"), "{}: {text}", entry.name);
            assert!(text.contains("{filled}"), "what is filled in is not read again: {text}");
        }
    }

    #[test]
    fn values_that_are_missing_unknown_or_no_text_are_all_named() {
        let filled = serde_json::json!({"idea": 5, "size": "1", "account_id": "a\u{202e}b"});
        let error = PROMPTS[0].read(filled.as_object().unwrap().clone()).unwrap_err();
        for word in ["symbol is missing", "idea has to be text", "account_id has", "nothing else"] {
            assert!(error.message.contains(word), "{}", error.message);
        }
    }
}
