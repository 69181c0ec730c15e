//! What a line may and may not be.

use proptest::prelude::*;

use super::*;

/// One line of every kind, in canonical form.
const EVERY_KIND: [&str; 17] = [
    r#"{"t":"clock","at":"2026-11-23T14:30:00Z"}"#,
    r#"{"t":"quote","symbol":"AAPL","bid":"187.20","bid_size":"300","ask":"187.25","ask_size":"200","at":"2026-11-23T14:30:00.123456789Z"}"#,
    r#"{"t":"trade","symbol":"AAPL","price":"187.22","size":"100","at":"2026-11-23T14:30:00Z"}"#,
    r#"{"t":"bar","symbol":"AAPL","open":"118.56","high":"132.06","low":"118.50","close":"130.31","volume":"9616100","at":"2000-03-01T05:00:00Z","span":"1d"}"#,
    r#"{"t":"status","symbol":"AAPL","state":"halted","reason":"LUDP","at":"2026-11-23T14:30:00Z"}"#,
    r#"{"t":"status","symbol":"AAPL","state":"trading","at":"2026-11-23T14:30:00Z"}"#,
    r#"{"t":"status","symbol":"*","state":"halted","reason":"MWC1","at":"2026-11-23T14:30:00Z"}"#,
    r#"{"t":"split","symbol":"AAPL","numerator":"4","denominator":"1","id":"aapl-4-1","at":"2026-11-23T05:00:00Z"}"#,
    r#"{"t":"dividend","symbol":"MSFT","amount":"3.00","ex":"2004-11-15","pay":"2004-12-02","id":"msft-3","at":"2004-07-20T20:00:00Z"}"#,
    r#"{"t":"instrument","symbol":"AAPL","name":"Apple Inc.","kind":"stock","tick":"0.01"}"#,
    r#"{"t":"instrument","symbol":"AAPL240119C00190000","kind":"option","underlying":"AAPL","style":"american","settlement":"physical"}"#,
    r#"{"t":"chain","underlying":"AAPL","style":"american","settlement":"physical","contracts":["AAPL240119C00190000","AAPL240119P00190000"]}"#,
    r#"{"t":"luld","symbol":"AAPL","down":"178.00","up":"196.00","at":"2026-11-23T14:30:00Z"}"#,
    r#"{"t":"auction","symbol":"AAPL","kind":"close","price":"187.22","size":"100","at":"2026-11-23T21:00:00Z"}"#,
    r#"{"t":"depth","symbol":"AAPL","bids":[["187.20","300"],["187.19","5"]],"asks":[],"at":"2026-11-23T14:30:00Z"}"#,
    r#"{"t":"open_interest","symbol":"AAPL240119C00190000","value":"1200","volume":"55","at":"2026-11-23T14:30:00Z"}"#,
    r#"{"t":"rate","kind":"risk_free","symbol":null,"value":"0.045","at":"2026-11-23T14:30:00Z"}"#,
];

/// The market's clock, at which lines of every kind may come.
const KNOWN: MarketTime = MarketTime::from_timestamp_secs(1_795_000_000).unwrap();

fn problem(line: &str) -> LineProblem {
    parse_line(line.as_bytes(), 1).unwrap_err().problem
}

fn field_of(problem: &LineProblem) -> &str {
    match problem {
        LineProblem::Missing { field, .. }
        | LineProblem::Unfit { field, .. }
        | LineProblem::Unknown(field) => field,
        other => panic!("names no field: {other}"),
    }
}

#[test]
fn every_kind_is_read_and_written_back_to_the_byte() {
    for line in EVERY_KIND {
        let tick = parse_line(line.as_bytes(), 1).unwrap().unwrap();
        assert_eq!(tick.to_line(), line);
    }
}

#[test]
fn a_line_that_is_no_object_is_refused_without_being_repeated() {
    let text = "x".repeat(5_000);
    for line in [format!("\"{text}\""), text.clone(), format!("[\"{text}\"]"), "7".to_owned()] {
        let error = parse_line(line.as_bytes(), 3).unwrap_err().to_string();
        assert_eq!(
            error,
            "line 3: not a JSON object with each field once: it does not begin with {"
        );
    }
}

