//! Bhavcopies: an exchange's own file of a day, one line for each instrument, in the layouts that have been in force.
//!
//! | layout | columns | in force |
//! |---|---|---|
//! | `udiff` | `TradDt,BizDt,Sgmt,Src,…,FinInstrmId,ISIN,TckrSymb,SctySrs,…,OpnPric,…,TtlTradgVol,…` | since 2024-07-08, all segments of NSE and BSE |
//! | `legacy` | `SYMBOL,SERIES,OPEN,HIGH,LOW,CLOSE,LAST,PREVCLOSE,TOTTRDQTY,TOTTRDVAL,TIMESTAMP[,TOTALTRADES,ISIN,]` | until 2024-07-05, NSE's shares |
//! | `full` | `SYMBOL, SERIES, DATE1, PREV_CLOSE, OPEN_PRICE, …, TTL_TRD_QNTY, …` | alongside both (`sec_bhavdata_full`), NSE's shares |
//!
//! Columns are found by name. `FinInstrmId` is NSE's token or BSE's scrip code, the feed's names for instruments; the other two
//! layouts have only symbols. The close is not a trade (it is the average of the last half hour, or an auction's price), so the
//! last price is kept as well. A line without trades is a silent day, not a candle.
//!
//! Derivatives differ in two ways. NSE counts contracts, while the feed and BSE count units: the volume is multiplied by the
//! lot, `NewBrdLotQty`. And the close may not be a price of the contract at all (BSE gives the underlying's on the day of
//! expiry): a close outside low and high is left out, and the last price is compared instead.

use super::{
    Asked, BarValues, Candle, FileFormat, FileInstrument, Given, Malformed, Numbers, ReconcileError, TimeLabel,
};
use csv::{ReaderBuilder, StringRecord, Trim};
use jiff::civil::Date;
use std::path::Path;
use ticktide_base::time::{DAY, Interval};
use ticktide_market::SCALE;

pub static FORMAT: FileFormat = FileFormat {
    name: "bhavcopy",
    doc: "an exchange's bhavcopy of a day as CSV (UDiFF, NSE's older layout, sec_bhavdata_full)",
    fits,
    read,
    example: (
        "BhavCopy_NSE_CM_0_0_0_20240708_F_0000.csv",
        "TradDt,BizDt,Sgmt,Src,FinInstrmTp,FinInstrmId,ISIN,TckrSymb,SctySrs,OpnPric,HghPric,LwPric,ClsPric,LastPric,TtlTradgVol\n\
         2024-07-08,2024-07-08,CM,NSE,STK,2885,INE002A01018,RELIANCE,EQ,3180.00,3217.60,3178.00,3201.80,3199.00,4962172",
    ),
};

/// Names of the columns that are read.
struct Layout {
    name: &'static str,
    date: &'static str,
    symbol: &'static str,
    series: &'static str,
    /// Open, high, low, close, last.
    prices: [&'static str; 5],
    volume: &'static str,
    /// Units in a contract.
    lot: Option<&'static str>,
    /// Token, exchange, segment.
    keys: Option<[&'static str; 3]>,
}

static LAYOUTS: &[Layout] = &[
    Layout {
        name: "udiff",
        date: "TradDt",
        symbol: "TckrSymb",
        series: "SctySrs",
        prices: ["OpnPric", "HghPric", "LwPric", "ClsPric", "LastPric"],
        volume: "TtlTradgVol",
        lot: Some("NewBrdLotQty"),
        keys: Some(["FinInstrmId", "Src", "Sgmt"]),
    },
    Layout {
        name: "legacy",
        date: "TIMESTAMP",
        symbol: "SYMBOL",
        series: "SERIES",
        prices: ["OPEN", "HIGH", "LOW", "CLOSE", "LAST"],
        volume: "TOTTRDQTY",
        lot: None,
        keys: None,
    },
    Layout {
        name: "full",
        date: "DATE1",
        symbol: "SYMBOL",
        series: "SERIES",
        prices: ["OPEN_PRICE", "HIGH_PRICE", "LOW_PRICE", "CLOSE_PRICE", "LAST_PRICE"],
        volume: "TTL_TRD_QNTY",
        lot: None,
        keys: None,
    },
];

/// The venue of layouts that do not name it.
const SHARES: &str = "NSECM";
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const SHOWN: usize = 120;

impl Layout {
    /// The columns that a file must have.
    fn columns(&self) -> impl Iterator<Item = &'static str> {
        let keys = self.keys.into_iter().flatten();
        [self.date, self.symbol, self.series, self.volume].into_iter().chain(self.prices).chain(keys)
    }

    /// The layout of a header; otherwise the nearest layout and the columns that it lacks.
    fn of(header: &StringRecord) -> Result<&'static Layout, (&'static Layout, Vec<&'static str>)> {
        let lacks = |layout: &Layout| -> Vec<&'static str> {
            layout.columns().filter(|column| !header.iter().any(|name| name == *column)).collect()
        };
        let nearest = LAYOUTS.iter().min_by_key(|layout| lacks(layout).len()).expect("there are layouts");
        match lacks(nearest) {
            none if none.is_empty() => Ok(nearest),
            missing => Err((nearest, missing)),
        }
    }
}

