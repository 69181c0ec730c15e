//! `blotter projections` and `blotter events`: what an operator does beside the running server.

use std::io::Write;

use anyhow::Context;
use blotter::config::DatabaseSettings;
use blotter::database::Visit;
use clap::{Args, Subcommand};
use projections::Group;

/// What can be done with the views.
#[derive(Debug, Subcommand)]
pub enum ProjectionsCommand {
    /// Fold the log into the views anew, beside those that are read, and switch; the server may be running or not
    Rebuild(Rebuild),
}

/// What to rebuild.
#[derive(Args, Debug)]
pub struct Rebuild {
    /// Where the database is
    #[command(flatten)]
    database: DatabaseSettings,
    /// The group of views [default: all of them, one after the other]
    name: Option<String>,
}

/// What can be asked of the events.
#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// Print the JSON Schema of every event, by aggregate
    Schema,
}

/// Rebuilds views, and says what it does as it goes.
pub async fn projections(command: ProjectionsCommand) -> anyhow::Result<()> {
    let ProjectionsCommand::Rebuild(Rebuild { database, name }) = command;
    let groups = match &name {
        None => Group::ALL.to_vec(),
        Some(name) => vec![Group::by_name(name)?],
    };
    let visit = Visit::open(database.existing()?).await?;
    let pool = visit.projector();
    let mut rebuilt = Ok(());
    for group in groups {
        let began = std::time::Instant::now();
        let mut connection = pool.pool().acquire().await?;
        rebuilt = projections::rebuild::run(&mut connection, group).await;
        if rebuilt.is_err() {
            break;
        }
        println!("{:<10} rebuilt in {:.1} s", group.name(), began.elapsed().as_secs_f32());
    }
    pool.pool().close().await;
    visit.close().await?;
    Ok(rebuilt?)
}

/// Prints what was asked of the events.
pub fn events(command: &EventsCommand) -> anyhow::Result<()> {
    let EventsCommand::Schema = command;
    let schemas: serde_json::Map<String, serde_json::Value> = aggregates::stream::Event::schemas()
        .into_iter()
        .map(|(aggregate, schema)| (aggregate.to_owned(), schema.into()))
        .collect();
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &schemas)?;
    writeln!(out).context("standard output")
}