#[test]
fn every_field_that_is_left_out_or_added_is_named() {
    let optional = ["reason", "name", "tick", "style", "settlement", "volume", "symbol"];
    for line in EVERY_KIND {
        let whole: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        for field in whole.keys() {
            let mut cut = whole.clone();
            cut.remove(field);
            match parse_line(&serde_json::to_vec(&cut).unwrap(), 7) {
                Ok(_) => assert!(optional.contains(&field.as_str()), "{field} of {line}"),
                Err(error) => {
                    assert_eq!((error.line, field_of(&error.problem)), (7, field.as_str()));
                }
            }
        }
        let mut more = whole;
        more.insert("extra".to_owned(), "1".into());
        let error = problem(&serde_json::to_string(&more).unwrap());
        assert_eq!(error, LineProblem::Unknown("extra".to_owned()));
    }
}

#[test]
fn a_field_given_twice_is_refused() {
    let twice = r#"{"t":"clock","at":"2026-11-23T14:30:00Z","at":"2026-11-23T14:30:00Z"}"#;
    assert!(problem(twice).to_string().contains("'at' is given twice"));
}

#[test]
fn quotes_that_nothing_may_fill_against_are_still_ticks() {
    for (bid, ask) in [("187.30", "187.20"), ("0", "187.20"), ("-1.00", "0"), ("187.20", "0")] {
        let line = format!(
            r#"{{"t":"quote","symbol":"AAPL","bid":"{bid}","bid_size":"0","ask":"{ask}","ask_size":"1","at":"2026-11-23T14:30:00Z"}}"#
        );
        assert!(parse_line(line.as_bytes(), 1).is_ok(), "{line}");
    }
}

