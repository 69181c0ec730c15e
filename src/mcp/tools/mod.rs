//! The table of tools. A tool is one [`Entry`]: what it is called, what it does to the world, what it takes and
//! answers, and the function that runs it. To add one, add its entry to the file of its group; everything else (the
//! list, the schemas, the hints, `list_tools`, the tests that walk the table) follows from it.
//!
//! Everything that a client sees of the table is constant; a test pins it as `docs/mcp-tools.json`.

mod account;
mod audit;
mod exercise;
mod families;
mod fields;
mod kinds;
mod management;
mod market;
mod option_orders;
mod option_positions;
mod options;
mod orders;
mod portfolio;
mod risk;
mod system;

use std::sync::{Arc, LazyLock};

use aggregates::id::AccountId;
use aggregates::refusal::{Refusal, RefusalCode};
use futures::future::BoxFuture;
use rmcp::model::{CallToolResult, JsonObject, Tool, ToolAnnotations};
use tokio_util::sync::CancellationToken;

use super::arguments::Arguments;
use super::reading::Inexact;
use super::results;
use super::schema::{self, Field};
use super::shelf::{Shelf, Toolset};
use crate::identity::Act;
use crate::service::{Caller, Fault, PageRequest, Service, ServiceError, Visitor};

/// Accounts that are named to a caller who has to choose.
const ACCOUNTS_NAMED: u64 = 20;

/// What a tool does to the world, as hints to hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Changes nothing.
    Reads,
    /// Adds an order.
    Places,
    /// Ends what is there; again it changes nothing more.
    Ends,
}

/// One tool.
pub struct Entry {
    /// What it is called.
    pub name: &'static str,
    /// What people read.
    pub title: &'static str,
    /// The group that it is wanted with.
    pub toolset: Toolset,
    /// What it does to the world.
    pub effect: Effect,
    /// What its caller does by it: who may not is not offered it.
    pub act: Act,
    /// What it does, in which units, with which defaults, an example, and what to do on an error.
    pub about: &'static str,
    /// Its arguments.
    pub takes: &'static [Field],
    /// What it answers.
    pub answers: &'static [Field],
    /// Runs it.
    pub run: Run,
}

/// Runs a tool.
pub type Run = for<'a> fn(Call<'a>, Arguments) -> BoxFuture<'a, Answered>;
/// What a tool answers.
pub type Answered = Result<CallToolResult, ServiceError>;

/// On whose behalf a tool runs.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The use cases.
    pub service: &'a Service,
    /// Who calls.
    pub visitor: &'a Visitor,
    /// What the call does.
    pub act: Act,
    /// What is on offer to this request.
    pub shelf: &'a Shelf,
    /// Which arguments are not as they were sent.
    pub inexact: &'a Inexact,
    /// Cancelled when nobody waits for the answer any more.
    pub gone: &'a CancellationToken,
    /// Cancelled when the server was asked to stop: nothing waits for the market any more.
    pub stop: &'a CancellationToken,
}

/// The tools, group by group, in the order in which they are listed.
const GROUPS: &[&[Entry]] = &[
    system::TOOLS,
    account::TOOLS,
    portfolio::TOOLS,
    orders::TOOLS,
    option_orders::TOOLS,
    exercise::TOOLS,
    risk::TOOLS,
    management::TOOLS,
    market::TOOLS,
    options::TOOLS,
    option_positions::TOOLS,
    audit::TOOLS,
];

/// Each tool as clients see it, beside its entry.
static CATALOG: LazyLock<Vec<(&'static Entry, Tool)>> =
    LazyLock::new(|| entries().map(|entry| (entry, entry.tool())).collect());

/// Every tool.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    GROUPS.iter().copied().flatten()
}

/// The tool called `name` as clients see it.
pub fn by_name(name: &str) -> Option<Tool> {
    CATALOG.iter().find(|(entry, _)| entry.name == name).map(|(_, tool)| tool.clone())
}

/// The tools that are on offer to this visitor.
pub fn offered(shelf: &Shelf, visitor: &Visitor) -> Vec<Tool> {
    let offered = CATALOG.iter().filter(|(entry, _)| entry.is_offered(shelf, visitor));
    offered.map(|(_, tool)| tool.clone()).collect()
}

