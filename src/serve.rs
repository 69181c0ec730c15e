//! `blotter serve`: puts the parts together, runs them, and takes them down in the opposite order.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::middleware::from_fn_with_state;
use blotter::audit::{self, Checkpointer, ProcessKey};
use blotter::config::{self, Hours, Market, Record, ServerSettings};
use blotter::database::{AuditorPool, Database, Source, embedded};
use blotter::engine::core::Settings;
use blotter::engine::player::{Player, player};
use blotter::engine::{self, Engine, PostgresHistory, TapeArchive, Works};
use blotter::identity::facts::Facts;
use blotter::identity::grants::Grants;
use blotter::identity::tokens::Tokens;
use blotter::identity::usage::Usage;
use blotter::identity::{Denials, Identity, OperatorToken, Rates};
use blotter::ledger::postgres::{Owner, PostgresLoader, PostgresLog};
use blotter::ledger::{
    Campaign, Ledger, SHARD, SigningName, SteppedDown, SystemEntropy, Tenure, Words,
};
use blotter::market::archive::Archive;
use blotter::market::calendar::Calendar;
use blotter::market::pace::Pace;
use blotter::market::playback::Playback;
use blotter::market::recorded::{RECORDED, Recorded};
use blotter::market::simulated::{Model, Simulated, SimulatedArchive};
use blotter::market::source::{FEED, MarketData};
use blotter::rest::auth::{Gate, authenticate};
use blotter::rest::cors;
use blotter::rest::listener::{self, Limits};
use blotter::rest::proxies::Proxies;
use blotter::service::{self, CursorKey, Interface, Service};
use blotter::{mcp, rest};
use chrono::{SubsecRound, Utc};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use projections::Runner;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::heads;
use crate::parts::{Ended, Parts, parts};

/// A checkpoint is signed this often while the log moves.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);
/// Files that are open beside the connections of clients: those of the database above all.
const OTHER_FILES: u64 = 128;
/// What is left to be written down after the drain has so long: only a database that does not answer takes longer.
const WIND_UP: Duration = Duration::from_secs(10);
/// Metrics are folded this often.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// Said of a stop that did not wait any longer.
const SILENT: &str = "the database does not answer, so the log was not given back and its last checkpoint is not signed: \
                      whoever writes next waits for the lease; what was acknowledged is in the database";

/// Who runs a server inside another command.
#[derive(Default)]
pub struct Host {
    /// Is told where the server listens.
    pub listening: Option<oneshot::Sender<SocketAddr>>,
    /// Stops it, as a signal does.
    pub done: CancellationToken,
}

/// Runs until SIGTERM or SIGINT, also while it is still starting.
pub async fn serve(settings: ServerSettings) -> anyhow::Result<()> {
    serve_for(settings, Host::default()).await
}

/// Runs until a signal, or until its host is done with it.
pub async fn serve_for(settings: ServerSettings, host: Host) -> anyhow::Result<()> {
    let mut signals = Signals::listen(host.done)?;
    let given = config::token("BLOTTER_OPERATOR_TOKEN")?;
    let data_dir = settings.database.data_dir()?;
    let source = settings.database.source()?;
    // A private database holds its directory itself.
    let _held = match &source {
        Source::Embedded(_) => None,
        Source::Url { .. } => tokio::select! {
            biased;
            () = signals.asked() => return Ok(()),
            held = embedded::claim(&data_dir) => Some(held?),
        },
    };
    let operator = OperatorToken::load(given.as_deref(), &data_dir)?;
    let database = tokio::select! {
        biased;
        () = signals.asked() => return Ok(()),
        opened = Database::open(source) => opened.context("no database")?,
    };
    info!("database ready");
    let served =
        compose(&settings, &data_dir, operator, &database, &mut signals, host.listening).await;
    database.close().await?;
    if served.is_ok() {
        info!("stopped: everything is written down");
    }
    served
}

