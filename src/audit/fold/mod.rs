//! The events folded a second time, for checking alone.
//!
//! This shares no code with the aggregates and projections that it checks: payloads are read as plain JSON, amounts are
//! whole billionths. A state that breaks a rule is reported at the position of the event, and the fold goes on with
//! what the event says. Memory is linear in the streams (some 1 KiB an order), not in the events.

mod account;
mod act;
mod adjusted;
pub(super) mod amount;
mod cash;
mod ending;
mod evidence;
mod family;
pub(super) mod fields;
mod instrument;
mod losses;
mod margin;
mod options;
mod order;
mod position;
mod requirement;
mod user;

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;
use uuid::Uuid;

use super::report::{Code, Findings, listed};
use super::row::Content;
use act::Act;
use fields::{Fault, Fields};

pub(super) use account::{Account, Grant};
pub(super) use instrument::{Action, Expired, Instrument};
pub(super) use losses::Losses;
pub(super) use options::Leg;
pub(super) use order::Order;
pub(super) use position::Holding;
pub(super) use user::User;

/// All aggregates at a position.
#[derive(Debug, Default)]
pub(super) struct Streams {
    pub(super) accounts: BTreeMap<Uuid, Account>,
    pub(super) orders: BTreeMap<Uuid, Order>,
    pub(super) positions: BTreeMap<(Uuid, Uuid), Holding>,
    pub(super) instruments: BTreeMap<Uuid, Instrument>,
    /// The orders that were placed with another one, by that one.
    pub(super) families: BTreeMap<Uuid, Vec<Uuid>>,
    pub(super) users: BTreeMap<Uuid, User>,
    pub(super) writer: Writer,
    /// The tenant, the number of events and the position of the last one, by stream.
    pub(super) stamps: BTreeMap<Stream, Stamp>,
}

/// Who writes the shard.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) shard: u16,
    pub(super) epoch: u64,
    pub(super) public_key: String,
}

/// A stream by its ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stream {
    Account(Uuid),
    Order(Uuid),
    Position(Uuid, Uuid),
    Instrument(Uuid),
    User(Uuid),
    Writer,
}

/// What the rows of a stream say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub(super) tenant: Uuid,
    pub(super) sequence: u64,
    pub(super) position: u64,
}

/// The fold and the command under way.
#[derive(Debug, Default)]
pub(super) struct Fold {
    pub(super) streams: Streams,
    act: Act,
    client_ids: HashSet<(Uuid, String)>,
}

impl Fold {
    /// Takes the next row.
    pub(super) fn row(&mut self, position: u64, content: &Content, findings: &mut Findings) {
        let metadata: Value = serde_json::from_str(&content.metadata).unwrap_or_default();
        let command = metadata["command"].as_str().unwrap_or_default();
        if command != self.act.command {
            self.close_command(findings);
            command.clone_into(&mut self.act.command);
        }
        self.act.position = position;
        self.act.account = content.account_id;
        if let Err(fault) = self.apply(position, content, findings) {
            let message = format!("{} {}: {fault}", content.aggregate_type, content.event_type);
            findings.report(position, Code::Payload, message);
        }
    }

    /// Checks the command that is over.
    pub(super) fn close_command(&mut self, findings: &mut Findings) {
        let act = std::mem::take(&mut self.act);
        let position = act.position;
        if let Err(fault) = act.close(&self.streams, findings) {
            findings.report(position, Code::Payload, fault);
        }
    }