/// Runs the tool `name`; `None` if there is none. One that only reads ends when what its caller showed is void.
pub async fn run(call: Call<'_>, name: &str, sent: JsonObject) -> Option<CallToolResult> {
    let entry = entries().find(|entry| entry.name == name)?;
    if !entry.is_on(call.shelf) {
        return Some(results::not_offered(name));
    }
    if let Err(denied) = call.visitor.principal.may(entry.act) {
        return Some(results::refused(&denied.into()));
    }
    let call = Call { act: entry.act, ..call };
    let takes = entry.takes.iter().map(|field| field.name).collect();
    let running = (entry.run)(call, Arguments::new(sent, call.inexact.clone(), takes));
    let answered = if entry.effect == Effect::Reads {
        tokio::select! {
            biased;
            () = call.gone.cancelled() => return Some(results::cancelled()),
            () = call.service.void(call.visitor) => return Some(results::cancelled()),
            answered = running => answered,
        }
    } else {
        // What writes is carried out to its end, whoever reads the answer.
        running.await
    };
    if let Ok(answer) = &answered {
        debug_assert_eq!(entry.missing_in(answer), None, "{name} answers what it always does");
    }
    Some(answered.unwrap_or_else(|error| results::refused(&error)))
}

impl Entry {
    /// Whether it is of the toolsets that are on offer.
    fn is_on(&self, shelf: &Shelf) -> bool {
        shelf.offers(self.toolset, self.effect == Effect::Reads)
    }

    /// Whether it is on offer, and the visitor may use it.
    fn is_offered(&self, shelf: &Shelf, visitor: &Visitor) -> bool {
        self.is_on(shelf) && visitor.principal.may(self.act).is_ok()
    }

    /// A field that every answer has and this one lacks.
    fn missing_in(&self, answer: &CallToolResult) -> Option<String> {
        let answer = answer.structured_content.as_ref()?;
        self.answers.iter().find_map(|field| field.missing_in(answer))
    }

    fn tool(&self) -> Tool {
        let (reads, ends) = (self.effect == Effect::Reads, self.effect == Effect::Ends);
        let hints = ToolAnnotations::default()
            .read_only(reads)
            .destructive(ends)
            .idempotent(reads || ends)
            .open_world(false);
        Tool::new(self.name, self.about, Arc::new(schema::arguments(self.takes)))
            .with_title(self.title)
            .with_raw_output_schema(Arc::new(schema::object(self.answers)))
            .with_annotations(hints)
    }
}