/// Runs everything that stands on the database, and ends it again.
async fn compose(
    settings: &ServerSettings,
    data_dir: &Path,
    operator: OperatorToken,
    database: &Database,
    signals: &mut Signals,
    listening: Option<oneshot::Sender<SocketAddr>>,
) -> anyhow::Result<()> {
    let checkpointer = custody(settings, data_dir, database).await?;
    let key = SigningName {
        name: checkpointer.key().name().to_owned(),
        public_key: checkpointer.key().public_key(),
    };
    let listener = TcpListener::bind(settings.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", settings.listen))?;
    let address = listener.local_addr()?;

    let (stop, written) = (CancellationToken::new(), CancellationToken::new());
    let (parts, mut lost) = parts();
    let ledger = Ledger::new();
    let (tenures, terms) = mpsc::channel(1);
    let campaign = Campaign {
        log: PostgresLog::new(database.writer().clone()),
        loader: Arc::new(PostgresLoader::new(database.writer().clone())),
        owner: Owner {
            name: key.name.clone(),
            url: Some(format!("http://{address}")),
            sole: database.is_sole_owner(),
        },
        rules: settings.rules.rules(),
        key,
        now: Utc::now,
        entropy: || Box::new(SystemEntropy),
        tenures,
    };
    let (engine, works) = engine::engine();
    let history = PostgresHistory::new(database.writer().clone(), SHARD);
    let engine_task = parts.spawn(
        "the engine",
        stop.clone(),
        work_terms(works, terms, ledger.clone(), history, rules(settings), stop.clone()),
    );
    let (runner, views) = Runner::new(
        database.projector().pool().clone(),
        heads::follow(&ledger, database.projector().clone(), &parts, written.clone()),
    );
    let run = runner.run_until(written.clone().cancelled_owned());
    let projections = parts.spawn("the projections", written.clone(), run);
    let calendar = calendar(settings);
    let (player, archive) = market(settings, calendar, database, &engine, &parts, &stop)?;
    let facts = Facts::new(database.identity().clone());
    let carry = facts.clone().carry(ledger.clone(), stop.clone());
    let carrier = parts.spawn("the carrier of users' facts", stop.clone(), carry);
    let identity = database.identity().clone();
    let identity =
        Identity::open(identity, facts.clone(), data_dir.to_owned(), settings.identity()).await?;
    let identity = Arc::new(identity);
    let keeper = {
        let (identity, until) = (Arc::clone(&identity), stop.clone());
        parts.spawn("the keeper of users", stop.clone(), async move { identity.keep(until).await })
    };
    let (note, checkpoint) = watch::channel(checkpointer.note().map(ToOwned::to_owned));
    let sign = sign(checkpointer, database.auditor().clone(), note, written.clone());
    let custody_task = parts.spawn("the signing of checkpoints", written.clone(), sign);

    let service = Arc::new(Service::new(service::Parts {
        ledger: ledger.clone(),
        words: Words::new(database.writer().clone()),
        reader: database.reader().clone(),
        auditor: database.auditor().clone(),
        views,
        engine,
        player,
        archive,
        calendar,
        checkpoint,
        checkpoint_files: vec![data_dir.join(audit::CHECKPOINT_FILE)],
        operator,
        identity,
        tokens: Tokens::new(database.identity().clone(), facts.clone()),
        usage: Usage::new(database.identity().clone()),
        grants: Grants::new(database.identity().clone(), facts.clone()),
        denials: Denials::new(database.identity().clone(), facts),
        rules: settings.rules.rules(),
        cursors: CursorKey::load(data_dir)?,
    }));
    let drain = stop.child_token();
    let rates = Arc::new(Rates::new(settings.edge.rate_limit));
    let gate = Gate::new(Arc::clone(&service), Interface::Mcp, Arc::clone(&rates));
    let mcp = mcp::router(Arc::clone(&service), settings.mcp.shelf(), address, drain.clone())
        .layer(from_fn_with_state(gate, authenticate));
    let (metrics, streams) = (metrics(&parts, &stop)?, rest::streams());
    let origins = settings.edge.allow_origin.as_slice().into();
    let face = rest::Face { service, metrics, stop: drain.clone(), streams, rates, origins };
    let faces = cors::allow(rest::router(face).merge(mcp), &settings.edge.allow_origin);
    let proxies = Proxies::new(&settings.edge.trusted_proxy);
    let faces = rest::edge::around(faces, proxies, drain.clone());
    let mut campaigning = {
        let (ledger, stop) = (ledger.clone(), stop.clone());
        tokio::spawn(async move { ledger.campaign(campaign, stop).await })
    };
    info!(%address, "listening");
    if let Some(listening) = listening {
        // A host that is gone has stopped it too.
        let _ = listening.send(address);
    }
    let mut ended =
        serve_until(listener, faces, (&mut campaigning, &mut lost), signals, drain).await;

    stop.cancel();
    let wind_up = async {
        engine_task.await.context("the engine")?;
        carrier.await.context("the facts of users")?;
        keeper.await.context("the users")?;
        if !campaigning.is_finished() {
            campaigning.await.context("the ledger")??;
        }
        // Nothing is written any more: the last checkpoint is of all that was.
        written.cancel();
        custody_task.await.context("the checkpoints")?;
        projections.await.context("the projections")
    };
    match timeout(WIND_UP, wind_up).await {
        Ok(wound_up) => wound_up?,
        Err(_) => ended = ended.and(Err(anyhow::Error::msg(SILENT))),
    }
    match lost.try_recv() {
        Ok(part) => ended.and(Err(part.into())),
        Err(_) => ended,
    }
}

/// Opens this process's record of checkpoints, and refuses a database that does not contain what it says last.
async fn custody(
    settings: &ServerSettings,
    data_dir: &Path,
    database: &Database,
) -> anyhow::Result<Checkpointer> {
    let mut checkpointer = Checkpointer::open(data_dir, ProcessKey::open_or_create(data_dir)?)?;
    if let Some(signed) = checkpointer.last()
        && let Err(rollback) = audit::check_rollback(database.auditor(), SHARD, signed).await?
    {
        if !settings.accept_rollback {
            return Err(rollback.into());
        }
        let kept = checkpointer.supersede(data_dir)?;
        warn!(%rollback, kept = %kept.display(), "a rollback was accepted; the checkpoints before it are kept");
    }
    Ok(checkpointer)
}

/// When the market is open.
fn calendar(settings: &ServerSettings) -> Calendar {
    match settings.market.hours {
        Hours::Nyse => Calendar::nyse(),
        Hours::Always => Calendar::always(),
    }
}

/// The engine's settings.
fn rules(settings: &ServerSettings) -> Settings {
    let mut rules = Settings::new(calendar(settings));
    if settings.market.market == Market::Feed {
        // The operator feeds quotes when there are new ones: the last one stands until then.
        rules.max_quote_age = None;
    }
    rules.record = record(settings);
    rules
}

/// Which lines are on the tape.
fn record(settings: &ServerSettings) -> engine::core::Record {
    match settings.market.record {
        Record::Working => engine::core::Record::Working,
        Record::All => engine::core::Record::All,
    }
}

/// The market's archive, and its controls where it has ticks of its own: then it begins to play.
fn market(
    settings: &ServerSettings,
    calendar: Calendar,
    database: &Database,
    engine: &Engine,
    parts: &Parts,
    stop: &CancellationToken,
) -> anyhow::Result<(Option<Player>, Arc<dyn Archive>)> {
    let (reader, record) = (database.reader(), record(settings));
    let tape = |source| Arc::new(TapeArchive::new(reader.clone(), SHARD, source, calendar, record));
    Ok(match &settings.market.market {
        Market::Feed => (None, tape(FEED)),
        Market::Recorded(file) => {
            let recorded = Recorded::open(file)?;
            (Some(play(recorded, settings, engine, parts, stop)), tape(RECORDED))
        }
        Market::Simulated => {
            let model = Arc::new(Model::new(settings.market.seed, calendar));
            // where the market begins that has no clock yet; after that its own clock goes on
            let first = Utc::now().trunc_subsecs(0);
            let source = Simulated::new(Arc::clone(&model), first);
            let archive = Arc::new(SimulatedArchive::new(model));
            (Some(play(source, settings, engine, parts, stop)), archive)
        }
    })
}

/// Starts playing a source.
fn play<S: MarketData + 'static>(
    source: S,
    settings: &ServerSettings,
    engine: &Engine,
    parts: &Parts,
    stop: &CancellationToken,
) -> Player {
    let pace = Pace::new(settings.market.speed, settings.market.paused);
    let (player, playing) = player(Playback::new(source, pace), engine.clone(), stop.clone());
    let until = stop.clone();
    parts.spawn("the market", stop.clone(), async move {
        if let Err(error) = playing.await {
            tracing::error!(%error, "the market's source has failed: the market stands still");
            // Started anew it would fail again; all else goes on.
            until.cancelled().await;
        }
    });
    player
}