/// A header with two of a layout's columns: if others are missing, the error names them.
fn fits(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    let names: Vec<&str> = first.split(',').map(|name| name.trim().trim_matches('"')).collect();
    LAYOUTS.iter().any(|layout| layout.columns().filter(|column| names.contains(column)).count() >= 2)
}

fn read(text: &str, path: &Path, _: &Asked) -> Result<Given, ReconcileError> {
    let mut reader = ReaderBuilder::new().trim(Trim::All).flexible(true).from_reader(text.as_bytes());
    let unread = |error: csv::Error| ReconcileError::file(path, format!("line 1: {error}"), "is it a bhavcopy?");
    let header = reader.headers().map_err(unread)?.clone();
    let layout = Layout::of(&header).map_err(|(layout, missing)| {
        let message = format!("line 1: a bhavcopy of layout {} without {}", layout.name, missing.join(", "));
        ReconcileError::file(
            path,
            message,
            "fetch the whole file from the exchange; derivatives are read as UDiFF only",
        )
    })?;
    let places = Places::of(&header, layout);
    let mut given = Given { layout: layout.name, interval: Some(Interval(DAY)), ..Given::default() };
    let mut numbers = Numbers::default();
    for (index, record) in (2..).zip(reader.into_records()) {
        let (line, read, text) = match &record {
            Ok(record) => {
                let line = record.position().map_or(index, csv::Position::line);
                let shown = record.iter().collect::<Vec<_>>().join(",");
                (line, places.candle(record, line, &mut numbers), shown)
            }
            Err(error) => (index, Err(error.to_string()), String::new()),
        };
        match read {
            Ok(Some(candle)) => given.candles.push(candle),
            Ok(None) => given.silent += 1,
            Err(reason) => {
                given.malformed.push(Malformed { row: line, reason, text: text.chars().take(SHOWN).collect() });
            }
        }
    }
    given.decimals = numbers.decimals;
    Ok(given)
}

/// The positions of a layout's columns.
struct Places {
    layout: &'static Layout,
    date: usize,
    symbol: usize,
    series: usize,
    prices: [usize; 5],
    volume: usize,
    lot: Option<usize>,
    keys: Option<[usize; 3]>,
}

impl Places {
    fn of(header: &StringRecord, layout: &'static Layout) -> Places {
        let place = |name: &str| header.iter().position(|column| column == name).unwrap_or(usize::MAX);
        Places {
            layout,
            date: place(layout.date),
            symbol: place(layout.symbol),
            series: place(layout.series),
            prices: layout.prices.map(place),
            volume: place(layout.volume),
            lot: layout.lot.map(place),
            keys: layout.keys.map(|keys| keys.map(place)),
        }
    }