#[test]
fn values_that_do_not_fit_are_refused_by_the_name_of_their_field() {
    let at = "2026-11-23T14:30:00Z";
    let trade = |price: &str, size: &str, symbol: &str, at: &str| {
        format!(r#"{{"t":"trade","symbol":{symbol},"price":{price},"size":{size},"at":"{at}"}}"#)
    };
    let (price, size, symbol) = (r#""1.00""#, r#""1""#, r#""AAPL""#);
    assert!(parse_line(trade(price, size, symbol, at).as_bytes(), 1).is_ok());
    for bad in [r#""0""#, r#""-1""#, r#""1.00001""#, r#""1e3""#, "187.25", "null", r#""""#] {
        assert_eq!(field_of(&problem(&trade(bad, size, symbol, at))), "price", "{bad}");
    }
    for bad in [r#""-1""#, "100", r#""1000000001""#, r#""+1""#] {
        assert_eq!(field_of(&problem(&trade(price, bad, symbol, at))), "size", "{bad}");
    }
    for bad in [r#""aapl""#, r#""""#, r#"" AAPL""#, r#""A\u0000""#, r#""A\u202e""#] {
        assert_eq!(field_of(&problem(&trade(price, size, bad, at))), "symbol", "{bad}");
    }
    for bad in
        ["2026-11-23T14:30:00", "2026-11-23", "1", "2016-12-31T23:59:60Z", "2300-01-01T00:00:00Z"]
    {
        assert_eq!(field_of(&problem(&trade(price, size, symbol, bad))), "at", "{bad}");
    }
}

#[test]
fn a_chain_has_contracts_on_its_underlying_none_twice_and_no_more_than_are_listed_together() {
    let chain = |contracts: &[String]| {
        let contracts = serde_json::to_string(contracts).unwrap();
        format!(r#"{{"t":"chain","underlying":"AAPL","contracts":{contracts}}}"#)
    };
    let contract = |n: usize| format!("AAPL240119C{:08}", 1_000 * (n + 1));
    let contracts: Vec<String> = (0..=Chain::MAX_CONTRACTS).map(contract).collect();
    let most = chain(&contracts[1..]);
    assert!(most.len() < MAX_LINE_BYTES / 2);
    assert!(parse_told(most.as_bytes(), 1).is_ok());
    let twice = [contract(1), contract(2), contract(1)];
    for bad in [contracts.as_slice(), &[], &twice, &["aapl".to_owned()]] {
        assert_eq!(field_of(&problem(&chain(bad))), "contracts", "{bad:?}");
    }
    for bad in ["MSFT240119C00190000", "AAPL"] {
        let line = chain(&[contract(1), bad.to_owned()]);
        assert!(parse_told(line.as_bytes(), 1).is_err(), "{bad}");
        assert!(parse_line(line.as_bytes(), 1).is_ok(), "a tape is read as it is: {bad}");
    }
}

#[test]
fn a_bar_contradicting_itself_is_refused() {
    let bar = |open: &str, high: &str, low: &str, close: &str| {
        format!(
            r#"{{"t":"bar","symbol":"A","open":"{open}","high":"{high}","low":"{low}","close":"{close}","volume":"0","at":"2000-03-01T00:00:00-05:00","span":"1m"}}"#
        )
    };
    assert!(parse_line(bar("2", "3", "1", "2").as_bytes(), 1).is_ok());
    assert_eq!(field_of(&problem(&bar("4", "3", "1", "2"))), "high");
    assert_eq!(field_of(&problem(&bar("2", "3", "1", "4"))), "high");
    assert_eq!(field_of(&problem(&bar("2", "3", "2.5", "3"))), "low");
    assert_eq!(field_of(&problem(&bar("2", "3", "0", "3"))), "low");
}

fn option_on(symbol: &str, underlying: &str) -> String {
    format!(
        r#"{{"t":"instrument","symbol":"{symbol}","kind":"option","underlying":"{underlying}"}}"#
    )
}

#[test]
fn an_option_whose_symbol_and_underlying_contradict_each_other_is_refused_from_outside() {
    let told = |symbol: &str, underlying: &str| {
        parse_told(option_on(symbol, underlying).as_bytes(), 1).map_err(|error| error.to_string())
    };
    assert!(told("AAPL240119C00190000", "AAPL").is_ok());
    assert!(told("SPXW240119C04900000", "SPX").is_ok());
    let error = told("AAPL240119C00190000", "MSFT").unwrap_err();
    assert_eq!(
        error,
        "line 1: field 'underlying': expected one that the symbol's root 'AAPL' begins with, found MSFT"
    );
    assert!(told("AAPL240119C00190000", "AAPL240119C00190000").is_err());
    let error = told("AAPL240230C00190000", "AAPL").unwrap_err();
    assert!(error.contains("field 'symbol': the expiration of an OCC symbol"), "{error}");
    let tape = option_on("AAPL240119C00190000", "MSFT");
    assert!(parse_line(tape.as_bytes(), 1).is_ok(), "a tape stays readable");
}

#[test]
fn the_padded_spelling_of_a_contract_is_the_same_contract() {
    let line = option_on("AAPL  240119C00190000", "AAPL");
    let tick = parse_told(line.as_bytes(), 1).unwrap().unwrap();
    assert_eq!(tick.symbol(), Some("AAPL240119C00190000"));
    let other =
        r#"{"t":"trade","symbol":"BRK B","price":"1","size":"1","at":"2026-11-23T14:30:00Z"}"#;
    assert_eq!(parse_told(other.as_bytes(), 1).unwrap().unwrap().symbol(), Some("BRK B"));
}

#[test]
fn hidden_characters_in_texts_are_refused() {
    for hidden in ["\\u0000", "\\u001b", "\\u202e", "\\u2066", "\\u200f", "\u{202e}"] {
        let line =
            format!(r#"{{"t":"instrument","symbol":"A","name":"x{hidden}y","kind":"stock"}}"#);
        let problem = problem(&line);
        assert_eq!(field_of(&problem), "name");
        assert!(!problem.to_string().contains('\u{202e}'), "is not shown either");
    }
}

#[test]
fn one_malformed_line_refuses_all_and_is_named() {
    let good = EVERY_KIND[0];
    let text = format!("{good}\n\n{good}\r\n{{\"t\":\"bell\"}}\n{good}\n");
    let error = parse_lines(text.as_bytes(), MAX_FEED_LINES, KNOWN).unwrap_err();
    assert_eq!((error.line, field_of(&error.problem)), (4, "t"));
    let text = format!("{good}\n{good}\n{good}\n");
    assert_eq!(parse_lines(text.as_bytes(), 3, KNOWN).unwrap().len(), 3);
    let error = parse_lines(text.as_bytes(), 2, KNOWN).unwrap_err();
    assert_eq!((error.line, error.problem), (3, LineProblem::TooMany(2)));
}

#[test]
fn a_line_of_a_time_that_is_far_ahead_needs_a_clock_line_before_it() {
    let known: MarketTime = "2026-11-23T14:30:00Z".parse().unwrap();
    let read = |lines: &[&str]| {
        let line = |at: &&str| match at.strip_prefix("clock ") {
            Some(at) => format!(r#"{{"t":"clock","at":"{at}"}}"#),
            None => {
                format!(r#"{{"t":"trade","symbol":"AAPL","price":"1","size":"1","at":"{at}"}}"#)
            }
        };
        let lines: Vec<String> = lines.iter().map(line).collect();
        parse_lines(lines.join("\n").as_bytes(), MAX_FEED_LINES, known)
            .map(|ticks| ticks.len())
            .map_err(|error| error.to_string())
    };
    assert_eq!(read(&["2026-11-23T14:30:00Z", "2036-11-23T14:30:00Z"]), Ok(2));
    let far = read(&["2026-11-23T14:30:00Z", "2036-11-23T14:30:01Z"]).unwrap_err();
    assert_eq!(
        far,
        "line 2: field 'at': expected a time up to 2036-11-23 14:30:00 UTC, ten years ahead of today and of the market's \
         clock, found 2036-11-23 14:30:01 UTC; a clock line before it takes the market there"
    );
    assert_eq!(read(&["clock 2036-11-23T14:30:01Z", "2046-11-23T14:30:01Z"]), Ok(2));
    assert!(read(&["2046-11-23T14:30:01Z", "clock 2036-11-23T14:30:01Z"]).is_err());
    assert_eq!(read(&["clock 2199-12-31T00:00:00Z", "2199-12-31T00:00:00Z"]), Ok(2));
}

#[test]
fn lines_that_are_no_objects_or_too_long_are_refused() {
    for line in ["[]", "1", "{", "{}x", "\u{feff}{}", "nul", &"[".repeat(1_000)] {
        assert!(parse_line(line.as_bytes(), 1).is_err(), "{line}");
    }
    let long = " ".repeat(MAX_LINE_BYTES) + EVERY_KIND[0];
    assert_eq!(problem(&long), LineProblem::TooLong(MAX_LINE_BYTES));
}

fn price() -> impl Strategy<Value = String> {
    (-10_000_000i64..10_000_000, 0u32..=4)
        .prop_map(|(mantissa, scale)| rust_decimal::Decimal::new(mantissa, scale).to_string())
}

proptest! {
    #[test]
    fn what_is_read_is_written_so_that_it_reads_the_same(
        symbol in "[A-Z0-9][A-Z0-9./-]{0,20}",
        (bid, ask) in (price(), price()),
        (bid_size, ask_size) in (0u32.., 0u32..=1_000_000_000),
        seconds in 0i64..4_000_000_000,
        offset in -14i32..=14,
    ) {
        let zone = chrono::FixedOffset::east_opt(offset * 3600).unwrap();
        let at = chrono::DateTime::from_timestamp(seconds, 0).unwrap().with_timezone(&zone);
        let bid_size = bid_size % 1_000_000_001;
        let line = format!(
            r#"{{"at":"{}","ask":"{ask}","ask_size":"{ask_size}","bid":"{bid}","bid_size":"{bid_size}","symbol":"{symbol}","t":"quote"}}"#,
            at.to_rfc3339(),
        );
        let tick = parse_line(line.as_bytes(), 1).unwrap().unwrap();
        prop_assert_eq!(tick.at(), Some(at.to_utc()));
        prop_assert_eq!(tick.symbol(), Some(symbol.as_str()));
        let canonical = tick.to_line();
        let again = parse_line(canonical.as_bytes(), 1).unwrap().unwrap();
        prop_assert_eq!(&again, &tick);
        prop_assert_eq!(again.to_line(), canonical);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_lines(&bytes, 10, KNOWN);
    }

    #[test]
    fn no_damaged_line_panics_and_what_survives_reads_back(
        kind in 0..EVERY_KIND.len(), place in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut line = EVERY_KIND[kind].as_bytes().to_vec();
        let place = place.index(line.len());
        line[place] = byte;
        if let Ok(Some(tick)) = parse_line(&line, 1) {
            prop_assert_eq!(parse_line(tick.to_line().as_bytes(), 1), Ok(Some(tick)));
        }
    }
}