/// What the process counts, from now on.
fn metrics(parts: &Parts, stop: &CancellationToken) -> anyhow::Result<PrometheusHandle> {
    let recorder = PrometheusBuilder::new().install_recorder().context("metrics")?;
    let upkeep = recorder.clone();
    parts.spawn("the metrics", stop.clone(), async move {
        // Samples of histograms pile up until they are folded.
        let mut beat = tokio::time::interval(METRICS_UPKEEP);
        loop {
            beat.tick().await;
            upkeep.run_upkeep();
        }
    });
    Ok(recorder)
}

/// Lets the engine work through each term of this process as the writer, and follow the writer between them.
async fn work_terms(
    mut works: Works,
    mut terms: mpsc::Receiver<Tenure>,
    ledger: Ledger,
    history: PostgresHistory,
    rules: Settings,
    stop: CancellationToken,
) {
    loop {
        let term = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            term = terms.recv() => term,
            never = works.follow(&history, &rules) => match never {},
        };
        let Some(Tenure { feed, .. }) = term else {
            // The ledger has ended, and says itself why.
            return stop.cancelled().await;
        };
        works.term(&ledger, &history, &rules, feed, &stop).await;
    }
}

/// Signs a checkpoint every second in which the log moved, and one at the end.
async fn sign(
    mut checkpointer: Checkpointer,
    auditor: AuditorPool,
    note: watch::Sender<Option<String>>,
    stop: CancellationToken,
) {
    loop {
        let last = tokio::select! {
            biased;
            () = stop.cancelled() => true,
            () = tokio::time::sleep(CHECKPOINT_EVERY) => false,
        };
        match audit::signable(&auditor, SHARD).await {
            Ok(Some((origin, tree))) => {
                let signed = tokio::task::spawn_blocking(move || {
                    let signed =
                        checkpointer.record(&origin, &tree).map(|note| note.map(ToOwned::to_owned));
                    (checkpointer, signed)
                });
                let Ok((returned, signed)) = signed.await else { return };
                checkpointer = returned;
                match signed {
                    Ok(Some(signed)) => {
                        note.send_replace(Some(signed));
                    }
                    Ok(None) => {}
                    Err(error) => tracing::error!(%error, "no checkpoint could be kept"),
                }
            }
            Ok(None) => {}
            Err(error) => warn!(%error, "the log's head cannot be read for a checkpoint"),
        }
        if last {
            return;
        }
    }
}

