//! Tells subscribers that a resource reads differently than before.
//!
//! A resource is updated when reading it again gives something else, its position in the log aside. A subscription
//! reads its resources again when the views have moved and once a second for what depends on a price, but at most
//! once every [`PAUSE`]. It costs [`URIS_MAX`] reads a pause at the most, and there are [`STREAMS_MAX`] of them.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rmcp::ErrorData;
use rmcp::service::{SubscriptionContext, SubscriptionSink};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::resources::Address;
use crate::service::{Service, Visitor};

/// Resources of one subscription at the most.
pub const URIS_MAX: usize = 16;
/// Subscriptions at the same time, of all callers.
pub const STREAMS_MAX: usize = 64;
/// The shortest time between two looks.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest: prices move without an event of an account.
const BEAT: Duration = Duration::from_secs(1);

/// Those of `uris` that can be followed, [`URIS_MAX`] at the most.
pub fn followed(uris: &[String]) -> Vec<String> {
    uris.iter().filter(|uri| Address::parse(uri).is_some()).take(URIS_MAX).cloned().collect()
}

/// Follows the accepted resources of a subscription until it is cancelled, or until the server is asked to `stop`, or
/// until none is left: its client is told then that it has ended. A resource that its reader may not read any more is
/// told to read differently, once: reading it says that there is no such thing.
///
/// # Errors
/// Its client is gone.
pub async fn follow(
    service: &Service,
    visitor: &Visitor,
    subscription: &SubscriptionContext,
    stop: &CancellationToken,
) -> Result<(), ErrorData> {
    let uris = subscription.accepted().resource_subscriptions.as_deref().unwrap_or_default();
    let mut seen: Vec<_> = followed(uris)
        .into_iter()
        .filter_map(|uri| Some((Address::parse(&uri)?, uri, None)))
        .collect();
    let mut over = FuturesUnordered::new();
    for (address, uri, _) in &seen {
        let uri = uri.clone();
        // What the reader may not read from the beginning is never told about.
        if let Ok(caller) = address.caller(service, visitor).await {
            over.push(async move {
                service.over(visitor, &caller).await;
                uri
            });
        }
    }
    let watch = async {
        let mut position = 0;
        loop {
            tell(service, visitor, subscription.sink(), &mut seen).await?;
            let moved =
                async { tokio::join!(service.moved(position, BEAT), tokio::time::sleep(PAUSE)).0 };
            tokio::select! {
                biased;
                Some(uri) = over.next() => {
                    seen.retain(|(_, followed, _)| *followed != uri);
                    notify(subscription.sink(), &uri).await?;
                    if seen.is_empty() {
                        return Ok(());
                    }
                }
                moved = moved => position = moved,
            }
        }
    };
    tokio::select! {
        biased;
        () = subscription.cancelled() => Ok(()),
        () = stop.cancelled() => Ok(()),
        ended = watch => ended,
    }
}

/// What one resource was when it was last looked at; nothing before the first look.
type Seen = (Address, String, Option<[u8; 32]>);

async fn tell(
    service: &Service,
    visitor: &Visitor,
    sink: &SubscriptionSink,
    seen: &mut [Seen],
) -> Result<(), ErrorData> {
    for (address, uri, before) in seen {
        // What the caller may not read, or cannot be read now, is not told about.
        let Ok(content) = address.read(service, visitor).await else { continue };
        let now = Some(digest(content));
        let changed = before.is_some() && *before != now;
        *before = now;
        if changed {
            notify(sink, uri).await?;
        }
    }
    Ok(())
}

async fn notify(sink: &SubscriptionSink, uri: &str) -> Result<(), ErrorData> {
    let told = sink.notify_resource_updated(uri).await;
    told.map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

/// The digest of what a resource says, wherever the log and the clock have come to meanwhile: greeks follow from prices,
/// which are told too, and from the time.
fn digest(mut content: Value) -> [u8; 32] {
    forget_place(&mut content);
    Sha256::digest(content.to_string()).into()
}

fn forget_place(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.remove("position");
            object.remove("market_time");
            object.remove("greeks");
            object.values_mut().for_each(forget_place);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_place),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_resource_that_says_the_same_at_a_later_position_has_not_changed() {
        let at = |position, cash| {
            digest(json!({"items": [{"cash": cash, "position": position}], "position": position}))
        };
        assert_eq!(at(1, "10"), at(2, "10"));
        assert_ne!(at(1, "10"), at(1, "11"));
        let passing = |theta| digest(json!({"cash": "10", "greeks": {"theta": theta}}));
        assert_eq!(passing("-1.20"), passing("-1.21"));
    }
}
