//! The ceiling: the rows that ours wrote, into a copy of the same table, by COPY and by `unnest`, at the size of
//! batch that ours formed; and the same rows as one plain transaction an order.

use std::time::{Duration, Instant};

use aggregates::id::AccountId;
use projections::log::Recorded;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::measure::{Measured, closed_loop};

const UNNEST: &str = "INSERT INTO bulk_events (aggregate_type, aggregate_id, sequence, event_type, event_version,
        payload, metadata, shard, position, tenant_id, account_id, recorded_at, salt, leaf)
    SELECT a, b, c, d, e, f::json, g::json, 0, h, i, j, k, l, m
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[],
        $9::uuid[], $10::uuid[], $11::timestamptz[], $12::bytea[], $13::bytea[])
        AS t (a, b, c, d, e, f, g, h, i, j, k, l, m)";

const COPY: &str = "COPY bulk_events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload,
    metadata, shard, position, tenant_id, account_id, recorded_at, salt, leaf) FROM STDIN (FORMAT binary)";

const INSERT: &str = "INSERT INTO plain_events
    (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
    VALUES ($1, $2, $3, $4, $5, $6::json, $7::json)";

/// Appends batch after batch by `unnest` until they are used up.
pub async fn unnest(
    connection: &mut PgConnection,
    batches: &[&[Recorded]],
) -> anyhow::Result<Duration> {
    let began = Instant::now();
    for rows in batches {
        sqlx::query(UNNEST)
            .bind(rows.iter().map(|row| row.stream.aggregate_type()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.stream.aggregate_id()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.sequence.cast_signed()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.event_type.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.event_version.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.payload.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.metadata.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.position.cast_signed()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.tenant_id.uuid()).collect::<Vec<_>>())
            .bind(
                rows.iter()
                    .map(|row| row.account_id.map(AccountId::uuid))
                    .collect::<Vec<Option<Uuid>>>(),
            )
            .bind(rows.iter().map(|row| row.recorded_at).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| &row.salt[..]).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| &row.leaf[..]).collect::<Vec<_>>())
            .execute(&mut *connection)
            .await?;
    }
    Ok(began.elapsed())
}

/// Appends batch after batch by binary COPY until they are used up.
pub async fn copy(
    connection: &mut PgConnection,
    batches: &[&[Recorded]],
) -> anyhow::Result<Duration> {
    let began = Instant::now();
    for rows in batches {
        let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        for row in *rows {
            encode(&mut bytes, row);
        }
        bytes.extend((-1_i16).to_be_bytes());
        let mut copy = connection.copy_in_raw(COPY).await?;
        copy.send(bytes).await?;
        copy.finish().await?;
    }
    Ok(began.elapsed())
}

/// One row in Postgres's binary COPY format.
fn encode(bytes: &mut Vec<u8>, row: &Recorded) {
    bytes.extend(14_i16.to_be_bytes());
    let mut field = |value: Option<&[u8]>| match value {
        None => bytes.extend((-1_i32).to_be_bytes()),
        Some(value) => {
            bytes.extend(i32::try_from(value.len()).expect("fields are short").to_be_bytes());
            bytes.extend(value);
        }
    };
    let id = row.stream.aggregate_id();
    let micros = row.recorded_at.timestamp_micros() - 946_684_800_000_000;
    let columns: [Option<Vec<u8>>; 14] = [
        Some(row.stream.aggregate_type().into()),
        Some(id.into_bytes()),
        Some(row.sequence.to_be_bytes().into()),
        Some(row.event_type.clone().into_bytes()),
        Some(row.event_version.clone().into_bytes()),
        Some(row.payload.clone().into_bytes()),
        Some(row.metadata.clone().into_bytes()),
        Some(0_i16.to_be_bytes().into()),
        Some(row.position.to_be_bytes().into()),
        Some(row.tenant_id.uuid().as_bytes().to_vec()),
        row.account_id.map(|id| id.uuid().as_bytes().to_vec()),
        Some(micros.to_be_bytes().into()),
        Some(row.salt.to_vec()),
        Some(row.leaf.to_vec()),
    ];
    for column in &columns {
        field(column.as_deref());
    }
}

/// One transaction an order: its rows one by one, between BEGIN and COMMIT.
pub async fn transactions(
    pool: &PgPool,
    orders: Vec<Vec<Recorded>>,
    clients: usize,
    time: Duration,
) -> anyhow::Result<Measured> {
    let (pool, count) = (pool.clone(), orders.len());
    let orders = std::sync::Arc::new(orders);
    let measured = closed_loop(clients, time, move |n| {
        let (pool, orders) = (pool.clone(), std::sync::Arc::clone(&orders));
        async move {
            let turn = n / count;
            let mut transaction = pool.begin().await?;
            for row in &orders[n % count] {
                // Later turns need streams of their own.
                let id = if turn == 0 {
                    row.stream.aggregate_id()
                } else {
                    format!("{turn}{}", row.stream.aggregate_id())
                };
                sqlx::query(INSERT)
                    .bind(row.stream.aggregate_type())
                    .bind(id)
                    .bind(row.sequence.cast_signed())
                    .bind(&row.event_type)
                    .bind(&row.event_version)
                    .bind(&row.payload)
                    .bind(&row.metadata)
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
            Ok(())
        }
    })
    .await?;
    Ok(measured)
}