/// Serves until a signal, or until this process may not write any more because the log is corrupt, or until it has lost a
/// part.
async fn serve_until(
    listener: TcpListener,
    faces: Router,
    (campaigning, lost): (&mut JoinHandle<Result<(), SteppedDown>>, &mut UnboundedReceiver<Ended>),
    signals: &mut Signals,
    drain: CancellationToken,
) -> anyhow::Result<()> {
    let limits = limits();
    let mut server =
        tokio::spawn(listener::serve(listener, faces, rest::spared(), limits, drain.clone()));
    let ended = tokio::select! {
        biased;
        () = signals.asked() => Ok(()),
        campaign = campaigning => match campaign {
            Ok(Ok(())) => Err(anyhow::Error::msg("the ledger has ended before its time")),
            Ok(Err(stopped)) => Err(stopped).context("the ledger stopped"),
            Err(panicked) => Err(panicked).context("the ledger"),
        },
        Some(part) = lost.recv() => Err(part.into()),
        served = &mut server => {
            served.context("the listener")?;
            return Err(anyhow::Error::msg("the listener has ended before its time"));
        }
    };
    info!(
        "stopping: no more requests are taken, those under way have {} s",
        limits.drain.as_secs()
    );
    drain.cancel();
    if !server.await.context("the listener")? {
        warn!("requests were still under way after {} s and are cut off", limits.drain.as_secs());
    }
    ended
}

/// The usual limits, with no more connections than there are file descriptors for; the system is asked for as many as
/// it lets this process have.
fn limits() -> Limits {
    let limits = Limits::default();
    let wanted = limits.connections as u64 + OTHER_FILES;
    let mut files = getrlimit(Resource::Nofile);
    let most = files.maximum.unwrap_or(u64::MAX);
    if files.current.is_some_and(|current| current < wanted.min(most)) {
        let raised = Rlimit { current: Some(wanted.min(most)), maximum: files.maximum };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => files = raised,
            Err(error) => warn!(%error, "the limit of open files stays where it is"),
        }
    }
    let current = files.current.unwrap_or(u64::MAX).saturating_sub(OTHER_FILES).max(1);
    let connections = limits.connections.min(usize::try_from(current).unwrap_or(usize::MAX));
    Limits { connections, ..limits }
}

/// What ends a server: two signals, and its host.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    done: CancellationToken,
}

impl Signals {
    fn listen(done: CancellationToken) -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            done,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = self.done.cancelled() => {}
        }
    }
}