impl Call<'_> {
    /// The caller, permitted to do what the call does on the account that it is about: the one it names, or the only
    /// one that it may be about.
    ///
    /// # Errors
    /// There is none, there are several, or this may not be done on it.
    pub async fn account(
        &self,
        named: Option<AccountId>,
    ) -> Result<(Caller, AccountId), ServiceError> {
        let account = match named {
            Some(account) => account,
            None => self.only_account().await?,
        };
        Ok((self.caller(Some(account)).await?, account))
    }

    /// The caller, permitted to do what the call does, on `account` if it is about one.
    ///
    /// # Errors
    /// It may not be done.
    pub async fn caller(&self, account: Option<AccountId>) -> Result<Caller, ServiceError> {
        self.service.permit(self.visitor, self.act, account).await
    }

    /// The account that a call is about which names none: the only one of the caller's own, or of those that its token
    /// names. One that somebody else granted is about no call that does not name it.
    async fn only_account(&self) -> Result<AccountId, ServiceError> {
        let named = self.visitor.principal.only_account();
        if let Ok(Some(only)) = named {
            return Ok(only);
        }
        let page = PageRequest { limit: Some(ACCOUNTS_NAMED), cursor: None };
        let caller = self.caller(None).await?;
        // One that was opened just now counts too: nothing may be done in another one for it.
        let fresh = self.service.fresh_after(&caller, 0).await?;
        let page = self.service.accounts(&caller, &page, fresh).await?;
        // Those that a token names are listed by their ids, one's own not before the others.
        let whole = named.is_ok() || page.next_cursor.is_none();
        let (granted, own): (Vec<_>, Vec<_>) =
            page.items.into_iter().partition(|account| account.granted);
        let why = match (own.as_slice(), granted.as_slice()) {
            ([only], _) if whole => return Ok(only.account_id),
            ([], []) => {
                let message = "you have no account yet: open one by POST /v1/accounts over REST, or accept a role on \
                    one that somebody offers you";
                return Err(Refusal::new(RefusalCode::AccountNotFound, message).into());
            }
            ([], _) => "you have no account of your own, name one as account_id",
            _ => "there are several accounts, name one as account_id",
        };
        let own = own.iter().map(|account| {
            format!("{} ({})", account.account_id, account.name.as_deref().unwrap_or("unnamed"))
        });
        // What others call their accounts is no part of a sentence that is said to an agent.
        let granted =
            granted.iter().map(|it| format!("{} (granted, {})", it.account_id, it.access));
        let accounts: Vec<_> = own.chain(granted).collect();
        let message = format!("{why}: {}", accounts.join(", "));
        Err(ServiceError::Invalid(vec![Fault::new("account_id", "missing_field", message)]))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// Walks a schema and collects what hosts trip over.
    fn faults(schema: &Value, at: &str, found: &mut Vec<String>) {
        let Value::Object(object) = schema else { return };
        for key in ["$ref", "$defs", "anyOf", "oneOf", "allOf", "format", "if"] {
            if object.contains_key(key) {
                found.push(format!("{at} has {key}"));
            }
        }
        if object.get("type").is_some_and(Value::is_array) {
            found.push(format!("{at} has a list of types"));
        }
        for (name, value) in object {
            faults(value, &format!("{at}/{name}"), found);
        }
    }

    #[test]
    fn every_schema_is_portable_and_every_tool_has_all_four_hints() {
        for (entry, tool) in CATALOG.iter() {
            let (input, output) =
                (Value::Object((*tool.input_schema).clone()), tool.output_schema.clone().unwrap());
            let mut found = Vec::new();
            faults(&input, &tool.name, &mut found);
            faults(&Value::Object((*output).clone()), &tool.name, &mut found);
            assert!(found.is_empty(), "{found:?}");
            assert_eq!(input["type"], "object");
            assert_eq!(input["additionalProperties"], false);
            let described = input["properties"].as_object().unwrap().values();
            assert!(described.into_iter().all(|field| field["description"].is_string()));
            let hints = tool.annotations.as_ref().unwrap();
            let all = [
                hints.read_only_hint,
                hints.destructive_hint,
                hints.idempotent_hint,
                hints.open_world_hint,
            ];
            assert!(all.iter().all(Option::is_some), "{}", tool.name);
            assert!(entry.about.contains("Example: {"), "{}", tool.name);
        }
    }

    #[test]
    fn the_example_in_a_description_names_arguments_that_the_tool_takes() {
        for entry in entries() {
            let (_, behind) = entry.about.split_once("Example: ").unwrap();
            let example =
                serde_json::Deserializer::from_str(behind).into_iter::<JsonObject>().next();
            let example =
                example.unwrap().unwrap_or_else(|error| panic!("{}: {error}", entry.name));
            let known: BTreeSet<_> = entry.takes.iter().map(|field| field.name).collect();
            assert!(example.keys().all(|name| known.contains(name.as_str())), "{}", entry.name);
        }
    }

    #[test]
    fn a_tool_that_offers_gtd_takes_when_that_ends() {
        let mut offering = 0;
        for (_, tool) in CATALOG.iter() {
            let input = Value::Object((*tool.input_schema).clone());
            let times = input["properties"]["time_in_force"]["enum"].as_array();
            if times.is_some_and(|times| times.iter().any(|time| time == "gtd")) {
                offering += 1;
                assert!(input["properties"]["expires_at"].is_object(), "{}", tool.name);
            }
        }
        assert!(offering > 0);
    }

    /// All of it is read by every client at every connection, and much of it by a model.
    #[test]
    fn the_list_of_tools_is_short() {
        let (mut list, mut read_by_models) = (0, 0);
        for (_, tool) in CATALOG.iter() {
            list += serde_json::to_string(tool).unwrap().len() + 1;
            let input = serde_json::to_string(&tool.input_schema).unwrap();
            read_by_models +=
                tool.name.len() + tool.description.as_ref().unwrap().len() + input.len();
        }
        let each = |bytes: usize| bytes / CATALOG.len();
        assert!(each(list) <= 1_240 && each(read_by_models) <= 780, "{list} {read_by_models}");
    }

    #[test]
    fn no_two_tools_share_a_name_and_every_toolset_has_one() {
        let names: BTreeSet<_> = entries().map(|entry| entry.name).collect();
        assert_eq!(names.len(), entries().count());
        for toolset in Toolset::ALL {
            assert!(entries().any(|entry| entry.toolset == *toolset), "{}", toolset.word());
        }
    }

    #[test]
    fn the_list_of_tools_is_what_agents_know() {
        let tools: Vec<_> = CATALOG.iter().map(|(_, tool)| tool).collect();
        let list = serde_json::to_string_pretty(&tools).unwrap();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/mcp-tools.json");
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            std::fs::write(path, format!("{list}\n")).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(path).unwrap().trim_end(),
            list,
            "UPDATE_GENERATED=1 writes it anew"
        );
    }
}
