#!/usr/bin/env python3
"""Makes daily-2000-2013.jsonl.gz and daily-2008-autumn.jsonl.gz: real daily bars as tick lines.

    pip download --no-deps bokeh_sampledata==2026.1
    python3 make_daily.py bokeh_sampledata-2026.1-py3-none-any.whl

Needs Python alone. The same wheel gives the same bytes. Bars are copied, never changed; a row that contradicts
itself, or whose step over a split is not a split's, stops the script. See README.md for where the facts come from.
"""
import csv
import gzip
import io
import json
import sys
import zipfile
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

NAMES = {
    "AAPL": "Apple Inc.",
    "GOOG": "Google Inc.",
    "IBM": "International Business Machines Corporation",
    "MSFT": "Microsoft Corporation",
}
# Corporate actions that the unadjusted bars show (symbol, first session that trades on the new terms, ratio).
SPLITS = [
    ("AAPL", "2000-06-21", 2, 1),
    ("MSFT", "2003-02-18", 2, 1),
    ("AAPL", "2005-02-28", 2, 1),
]
# (symbol, amount, announced, ex, pay)
DIVIDENDS = [("MSFT", "3.00", "2004-07-20", "2004-11-15", "2004-12-02")]

NEW_YORK = ZoneInfo("America/New_York")


def start_of(date):
    """The start of a New York date, with its offset."""
    return datetime.fromisoformat(date).replace(tzinfo=NEW_YORK).isoformat()


def rows_of(wheel):
    with zipfile.ZipFile(wheel) as archive:
        packed = archive.read("bokeh_sampledata/_data/stocks.csv.gz")
    rows = csv.DictReader(io.StringIO(gzip.decompress(packed).decode()))
    return [row for row in rows if row["Ticker"] in NAMES]


def check(rows):
    closes = {}
    for row in rows:
        open_, high, low, close = (Decimal(row[k]) for k in ("Open", "High", "Low", "Close"))
        assert 0 < low <= min(open_, close) and max(open_, close) <= high, row
        assert int(row["Volume"]) > 0, row
        adjusted = Decimal(row["Adj Close"])
        if row["Ticker"] in closes:
            before, before_adjusted = closes[row["Ticker"]]
            step = (close / before) / (adjusted / before_adjusted)
            split = [n for s, date, n, _ in SPLITS if (s, date) == (row["Ticker"], row["Date"])]
            dividend = [a for s, a, _, ex, _ in DIVIDENDS if (s, ex) == (row["Ticker"], row["Date"])]
            expected = 1 / Decimal(split[0]) if split else 1
            if dividend:
                expected = 1 - Decimal(dividend[0]) / before
            # ordinary quarterly dividends stay below 2 %; everything else must be in the tables above
            assert abs(step - expected) < Decimal("0.02"), (row, step)
        closes[row["Ticker"]] = (close, adjusted)


def lines(rows, first, last):
    for symbol, name in NAMES.items():
        if any(row["Ticker"] == symbol and first <= row["Date"] <= last for row in rows):
            yield {"t": "instrument", "symbol": symbol, "name": name, "kind": "stock", "tick": "0.01"}
    timed = []
    for symbol, date, numerator, denominator in SPLITS:
        line = {"t": "split", "symbol": symbol, "numerator": str(numerator), "denominator": str(denominator),
                "id": f"{symbol}-split-{date}", "at": start_of(date)}
        timed.append((date, 0, symbol, line))
    for symbol, amount, announced, ex, pay in DIVIDENDS:
        line = {"t": "dividend", "symbol": symbol, "amount": amount, "ex": ex, "pay": pay,
                "id": f"{symbol}-dividend-{ex}", "at": start_of(announced)}
        timed.append((announced, 0, symbol, line))
    for row in rows:
        line = {"t": "bar", "symbol": row["Ticker"], "open": price(row["Open"]), "high": price(row["High"]),
                "low": price(row["Low"]), "close": price(row["Close"]), "volume": row["Volume"],
                "at": start_of(row["Date"]), "span": "1d"}
        timed.append((row["Date"], 1, row["Ticker"], line))
    for date, _, _, line in sorted(timed, key=lambda entry: entry[:3]):
        if first <= date <= last:
            yield line


def price(text):
    value = Decimal(text).normalize()
    assert value.as_tuple().exponent >= -4, text
    return f"{value.quantize(Decimal('0.01')) if value.as_tuple().exponent > -2 else value:f}"


def write(path, found):
    found = list(found)
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in found)
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0, compresslevel=9) as archive:
        archive.write(text.encode())
    path.write_bytes(packed.getvalue())
    print(f"{path.name}: {len(found)} lines, {len(packed.getvalue())} bytes")


def main():
    here = Path(__file__).parent
    rows = rows_of(sys.argv[1])
    check(rows)
    write(here / "daily-2000-2013.jsonl.gz", lines(rows, "2000-03-01", "2013-03-01"))
    write(here / "daily-2008-autumn.jsonl.gz", lines(rows, "2008-08-01", "2008-12-31"))


main()