    /// A line's candle; `None`: nothing was traded. Errors: why it is malformed.
    fn candle(&self, record: &StringRecord, row: u64, numbers: &mut Numbers) -> Result<Option<Candle>, String> {
        let field = |place: usize, name: &str| record.get(place).ok_or_else(|| format!("it ends before {name}"));
        let day = date(field(self.date, self.layout.date)?)?;
        let name = self.name(record)?;
        let volume = field(self.volume, self.layout.volume)?;
        if matches!(volume, "" | "-" | "0") {
            return Ok(None);
        }
        let mut volume = numbers.volume(self.layout.volume, volume)?;
        let exchange = self.derivatives_of(record);
        if exchange == Some("NSE") {
            volume = volume.saturating_mul(self.lot(record, numbers)?) / i128::from(SCALE);
        }
        let mut prices = [0; 5];
        for (price, (place, name)) in prices.iter_mut().zip(self.prices.iter().zip(self.layout.prices)) {
            *price = numbers.price(name, field(*place, name)?)?;
        }
        let [open, high, low, close, last] = prices;
        let close = if exchange.is_some() && !(low..=high).contains(&close) { last } else { close };
        let values = BarValues { open, high, low, close, volume: Some(volume) };
        // a share's close is an average or an auction's price, yet never outside what was traded
        match values.impossible() {
            Some(reason) => Err(reason.to_owned()),
            None => Ok(Some(Candle { row, name, label: TimeLabel::Day(day), values, last: Some(last) })),
        }
    }

    /// The exchange of a line of derivatives; `None`: the line is not of derivatives.
    fn derivatives_of<'a>(&self, record: &'a StringRecord) -> Option<&'a str> {
        let [_, exchange, segment] = self.keys?;
        record.get(exchange).filter(|_| record.get(segment) == Some("FO"))
    }

    /// Units in a contract, times 10⁸. Errors: the line does not say.
    fn lot(&self, record: &StringRecord, numbers: &Numbers) -> Result<i128, String> {
        let name = self.layout.lot.unwrap_or_default();
        let text = self.lot.and_then(|place| record.get(place)).unwrap_or_default();
        match numbers.volume(name, text) {
            Ok(units) if units > 0 => Ok(units),
            _ => Err(format!("its volume counts contracts, and {name} {text:?} is not a number of units")),
        }
    }

    fn name(&self, record: &StringRecord) -> Result<FileInstrument, String> {
        let text = |place: usize| record.get(place).filter(|text| !matches!(*text, "" | "-")).map(str::to_owned);
        let (symbol, series) = (text(self.symbol), text(self.series));
        if symbol.is_none() {
            return Err(format!("it has no {}", self.layout.symbol));
        }
        let Some([token, exchange, segment]) = self.keys else {
            return Ok(FileInstrument { venue: SHARES.to_owned(), instrument: None, symbol, series });
        };
        match (text(token), text(exchange), text(segment)) {
            (Some(token), Some(exchange), Some(segment)) => {
                Ok(FileInstrument { venue: format!("{exchange}{segment}"), instrument: Some(token), symbol, series })
            }
            _ => Err("it lacks FinInstrmId, Src or Sgmt".to_owned()),
        }
    }
}

