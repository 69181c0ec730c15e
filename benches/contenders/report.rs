//! The table that a person reads and the file that a program reads.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

/// One contender in one round.
#[derive(Clone, Debug)]
pub struct Sample {
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub extra: BTreeMap<&'static str, f64>,
}

/// What a row is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Label {
    pub id: &'static str,
    pub contender: &'static str,
    pub clients: usize,
}

#[derive(Default)]
pub struct Report {
    samples: BTreeMap<Label, Vec<Sample>>,
    ratios: BTreeMap<String, f64>,
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

fn rounded(value: f64) -> Value {
    json!((value * 100.0).round() / 100.0)
}

impl Report {
    pub fn add(
        &mut self,
        id: &'static str,
        contender: &'static str,
        clients: usize,
        sample: Sample,
    ) {
        println!(
            "  {id:<4} {contender:<22} {clients:>5} clients {:>9.0}/s  p50 {:>8.2} ms  p99 {:>8.2} ms",
            sample.per_second, sample.p50_ms, sample.p99_ms
        );
        self.samples.entry(Label { id, contender, clients }).or_default().push(sample);
    }

    /// The median rate of a row, if it was run.
    pub fn rate(&self, id: &'static str, contender: &'static str, clients: usize) -> Option<f64> {
        let samples = self.samples.get(&Label { id, contender, clients })?;
        Some(median(samples.iter().map(|sample| sample.per_second).collect()))
    }

    /// The median of the 99th percentiles of a row, in milliseconds, if it was run.
    pub fn p99(&self, id: &'static str, contender: &'static str, clients: usize) -> Option<f64> {
        let samples = self.samples.get(&Label { id, contender, clients })?;
        Some(median(samples.iter().map(|sample| sample.p99_ms).collect()))
    }

    /// The median of something else that a row says, if it was run.
    pub fn extra(
        &self,
        id: &'static str,
        contender: &'static str,
        clients: usize,
        name: &'static str,
    ) -> Option<f64> {
        let samples = self.samples.get(&Label { id, contender, clients })?;
        Some(median(samples.iter().filter_map(|sample| sample.extra.get(name).copied()).collect()))
    }

    /// A ratio of two rows of this run; left out if one was not run.
    pub fn ratio(&mut self, name: &str, over: Option<f64>, under: Option<f64>) {
        if let (Some(over), Some(under)) = (over, under)
            && under > 0.0
        {
            self.ratios.insert(name.to_owned(), over / under);
        }
    }

    /// The medians, aligned.
    pub fn print(&self) {
        println!(
            "\n{:<5}{:<24}{:>8}{:>12}{:>24}{:>10}{:>10}",
            "id", "contender", "clients", "per second", "(min - max)", "p50 ms", "p99 ms"
        );
        for (label, samples) in &self.samples {
            let rates: Vec<f64> = samples.iter().map(|sample| sample.per_second).collect();
            let (low, high) = rates
                .iter()
                .fold((f64::MAX, f64::MIN), |(low, high), rate| (low.min(*rate), high.max(*rate)));
            println!(
                "{:<5}{:<24}{:>8}{:>12.0}{:>24}{:>10.2}{:>10.2}",
                label.id,
                label.contender,
                label.clients,
                median(rates),
                format!("({low:.0} - {high:.0})"),
                median(samples.iter().map(|sample| sample.p50_ms).collect()),
                median(samples.iter().map(|sample| sample.p99_ms).collect()),
            );
        }
        println!();
        for (name, ratio) in &self.ratios {
            println!("{name:<32}{ratio:>8.2}");
        }
    }

    /// Writes `target/bench/report.json`.
    pub fn write(&self, path: &Path, machine: &Value) -> anyhow::Result<()> {
        let rows: Vec<Value> = self
            .samples
            .iter()
            .map(|(label, samples)| {
                let of = |value: fn(&Sample) -> f64| median(samples.iter().map(value).collect());
                let mut row = json!({
                    "id": label.id,
                    "contender": label.contender,
                    "clients": label.clients,
                    "rounds": samples.len(),
                    "per_second": rounded(of(|sample| sample.per_second)),
                    "p50_ms": rounded(of(|sample| sample.p50_ms)),
                    "p99_ms": rounded(of(|sample| sample.p99_ms)),
                });
                for name in samples.iter().flat_map(|sample| sample.extra.keys()) {
                    let values = samples
                        .iter()
                        .filter_map(|sample| sample.extra.get(name).copied())
                        .collect();
                    row[*name] = rounded(median(values));
                }
                row
            })
            .collect();
        let ratios: BTreeMap<&String, Value> =
            self.ratios.iter().map(|(name, ratio)| (name, rounded(*ratio))).collect();
        let report =
            json!({ "machine": machine, "commit": commit(), "rows": rows, "ratios": ratios });
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        std::fs::write(path, serde_json::to_string_pretty(&report)?)?;
        println!("\nwritten to {}", path.display());
        Ok(())
    }
}

fn commit() -> Option<String> {
    let output =
        std::process::Command::new("git").args(["rev-parse", "--short", "HEAD"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
