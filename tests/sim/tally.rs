//! What happened in a run.

use aggregates::instrument::OptionEnd;
use aggregates::order::OrderEvent;
use aggregates::position::PositionEvent;
use aggregates::stream::Event;
use blotter::ledger::CommittedEvent;

/// What happened in a run, so that nobody takes an idle run for a proof.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub events: u64,
    pub fills: u64,
    pub triggers: u64,
    pub splits: u64,
    pub shorts: u64,
    /// Accounts that a limit on losses stopped.
    pub stops: u64,
    pub acknowledged: u64,
    pub replayed: u64,
    pub rejected: u64,
    pub refused: u64,
    pub in_doubt: u64,
    pub epochs: u64,
    pub lines: u64,
    pub passed: u64,
    /// Commands of the real engine that it did again.
    pub found_again: u64,
    /// Fills of several legs.
    pub packages: u64,
    /// Holdings of options that were exercised.
    pub exercises: u64,
    /// Holdings of options that were assigned.
    pub assignments: u64,
    /// Shares that options delivered.
    pub deliveries: u64,
    /// Contracts that everybody was settled in.
    pub settled: u64,
    /// Holdings of options that a split made others of.
    pub adjusted: u64,
    /// Holdings of options that a split paid out.
    pub paid_out: u64,
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.fills += other.fills;
        self.triggers += other.triggers;
        self.splits += other.splits;
        self.shorts += other.shorts;
        self.stops += other.stops;
        self.acknowledged += other.acknowledged;
        self.replayed += other.replayed;
        self.rejected += other.rejected;
        self.refused += other.refused;
        self.in_doubt += other.in_doubt;
        self.epochs += other.epochs;
        self.lines += other.lines;
        self.passed += other.passed;
        self.found_again += other.found_again;
        self.packages += other.packages;
        self.exercises += other.exercises;
        self.assignments += other.assignments;
        self.deliveries += other.deliveries;
        self.settled += other.settled;
        self.adjusted += other.adjusted;
        self.paid_out += other.paid_out;
    }

    /// Everything that the simulation is for did happen.
    pub fn met_everything(&self) -> Result<(), String> {
        let parts = [
            self.events,
            self.fills,
            self.triggers,
            self.splits,
            self.shorts,
            self.stops,
            self.acknowledged,
            self.replayed,
            self.rejected,
            self.refused,
            self.in_doubt,
            self.epochs,
            self.lines,
            self.passed,
            self.found_again,
            self.packages,
            self.exercises,
            self.assignments,
            self.deliveries,
            self.settled,
            self.adjusted,
            self.paid_out,
        ];
        if parts.contains(&0) { Err(format!("something never happened: {self:?}")) } else { Ok(()) }
    }

    /// Counts an event of the log.
    pub fn count(&mut self, event: &CommittedEvent) {
        let counted = match &event.event {
            Event::Order(OrderEvent::OrderFilled { legs, .. }) => {
                self.packages += u64::from(!legs.is_empty());
                &mut self.fills
            }
            Event::Position(PositionEvent::PositionOpened { position_qty, .. })
                if position_qty.is_negative() =>
            {
                &mut self.shorts
            }
            Event::Position(PositionEvent::OptionEnded { how, .. }) => match how {
                OptionEnd::Exercised => &mut self.exercises,
                OptionEnd::Assigned => &mut self.assignments,
                OptionEnd::PaidOut => &mut self.paid_out,
                _ => return,
            },
            other => match other.event_type().as_str() {
                "OrderTriggered" => &mut self.triggers,
                "PositionSplit" => &mut self.splits,
                "LossLimitReached" => &mut self.stops,
                "OrderRejected" => &mut self.rejected,
                "WriterTookOver" => &mut self.epochs,
                "SharesDelivered" => &mut self.deliveries,
                "ContractSettled" => &mut self.settled,
                "ContractAdjusted" => &mut self.adjusted,
                _ => return,
            },
        };
        *counted += 1;
    }
}
