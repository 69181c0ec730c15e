//! An order as commands in turn to three plain postgres-es frameworks, with their own event store and tables.

use std::sync::Arc;
use std::time::Duration;

use aggregates::account::{Account, AccountCommand, AccountKind};
use aggregates::money::Money;
use aggregates::order::{Order, OrderCommand};
use aggregates::position::{Position, PositionCommand, Trade};
use aggregates::rules::Rules;
use aggregates::stream::StreamId;
use cqrs_es::persist::PersistedEventStore;
use cqrs_es::{Aggregate, AggregateError, CqrsFramework};
use postgres_es::PostgresEventRepository;
use sqlx::PgPool;

use crate::measure::{Measured, closed_loop};
use crate::scene::{Scene, fresh_command, fresh_order};

type Framework<A> = CqrsFramework<A, PersistedEventStore<PostgresEventRepository, A>>;

struct Frameworks {
    accounts: Framework<Account>,
    orders: Framework<Order>,
    positions: Framework<Position>,
}

fn framework<A: Aggregate<Services = Rules>>(pool: &PgPool) -> Framework<A> {
    let repository =
        PostgresEventRepository::new(pool.clone()).with_tables("plain_events", "plain_snapshots");
    CqrsFramework::new(PersistedEventStore::new_event_store(repository), vec![], Rules::default())
}

/// Sends a command until it does not meet another's: what an application has to do with optimistic locking.
async fn execute<A>(framework: &Framework<A>, id: &str, command: A::Command) -> anyhow::Result<()>
where
    A: Aggregate<Services = Rules>,
    A::Command: Clone,
    A::Error: Send + Sync + 'static,
{
    loop {
        match framework.execute_with_metadata(id, command.clone(), super::metadata()).await {
            Err(AggregateError::AggregateConflict) => {}
            other => return Ok(other?),
        }
    }
}

pub struct PostgresEs(Arc<Frameworks>);

impl PostgresEs {
    pub async fn start(pool: &PgPool, scene: &Scene) -> anyhow::Result<Self> {
        let frameworks = Arc::new(Frameworks {
            accounts: framework(pool),
            orders: framework(pool),
            positions: framework(pool),
        });
        let mut opening = tokio::task::JoinSet::new();
        for account_id in scene.accounts.iter().copied() {
            let (frameworks, open) = (Arc::clone(&frameworks), scene.open(account_id));
            opening.spawn(async move {
                execute(&frameworks.accounts, &account_id.to_string(), open).await
            });
            if opening.len() >= 64 {
                opening.join_next().await.transpose()?.transpose()?;
            }
        }
        while let Some(opened) = opening.join_next().await {
            opened??;
        }
        Ok(Self(frameworks))
    }

    /// W1: one event to a new stream.
    pub async fn w1(&self, clients: usize, time: Duration) -> anyhow::Result<Measured> {
        let frameworks = Arc::clone(&self.0);
        closed_loop(clients, time, move |_| {
            let frameworks = Arc::clone(&frameworks);
            async move {
                let account_id = aggregates::id::AccountId::new(uuid::Uuid::now_v7());
                let open = AccountCommand::Open {
                    account_id,
                    kind: AccountKind::Cash,
                    option_level: 0,
                    name_digest: String::new(),
                    starting_balance: Money::ZERO,
                    deposit_id: fresh_command(),
                    at: None,
                };
                execute(&frameworks.accounts, &account_id.to_string(), open).await
            }
        })
        .await
    }

    /// W3 in five commands, W3r in two.
    pub async fn orders(
        &self,
        scene: &Arc<Scene>,
        clients: usize,
        time: Duration,
        fills: bool,
    ) -> anyhow::Result<Measured> {
        let (frameworks, scene) = (Arc::clone(&self.0), Arc::clone(scene));
        closed_loop(clients, time, move |n| {
            let (frameworks, scene) = (Arc::clone(&frameworks), Arc::clone(&scene));
            async move { order(&frameworks, &scene, n, fills).await }
        })
        .await
    }
}

async fn order(
    frameworks: &Frameworks,
    scene: &Scene,
    n: usize,
    fills: bool,
) -> anyhow::Result<()> {
    let (order_id, account_id) = (fresh_order(), scene.account(n));
    let (order, account) = (order_id.to_string(), account_id.to_string());
    let spec = scene.order(account_id);
    let (symbol, amount) = (spec.symbol.clone(), Money::of_fill(spec.qty, scene.price)?);
    let market = scene.market();
    let place = OrderCommand::Place {
        spec,
        held: false,
        reserve_price: Some(scene.price),
        reference: market.reference,
        expires_at: Some(market.session_close),
        tape_place: 0,
        at: scene.at,
    };
    execute(&frameworks.orders, &order, place).await?;
    execute(
        &frameworks.accounts,
        &account,
        AccountCommand::Reserve {
            order_id,
            amount,
            margin: None,
            collateral: Money::ZERO,
            of_options: false,
        },
    )
    .await?;
    if !fills {
        return Ok(());
    }
    let fill_id = Scene::fill_id(order_id);
    let execution = scene.execution();
    let (qty, price) = (execution.qty, execution.price);
    execute(
        &frameworks.orders,
        &order,
        OrderCommand::Fill { fill_id, execution, most: None, at: scene.at },
    )
    .await?;
    let (fees, keep) = (Money::ZERO, Money::ZERO);
    let settle = AccountCommand::Settle {
        order_id,
        fill_id,
        amount: amount.negated(),
        fees,
        keep,
        opening: None,
    };
    execute(&frameworks.accounts, &account, settle).await?;
    let trade = Trade {
        account_id,
        instrument_id: scene.instrument,
        symbol,
        contract: None,
        fill_id,
        order_id,
        side: aggregates::order::Side::Buy,
        qty,
        price,
        amount,
        cuts: Vec::new(),
        at: scene.at,
    };
    let position = StreamId::Position(account_id, scene.instrument).aggregate_id();
    execute(&frameworks.positions, &position, PositionCommand::Trade(trade)).await
}