/// Days since 1970 of `2024-07-08` or `05-JUL-2024`.
fn date(text: &str) -> Result<i32, String> {
    let wrong = || format!("{text:?} is not a date like 2024-07-08 or 05-JUL-2024");
    let parts: Vec<&str> = text.split('-').collect();
    let [first, month, last] = parts[..] else { return Err(wrong()) };
    let number = |text: &str| text.parse::<i16>().map_err(|_| wrong());
    let (year, month, day) = match first.len() {
        4 => (number(first)?, number(month)?, number(last)?),
        _ => {
            let name = month.to_ascii_lowercase();
            let month = MONTHS.iter().position(|known| *known == name).ok_or_else(wrong)?;
            (number(last)?, month as i16 + 1, number(first)?)
        }
    };
    let (month, day) = (i8::try_from(month).map_err(|_| wrong())?, i8::try_from(day).map_err(|_| wrong())?);
    // there was no such file before, and nanoseconds do not reach beyond 2262
    let date = Date::new(year, month, day).ok().filter(|_| (1980..2200).contains(&year)).ok_or_else(wrong)?;
    Ok(ticktide_market::calendar::day_of(date))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn given(text: &str) -> Given {
        read(text, Path::new("x.csv"), &Asked::default()).expect(text)
    }

    #[test]
    fn a_day_is_the_same_in_every_layout() {
        let legacy = "SYMBOL,SERIES,OPEN,HIGH,LOW,CLOSE,LAST,PREVCLOSE,TOTTRDQTY,TOTTRDVAL,TIMESTAMP,TOTALTRADES,ISIN,\n\
                      RELIANCE,EQ,3180,3217.6,3178,3201.8,3199,3177.25,4962172,15880000000,08-JUL-2024,190000,INE002A01018,\n";
        let full = "SYMBOL, SERIES, DATE1, PREV_CLOSE, OPEN_PRICE, HIGH_PRICE, LOW_PRICE, LAST_PRICE, CLOSE_PRICE, AVG_PRICE, TTL_TRD_QNTY, TURNOVER_LACS, NO_OF_TRADES, DELIV_QTY, DELIV_PER\n\
                    RELIANCE, EQ, 08-Jul-2024, 3177.25, 3180.00, 3217.60, 3178.00, 3199.00, 3201.80, 3200.12, 4962172, 158800.00, 190000, 2500000, 50.38\n";
        let days: Vec<Candle> = [FORMAT.example.1, legacy, full]
            .iter()
            .map(|text| {
                assert!(fits(text), "{text}");
                let found = given(text);
                assert_eq!((found.candles.len(), found.malformed.len(), found.decimals), (1, 0, 1), "{text}");
                found.candles[0].clone()
            })
            .collect();
        assert_eq!(days[0].name.to_string(), "NSECM|2885|RELIANCE|EQ");
        assert_eq!(days[1].name.to_string(), "NSECM|RELIANCE|EQ");
        for day in &days {
            assert_eq!((day.row, day.label), (2, TimeLabel::Day(19_912)));
            assert_eq!((day.values, day.last), (days[0].values, Some(319_900_000_000)));
        }
        assert_eq!(days[0].values.volume, Some(496_217_200_000_000));
    }

    #[test]
    fn lines_without_trades_are_silent_and_bad_lines_are_told() {
        let head = FORMAT.example.1.lines().next().expect("a header");
        let text = format!(
            "{head}\n2024-07-08,x,CM,NSE,STK,1,I,A,EQ,0,0,0,0,0,0\n2024-07-08,x,CM,NSE,STK,2,I,B,EQ,-,-,-,-,-,-\n\
             08/07/2024,x,CM,NSE,STK,3,I,C,EQ,1,1,1,1,1,1\n2024-07-08,x,CM,NSE,STK,4,I,D,EQ,1,1,2,1,1,1\n2024-07-08,x,CM\n\
             2024-07-08,x,CM,NSE,STK,5,I,E,EQ,1,1,1,1,x,1\n2024-07-08,x,CM,NSE,STK,6,I,F,EQ,1,1,1,1,1,9999999999999999\n2024-07-08,x,CM,BSE,STK,500002,I,ABB,A,1,1,1,1,1,1\n"
        );
        let found = given(&text);
        assert_eq!((found.silent, found.candles.len()), (2, 1));
        assert_eq!(found.candles[0].name.to_string(), "BSECM|500002|ABB|A");
        let told: Vec<(u64, &str)> = found.malformed.iter().map(|row| (row.row, row.reason.as_str())).collect();
        assert_eq!(
            told,
            [
                (4, "\"08/07/2024\" is not a date like 2024-07-08 or 05-JUL-2024"),
                (5, "its low is above its high"),
                (6, "it has no TckrSymb"),
                (7, "LastPric \"x\" is not a decimal number"),
                (8, "its volume is above 10^15"),
            ]
        );
    }

    const UDIFF: &str = "TradDt,BizDt,Sgmt,Src,FinInstrmTp,FinInstrmId,ISIN,TckrSymb,SctySrs,XpryDt,FininstrmActlXpryDt,StrkPric,OptnTp,FinInstrmNm,OpnPric,HghPric,LwPric,ClsPric,LastPric,PrvsClsgPric,UndrlygPric,SttlmPric,OpnIntrst,ChngInOpnIntrst,TtlTradgVol,TtlTrfVal,TtlNbOfTxsExctd,SsnId,NewBrdLotQty";

    /// Lines as the exchanges wrote them; the turnover, divided by the volume in units, is a price of the day.
    #[test]
    fn the_volume_of_a_derivative_is_in_units_whatever_its_exchange_counts() {
        let future = "2024-07-08,2024-07-08,FO,NSE,STF,63806,,RELIANCE,,2024-07-25,2024-07-25,,,RELIANCE24JULFUT,3190.00,3224.30,3172.00,3208.10,3206.15,3187.35,3201.80,3208.10,28804250,-1499500,39175,31353890650.00,32467,F1,250";
        let option = "2026-04-30,2026-04-30,FO,BSE,IDO,842625,,SENSEX,,2026-06-25,2026-06-25,78000.00,CE,SENSEX26JUN78000CE,1500.00,1982.60,1500.00,1969.30,1963.40,2300.00,76913.50,1969.30,2320,1860,2940,234310908.00,143,F1,20";
        let found = given(&format!("{UDIFF}\n{future}\n{option}\n"));
        assert_eq!((found.malformed.len(), found.candles.len()), (0, 2), "{:?}", found.malformed);
        // an option's turnover is counted with its strike
        for (candle, turnover, strike) in [(0, 31_353_890_650, 0), (1, 234_310_908, 78_000)] {
            let BarValues { high, low, volume, .. } = found.candles[candle].values;
            let units = volume.expect("told") / i128::from(SCALE);
            let average = turnover * i128::from(SCALE) / units - strike * i128::from(SCALE);
            assert!((i128::from(low)..=i128::from(high)).contains(&average), "{units} units for {average}");
        }
        let text = format!("{UDIFF}\n{}\n{}", future.replace(",F1,250", ",F1,"), future.replace(",F1,250", ",F1,0"));
        let told: Vec<String> = given(&text).malformed.into_iter().map(|row| row.reason).collect();
        let expected =
            |text: &str| format!("its volume counts contracts, and NewBrdLotQty {text:?} is not a number of units");
        assert_eq!(told, [expected(""), expected("0")]);
    }

    #[test]
    fn a_derivative_that_closes_with_its_underlying_is_compared_by_its_last_price() {
        let expired = "2026-04-30,2026-04-30,FO,BSE,IDO,848544,,SENSEX,,2026-04-30,2026-04-30,75200.00,CE,SENSEX26APR75200CE,1545.00,2082.50,916.00,76913.50,1710.10,2043.90,76913.50,76913.50,2340,220,44500,3404461699.00,935,F1,20";
        let found = given(&format!("{UDIFF}\n{expired}\n"));
        assert_eq!(found.malformed, []);
        let last = 171_010_000_000;
        assert_eq!((found.candles[0].values.close, found.candles[0].last), (last, Some(last)));
        // inside of low and high it is the exchange's
        let ordinary = expired.replace("916.00,76913.50,", "916.00,1700.00,");
        assert_eq!(given(&format!("{UDIFF}\n{ordinary}\n")).candles[0].values.close, 170_000_000_000);
        let share = expired.replace(",FO,BSE,", ",CM,BSE,");
        assert_eq!(given(&format!("{UDIFF}\n{share}\n")).malformed[0].reason, "its close is not between low and high");
    }

    #[test]
    fn a_header_that_lacks_columns_is_told_which() {
        let text = "SYMBOL,SERIES,OPEN,HIGH,LOW,CLOSE,LAST,TIMESTAMP\nA,EQ,1,1,1,1,1,08-JUL-2024\n";
        assert!(fits(text));
        let error = read(text, Path::new("x.csv"), &Asked::default()).expect_err("no volume");
        assert_eq!(error.to_string(), "x.csv: line 1: a bhavcopy of layout legacy without TOTTRDQTY");
    }

    #[test]
    fn dates_are_read_in_both_ways_and_no_other() {
        assert_eq!(date("2024-07-08"), Ok(19_912));
        assert_eq!(date("08-Jul-2024"), Ok(19_912));
        for text in [
            "",
            "-",
            "2024-13-01",
            "2024-02-30",
            "08-XXX-2024",
            "8/7/2024",
            "99-JAN-2024",
            "2024-07-08-1",
            "9999-12-31",
            "0001-01-01",
        ] {
            assert!(date(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(body in "[0-9,.\"A-Z\\-\n]{0,120}") {
            let text = format!("{}\n{body}", FORMAT.example.1.lines().next().expect("a header"));
            let _ = (fits(&body), read(&text, Path::new("x.csv"), &Asked::default()));
        }
    }
}
