//! Where frames are sent, and how fast: what `simulate` and `replay` share.

use crate::{Global, note, print};
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use ticktide_base::environment as settings;
use ticktide_base::error::{Error, Kind};
use ticktide_base::time::Nanos;
use ticktide_connect::produce::{Kafka, LineSink, Sink};
use ticktide_feed::{Pace, Speed};

/// The longest sleep until a frame is due, so that a signal is noticed.
const NAP: Duration = Duration::from_millis(200);

/// Where frames are sent.
#[derive(Debug, Args)]
pub struct TargetArgs {
    /// Send to topics of these Kafka brokers, separated by commas [or TICKTIDE_BROKERS]
    #[arg(long, value_name = "LIST", conflicts_with = "output")]
    pub brokers: Option<String>,
    /// Write to a new file, as recorded lines; `-`: standard output, which is the default without brokers
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// What the topics of message codes begin with: xts-1501, …
    #[arg(long, value_name = "TEXT", default_value = "xts-")]
    pub prefix: String,
    /// Number of partitions of a topic that does not exist yet
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub partitions: u32,
    /// A setting of librdkafka; a value `@FILE` is the text of that file; may be repeated
    #[arg(long = "kafka", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
}

#[derive(Debug, Args)]
pub struct SendingArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    /// How fast frames are sent: `max`, or a multiple of recorded time (1 is as recorded)
    #[arg(long, value_name = "N|max", default_value = "max", value_parser = speed)]
    pub speed: Speed,
}

fn speed(text: &str) -> Result<Speed, String> {
    match text.parse::<f64>() {
        _ if text == "max" => Ok(Speed::Max),
        Ok(times) if times.is_finite() && times > 0.0 => Ok(Speed::Times(times)),
        _ => Err("give `max` or a number above 0: 1 is as recorded".to_owned()),
    }
}

/// An open destination of frames, and their pace.
pub struct Sending {
    pub sink: Box<dyn Sink>,
    /// Frames go to standard output: nothing else goes there.
    to_stdout: bool,
    speed: Speed,
    pace: Option<Pace>,
    begun: Instant,
}

impl Sending {
    /// Errors: no broker answers, a setting is wrong, the file exists or cannot be made.
    pub fn open(args: &SendingArgs) -> Result<Sending, Error> {
        Sending::to(&args.target, args.speed, &[])
    }

    /// As [`Sending::open`]; `defaults` are settings of librdkafka unless the user gives others.
    pub fn to(args: &TargetArgs, speed: Speed, defaults: &[(&str, &str)]) -> Result<Sending, Error> {
        let brokers = settings::resolve(args.brokers.clone(), "--brokers", settings::BROKERS, None);
        let to_stdout = match (&args.output, &brokers) {
            (Some(path), _) => path.as_os_str() == "-",
            (None, brokers) => brokers.is_none(),
        };
        let sink: Box<dyn Sink> = match (&args.output, brokers) {
            _ if to_stdout => Box::new(LineSink::new(BufWriter::with_capacity(1 << 16, io::stdout()))),
            (Some(path), _) => {
                let file = File::create_new(path).map_err(|error| {
                    let hint = "give `--output` the name of a file that does not exist yet";
                    Error::fix(format!("file {} cannot be made: {error}", path.display()), hint)
                })?;
                Box::new(LineSink::new(BufWriter::with_capacity(1 << 20, file)))
            }
            (None, brokers) => {
                let brokers = brokers.map(|brokers| brokers.value).unwrap_or_default();
                let mut given = properties(&args.settings)?;
                for (key, value) in defaults {
                    given.entry((*key).to_owned()).or_insert_with(|| (*value).to_owned());
                }
                Box::new(Kafka::open(&brokers, &given, args.partitions)?)
            }
        };
        Ok(Sending { sink, to_stdout, speed, pace: None, begun: Instant::now() })
    }

    /// Waits until a recorded time is due.
    pub fn wait_for(&mut self, at: Nanos) {
        if self.speed == Speed::Max {
            return;
        }
        let (speed, pace) = (self.speed, &mut self.pace);
        let pace = pace.get_or_insert_with(|| Pace::new(speed, at));
        loop {
            let early = at.saturating_sub(pace.now());
            if early <= 0 {
                return;
            }
            let Speed::Times(times) = speed else { return };
            let nap = Duration::from_secs_f64((early as f64 / 1e9 / times).min(NAP.as_secs_f64()));
            std::thread::sleep(nap.max(Duration::from_micros(100)));
        }
    }

    /// Waits until all frames are stored, and reports how many they are.
    pub fn finish(mut self, global: &Global, more: &[(&str, u64)]) -> Result<(), Error> {
        let frames = self.sink.finish()?;
        let seconds = self.begun.elapsed().as_secs_f64();
        if global.json && !self.to_stdout {
            let mut line = json!({ "frames": frames, "seconds": seconds });
            more.iter().for_each(|(name, count)| line[*name] = json!(count));
            return print(&format!("{line}\n"));
        }
        if !global.quiet {
            let more: String = more.iter().map(|(name, count)| format!(", {count} {name}")).collect();
            note(format_args!("{frames} frames in {seconds:.1} s{more}"));
        }
        Ok(())
    }
}

/// `KEY=VALUE` settings; errors name the key, never the value.
fn properties(settings: &[String]) -> Result<BTreeMap<String, String>, Error> {
    let mut properties = BTreeMap::new();
    for setting in settings {
        let Some((key, value)) = setting.split_once('=') else {
            return Err(Error::fix("a `--kafka` setting has no `=`", "give e.g. `--kafka security.protocol=SASL_SSL`"));
        };
        let value = match value.strip_prefix('@') {
            None => value.to_owned(),
            Some(path) => {
                std::fs::read_to_string(path).map(|text| text.trim_end().to_owned()).map_err(|error| Error {
                    kind: Kind::Fix,
                    message: format!("file {path} of `--kafka {key}` cannot be read: {error}"),
                    hint: Some("check the path and its permissions".into()),
                })?
            }
        };
        properties.insert(key.to_owned(), value);
    }
    Ok(properties)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_from_the_command_line_or_a_file_and_errors_do_not_show_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("password");
        std::fs::write(&path, "s3cret\n").expect("written");
        let file = format!("sasl.password=@{}", path.display());
        let found = properties(&["a=b=c".into(), file]).expect("good settings");
        assert_eq!(found, BTreeMap::from([("a".into(), "b=c".into()), ("sasl.password".into(), "s3cret".into())]));
        let error = properties(&["s3cret".into()]).expect_err("no key");
        assert!(!error.message.contains("s3cret"));
        assert!(properties(&["x=@/nothing/there".into()]).is_err());
    }

    #[test]
    fn a_speed_is_above_nothing() {
        assert_eq!((speed("max"), speed("2.5")), (Ok(Speed::Max), Ok(Speed::Times(2.5))));
        assert!(["0", "-1", "inf", "fast"].into_iter().all(|text| speed(text).is_err()));
    }
}
