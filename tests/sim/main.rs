//! The deterministic simulation: two processes with a Sequencer each compete for one log in memory that fails on
//! purpose, clients send, retry and repeat under keys, processes crash and come back, and an engine fills, splits and ends
//! options: the real one over log and tape in half of the seeds, recording every line or those of what is worked, in the
//! others one that proposes what it likes. In some of the seeds options are what is traded most, and the stock that
//! they are on splits too. One thread, a virtual clock, a seed.
//!
//! After every step an independent checker reads what is new in the log and what clients were told. A failure prints
//! the seed and the step; the same seed gives the same run on every machine.
//!
//! `BLOTTER_SIM_SEED=n` repeats one seed, `BLOTTER_SIM_SEEDS=n` sets how many are run. Budget: 60 s on 2 cores.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod checker;
mod clients;
mod engine;
mod keys;
mod lines;
mod market;
mod naive;
mod options;
mod packages;
mod process;
mod self_check;
mod simulation;
mod tally;
mod wishes;
mod works;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use simulation::Simulation;

/// How many seeds a run tries unless it is told.
const SEEDS: u64 = 1_500;
/// Steps of one seed without options, before everything is left to come to rest.
const STEPS: usize = 300;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// Runs one seed to its end; the error names seed and step.
fn run(seed: u64) -> Result<tally::Tally, String> {
    let mut simulation = Simulation::new(seed);
    let told = |step: usize, error: &str| format!("seed {seed}, step {step}: {error}");
    let steps = simulation.steps(STEPS);
    for step in 0..steps {
        catch_unwind(AssertUnwindSafe(|| simulation.step()))
            .unwrap_or_else(|_| Err("it panicked".to_owned()))
            .map_err(|error| told(step, &error))?;
    }
    simulation.come_to_rest().map_err(|error| told(steps, &error))?;
    Ok(simulation.tally())
}

#[test]
fn no_seed_breaks_an_invariant() {
    if let Some(seed) = number("BLOTTER_SIM_SEED") {
        println!("{:?}", run(seed).unwrap());
        return;
    }
    let (seeds, next) = (number("BLOTTER_SIM_SEEDS").unwrap_or(SEEDS), AtomicU64::new(0));
    let begun = Instant::now();
    let work = || {
        let mut sum = tally::Tally::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return sum;
            }
            sum.add(&run(seed).unwrap());
        }
    };
    let sum = std::thread::scope(|scope| {
        let half = scope.spawn(work);
        let mut sum = work();
        sum.add(&half.join().unwrap());
        sum
    });
    println!("{seeds} seeds in {:.1?}: {sum:?}", begun.elapsed());
    // A simulation in which nothing happens proves nothing.
    if seeds >= 300 {
        sum.met_everything().unwrap();
    }
}

#[test]
fn a_seed_gives_the_same_run_twice() {
    for seed in [3, 77] {
        assert_eq!(run(seed).unwrap(), run(seed).unwrap());
    }
}
