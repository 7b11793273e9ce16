//! `calendar`: prints when a session trades, day by day.

use super::{Global, aligned, print};
use clap::Args;
use jiff::civil::Date;
use ticktide_base::document::Problems;
use ticktide_base::error::{Error, nearest};
use ticktide_market::calendar::{CalendarDay, Class, PRESETS, Session, file};

#[derive(Debug, Args)]
pub struct CalendarArgs {
    /// A session's name (see `ticktide list sessions`), or a calendar file ending in .toml
    pub session: String,
    /// The first date
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub from: Date,
    /// The last date [default: the first one]
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub to: Option<Date>,
    /// Only this class of instruments
    #[arg(long, value_name = "NAME")]
    pub class: Option<String>,
}

/// The longest range that is listed: more days are a mistyped date.
const DAYS_MOST: i32 = 40_000;

/// Prints the phases of each date and class; a date without trading has the reason. Errors: an unknown session or class, a
/// bad file, no dates.
pub fn calendar(args: &CalendarArgs, global: &Global) -> Result<(), Error> {
    let session = session(&args.session)?;
    let classes: Vec<Class> = match &args.class {
        None => session.classes().collect(),
        Some(name) => vec![class(&session, name)?],
    };
    let [from, to] = [args.from, args.to.unwrap_or(args.from)].map(ticktide_market::calendar::day_of);
    if from > to || to - from > DAYS_MOST {
        let message =
            format!("the range from {} to {} has no dates, or too many", args.from, args.to.unwrap_or(args.from));
        return Err(Error::fix(message, "give `--from` and `--to` as YYYY-MM-DD, the earlier date first"));
    }
    for class in classes {
        let listed = session.list(class, from, to);
        if global.json {
            for day in listed {
                let line = serde_json::to_string(&day).map_err(|error| Error::bug(error.to_string()))?;
                print(&format!("{line}\n"))?;
            }
        } else {
            print(&aligned(&listed.map(|day| row(&day)).collect::<Vec<_>>()))?;
        }
    }
    Ok(())
}

/// A session by its name, or by the path of a calendar file.
pub fn session(name: &str) -> Result<Session, Error> {
    if !name.ends_with(".toml") && !name.contains('/') {
        let names: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
        return Session::preset(name).ok_or_else(|| {
            let hint = match nearest(name, &names) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("the sessions are {}; give a calendar file by its path", names.join(", ")),
            };
            Error::fix(format!("there is no session {name:?}"), hint)
        });
    }
    let text = std::fs::read_to_string(name)
        .map_err(|error| Error::fix(format!("the calendar {name} cannot be read: {error}"), "check the path"))?;
    let problems = Problems::default();
    let session = file::parse(name, &text, &problems);
    let found: Vec<_> = problems.take().into_iter().map(|problem| ("calendar".to_owned(), problem)).collect();
    super::check::all(&found).map_or(Ok(session), Err)
}

fn class(session: &Session, name: &str) -> Result<Class, Error> {
    let found = session.classes().find(|class| session.class_name(*class) == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = session.classes().map(|class| session.class_name(class)).collect();
        Error::fix(format!("the session has no class {name:?}"), format!("its classes are {}", names.join(", ")))
    })
}

fn row(day: &CalendarDay) -> Vec<String> {
    let clock = |text: &str| text.get(11..16).unwrap_or(text).to_owned();
    let phases: Vec<String> = day
        .phases
        .iter()
        .map(|phase| format!("{} {}-{}", phase.phase, clock(&phase.open), clock(&phase.close)))
        .collect();
    let shown = if phases.is_empty() { "closed".to_owned() } else { phases.join(", ") };
    let name = day.name.clone().unwrap_or_default();
    let known = if day.known { "" } else { "(holidays not known)" };
    vec![day.date.clone(), day.class.clone(), shown, format!("{name} {known}").trim().to_owned()]
}