    fn apply(
        &mut self,
        position: u64,
        content: &Content,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        let payload: Value =
            serde_json::from_str(&content.payload).map_err(|error| error.to_string())?;
        let event_type = content.event_type.as_str();
        let body = Fields::of_event(&payload, event_type)?;
        if !matches!(
            &*content.event_version,
            "1.0" | "1.1" | "1.2" | "1.3" | "1.4" | "1.5" | "1.6" | "1.7"
        ) {
            return Err(format!("version {} is not known", content.event_version));
        }
        let stream = stream(content)?;
        self.stamp(stream, position, content, findings);
        let (streams, act) = (&mut self.streams, &mut self.act);
        match stream {
            Stream::Account(id) => {
                margin::check(streams, id, event_type, body, act, findings)?;
                losses::check(streams, id, event_type, body, position, findings)?;
                let account = streams.accounts.entry(id).or_default();
                if content.sequence == 1 {
                    account.opened_at = content.recorded_at;
                    account.opened_position = position;
                }
                account.apply(event_type, body, act, findings)?;
            }
            Stream::Order(id) => {
                let order = streams.orders.entry(id).or_default();
                order.apply(id, event_type, body, act, findings)?;
                let account = order.account;
                if let Some(parent) = order.parent.filter(|_| content.sequence == 1) {
                    streams.families.entry(parent).or_default().push(id);
                }
                let order = &streams.orders[&id];
                if content.sequence == 1 {
                    let name = (account, order.client_order_id.clone());
                    findings.expect(
                        self.client_ids.insert(name),
                        position,
                        Code::Idempotency,
                        || format!("client_order_id {} was used before", order.client_order_id),
                    );
                }
                owner(content, account, position, findings);
            }
            Stream::Position(account, instrument) => {
                let actions = streams.instruments.get(&instrument);
                let holding = streams.positions.entry((account, instrument)).or_default();
                let due = holding.apply(
                    (account, instrument),
                    event_type,
                    body,
                    actions,
                    act,
                    findings,
                )?;
                if !due.is_zero() {
                    streams.accounts.entry(account).or_default().dividends_due += due;
                }
            }
            Stream::Instrument(id) => {
                streams
                    .instruments
                    .entry(id)
                    .or_default()
                    .apply(event_type, body, position, findings)?;
                if event_type == "SplitCompleted" {
                    adjusted::all_followed(
                        streams,
                        id,
                        body.text("action_id")?,
                        position,
                        findings,
                    );
                }
            }
            Stream::User(id) => {
                let user = streams.users.entry(id).or_default();
                user.apply(id, event_type, body, position, findings)?;
            }
            Stream::Writer => {
                streams.writer.shard = content.shard;
                streams.writer.epoch = body.whole("epoch")?;
                body.text("key_name")?;
                body.text("public_key")?.clone_into(&mut streams.writer.public_key);
            }
        }
        Ok(())
    }

    fn stamp(&mut self, stream: Stream, position: u64, content: &Content, findings: &mut Findings) {
        let fresh = Stamp { tenant: content.tenant_id, sequence: 0, position };
        let stamp = self.streams.stamps.entry(stream).or_insert(fresh);
        findings.expect(stamp.tenant == content.tenant_id, position, Code::Owner, || {
            format!(
                "the stream belongs to tenant {}, the row to {}",
                stamp.tenant, content.tenant_id
            )
        });
        stamp.sequence = content.sequence;
        stamp.position = position;
        let account = match stream {
            Stream::Account(id) | Stream::Position(id, _) => Some(id),
            Stream::Order(_) => return,
            Stream::Instrument(_) | Stream::User(_) | Stream::Writer => None,
        };
        findings.expect(content.account_id == account, position, Code::Owner, || {
            "the row is not of the account that its stream is of".into()
        });
        if let (Stream::Position(id, _), tenant) = (stream, content.tenant_id) {
            let of_account = self.streams.stamps.get(&Stream::Account(id));
            findings.expect(
                of_account.is_none_or(|stamp| stamp.tenant == tenant),
                position,
                Code::Owner,
                || "the position belongs to another tenant than its account".into(),
            );
        }
    }
}

fn owner(content: &Content, account: Uuid, position: u64, findings: &mut Findings) {
    findings.expect(content.account_id == Some(account), position, Code::Owner, || {
        format!("the order is of account {account}, the row of {}", listed(content.account_id))
    });
}

/// The stream that a row is of.
pub(super) fn stream(content: &Content) -> Result<Stream, Fault> {
    named(content.shard, &content.aggregate_type, &content.aggregate_id)
}

/// The stream of this name in a shard.
pub(super) fn named(shard: u16, kind: &str, id: &str) -> Result<Stream, Fault> {
    let uuid = |text: &str| text.parse::<Uuid>().map_err(|_| format!("no stream is named {id}"));
    Ok(match kind {
        "account" => Stream::Account(uuid(id)?),
        "order" => Stream::Order(uuid(id)?),
        "instrument" => Stream::Instrument(uuid(id)?),
        "user" => Stream::User(uuid(id)?),
        "position" => {
            let (account, instrument) =
                id.split_once('/').ok_or_else(|| format!("no stream is named {id}"))?;
            Stream::Position(uuid(account)?, uuid(instrument)?)
        }
        "writer" if id == shard.to_string() => Stream::Writer,
        other => return Err(format!("no stream is named {other} {id}")),
    })
}
