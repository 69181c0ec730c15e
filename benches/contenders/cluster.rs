//! The scratch Postgres of a benchmark: durable as in production, one database a run.

use anyhow::Context;
use blotter::database::{Connector, Embedded, ProjectorPool, WriterPool, embedded, migrate};
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, PgPool, Row};

pub struct Cluster {
    embedded: Embedded,
    directory: std::path::PathBuf,
    runs: u32,
}

/// One database.
pub struct Run {
    pub writer: WriterPool,
    pub projector: ProjectorPool,
    pub superuser: PgPool,
    /// How a server of its own reaches it.
    pub url: String,
}

/// What a run cost the disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk {
    pub wal_bytes: i64,
    pub wal_syncs: i64,
}

impl Cluster {
    pub async fn start() -> anyhow::Result<Self> {
        let directory = std::env::temp_dir().join(format!("blotter-bench-{}", std::process::id()));
        let embedded = Embedded::start(embedded::Options::new(&directory)).await?;
        embedded.create_database("bench_template").await?;
        let mut superuser =
            PgConnection::connect_with(&embedded.superuser("bench_template")).await?;
        migrate(&mut superuser).await?;
        superuser.execute(include_str!("plain.sql")).await?;
        superuser.close().await?;
        Ok(Self { embedded, directory, runs: 0 })
    }

    pub async fn settings(&self) -> anyhow::Result<Vec<(String, String)>> {
        let mut superuser =
            PgConnection::connect_with(&self.embedded.superuser("postgres")).await?;
        let mut settings = Vec::new();
        for name in [
            "server_version",
            "fsync",
            "synchronous_commit",
            "wal_compression",
            "shared_buffers",
            "max_wal_size",
        ] {
            let value: String = sqlx::query_scalar("SELECT current_setting($1)")
                .bind(name)
                .fetch_one(&mut superuser)
                .await?;
            settings.push((name.to_owned(), value));
        }
        Ok(settings)
    }

    /// A fresh database; the one before is dropped and the disk is quiet.
    pub async fn fresh(&mut self) -> anyhow::Result<Run> {
        let mut superuser =
            PgConnection::connect_with(&self.embedded.superuser("postgres")).await?;
        if self.runs > 0 {
            let drop = format!("DROP DATABASE run_{} WITH (FORCE)", self.runs);
            superuser.execute(drop.as_str()).await?;
        }
        self.runs += 1;
        let name = format!("run_{}", self.runs);
        superuser
            .execute(format!("CREATE DATABASE {name} TEMPLATE bench_template").as_str())
            .await?;
        superuser.execute("CHECKPOINT").await?;
        let options = self.embedded.superuser(&name);
        let connector = Connector::by_login(options.clone());
        Ok(Run {
            url: options.to_url_lossy().into(),
            writer: connector.writer(),
            projector: connector.projector(),
            superuser: sqlx::postgres::PgPoolOptions::new()
                .max_connections(32)
                .connect_with(options)
                .await?,
        })
    }

    pub async fn stop(self) -> anyhow::Result<()> {
        self.embedded.stop().await?;
        std::fs::remove_dir_all(&self.directory).context("the scratch directory")
    }
}

impl Run {
    pub async fn disk(&self) -> anyhow::Result<Disk> {
        let row =
            sqlx::query("SELECT wal_bytes::bigint AS bytes, wal_sync AS syncs FROM pg_stat_wal")
                .fetch_one(&self.superuser)
                .await?;
        Ok(Disk { wal_bytes: row.try_get("bytes")?, wal_syncs: row.try_get("syncs")? })
    }
}
