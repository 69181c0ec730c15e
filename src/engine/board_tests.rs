//! What the board shows of options that have expired.

use super::*;
use crate::engine::core::EngineState;
use crate::market::calendar::Calendar;
use crate::market::reading::parse_line;

/// Works lines as the log would have it, with every listing accepted.
fn tell(core: &mut Core, board: &Board, line: &str) {
    let tick = parse_line(line.as_bytes(), 1).unwrap().unwrap();
    let mut commands = core.line("feed", &tick).commands;
    let mut touched: Vec<String> = tick.symbol().map(str::to_owned).into_iter().collect();
    while !commands.is_empty() {
        for command in commands {
            let aggregates::trading::Command::Instrument { instrument_id, command } = command
            else {
                panic!("{command:?}")
            };
            let aggregates::instrument::InstrumentCommand::List { symbol, name, kind, at, .. } =
                command
            else {
                panic!("{command:?}")
            };
            touched.push(symbol.clone());
            let listed = aggregates::instrument::InstrumentEvent::InstrumentListed {
                instrument_id,
                symbol,
                name,
                kind,
                at,
            };
            let position = core.state().position + 1;
            core.observe(
                position,
                aggregates::id::MARKET_TENANT,
                StreamId::Instrument(instrument_id),
                &Event::Instrument(listed),
            );
        }
        commands = core.again();
    }
    board.show(core, touched.iter().map(String::as_str));
}

#[test]
fn an_option_leaves_on_the_day_after_it_has_expired() {
    let (board, settings) = (Board::default(), Settings::new(Calendar::nyse()));
    let mut core = Core::new(settings, EngineState::default());
    tell(&mut core, &board, r#"{"t":"clock","at":"2026-12-18T15:00:00Z"}"#);
    tell(
        &mut core,
        &board,
        r#"{"t":"chain","underlying":"AAPL","contracts":["AAPL261218C00190000","AAPL270115C00190000"]}"#,
    );
    let shown = |board: &Board| -> Vec<String> {
        let chain = board.chain("AAPL", NaiveDate::MIN);
        chain.iter().map(|glance| glance.symbol.clone()).collect()
    };
    assert_eq!(shown(&board), ["AAPL261218C00190000", "AAPL270115C00190000"]);
    tell(&mut core, &board, r#"{"t":"clock","at":"2026-12-18T23:00:00Z"}"#);
    assert_eq!(shown(&board).len(), 2, "until the day is over");
    tell(&mut core, &board, r#"{"t":"clock","at":"2026-12-19T05:00:00Z"}"#);
    assert_eq!(shown(&board), ["AAPL270115C00190000"]);
    assert!(board.glance("AAPL261218C00190000").is_none());
    // A recovery shows no more.
    let again = Board::default();
    again.show_all(&core);
    assert_eq!(shown(&again), ["AAPL270115C00190000"]);
    // Nor is anything left of what the engine that is followed now does not know.
    again.show_all(&Core::new(Settings::new(Calendar::nyse()), EngineState::default()));
    assert!(again.glance("AAPL270115C00190000").is_none() && shown(&again).is_empty());
    tell(&mut core, &board, r#"{"t":"clock","at":"2027-01-16T05:00:00Z"}"#);
    assert_eq!(shown(&board), [] as [&str; 0]);
}
