//! `feed iifl`: sends the vendor's live feed until a signal.

use super::super::{Global, print};
use super::sending::{Sending, TargetArgs};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use ticktide_base::error::{Error, Kind};
use ticktide_base::{environment as settings, metrics as telemetry};
use ticktide_connect::live as connect;
use ticktide_connect::live::figures::Figures;
use ticktide_connect::live::spec::{self, Api, ConnectSpec};
use ticktide_feed::Speed;

/// Frames wait for brokers without a limit: dropping them would be a loss that the user has not asked for.
const WITHOUT_LIMIT: [(&str, &str); 1] = [("message.timeout.ms", "0")];

#[derive(Debug, Args)]
pub struct IiflArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    /// The instruments to subscribe, by exchange ids: NSECM|2885,NSEFO|43423; or @FILE with one per line
    #[arg(long, value_name = "LIST|@FILE")]
    pub instruments: String,
    /// Message codes of XTS (1501,1510), or kinds of the bridge's topics (mw,oi)
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub codes: Vec<String>,
    /// The feed of IIFL
    #[arg(long, value_enum, default_value_t = Api::Xts)]
    pub api: Api,
    /// The address of the feed [default: https://ttblaze.iifl.com, or mqtts://bridge.iiflcapital.com:9906]
    #[arg(long, value_name = "URL")]
    pub root: Option<String>,
    /// Certificates (PEM) to verify the server with, instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Fail at the start if an instrument will give nothing: it has no snapshot, exceeds the key's limit or is refused; without
    /// this flag the other instruments are enough
    #[arg(long)]
    pub strict: bool,
    /// Leave out the instrument master's rows of the subscribed instruments, which XTS sends once a day
    #[arg(long)]
    pub no_master: bool,
    /// Serve metrics for Prometheus at this address [or TICKTIDE_METRICS]
    #[arg(long, value_name = "HOST:PORT")]
    pub metrics: Option<String>,
    /// Print what would be done, and where each value comes from; connect to nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Holds the feed until a signal. Errors: a wrong flag, key or address; no answer at the start; those of Kafka.
pub fn iifl(args: &IiflArgs, global: &Global) -> Result<(), Error> {
    let spec = spec(args)?;
    if args.dry_run {
        return dry_run(args, &spec, global);
    }
    let stop = super::signals()?;
    let address = settings::resolve(args.metrics.clone(), "--metrics", settings::METRICS, None);
    let listener = address.map(|address| telemetry::listen(&address.value, 0)).transpose()?;
    let figures = Arc::<Figures>::default();
    let mut sending = Sending::to(&args.target, Speed::Max, &WITHOUT_LIMIT)?;
    let counted = figures.clone();
    let _serving = listener.map(|listener| telemetry::serve(listener, move || counted.text())).transpose()?;
    connect::run(spec, sending.sink.as_mut(), figures.clone(), stop)?;
    sending.finish(global, &[("reconnects", figures.reconnects.get()), ("gaps", figures.gaps())])
}

fn spec(args: &IiflArgs) -> Result<ConnectSpec, Error> {
    let api = args.api;
    let instruments = match args.instruments.strip_prefix('@') {
        None => args.instruments.clone(),
        Some(path) => std::fs::read_to_string(path).map_err(|error| Error {
            kind: Kind::Fix,
            message: format!("file {path} of `--instruments` cannot be read: {error}"),
            hint: Some("check the path; the file holds SEGMENT|ID, one per line".into()),
        })?,
    };
    let codes: Vec<String> = match args.codes.is_empty() {
        true => api.codes().split(',').map(str::to_owned).collect(),
        false => args.codes.clone(),
    };
    Ok(ConnectSpec {
        api,
        root: spec::root(api, args.root.as_deref().unwrap_or(api.root()))?,
        instruments: spec::instruments(api, &instruments)?,
        codes: spec::codes(api, &codes)?,
        prefix: args.target.prefix.clone(),
        authorities: args.ca.clone(),
        strict: args.strict,
        master: !args.no_master,
    })
}

/// Prints every value except secrets; of a secret, only whether it is set.
fn dry_run(args: &IiflArgs, spec: &ConnectSpec, global: &Global) -> Result<(), Error> {
    let variables: &[&'static str] = match spec.api {
        Api::Xts => &[settings::IIFL_APP_KEY, settings::IIFL_SECRET_KEY],
        Api::Bridge => &[settings::IIFL_TOKEN, settings::IIFL_USER],
    };
    let state = |name: &&'static str| match settings::variable(name) {
        None => (*name, "not set"),
        Some(value) if value.starts_with('@') => (*name, "set, in a file"),
        Some(_) => (*name, "set"),
    };
    let secrets: Vec<(&str, &str)> = variables.iter().map(state).collect();
    let brokers = settings::resolve(args.target.brokers.clone(), "--brokers", settings::BROKERS, None);
    let target = match (&args.target.output, brokers) {
        (Some(path), _) => format!("file {} (--output)", path.display()),
        (None, Some(found)) => format!("Kafka {} ({})", found.value, found.origin),
        (None, None) => "standard output (default)".to_owned(),
    };
    let instruments: Vec<String> = spec.instruments.iter().map(spec::RequestedInstrument::name).collect();
    let mut rows = vec![
        ("api", spec.api.name().to_owned()),
        ("root", spec.root.to_string()),
        ("instruments", instruments.join(",")),
        ("codes", spec.codes.join(",")),
        ("to", target),
        ("topics", spec.topics().join(",")),
    ];
    rows.extend(secrets.into_iter().map(|(name, state)| (name, state.to_owned())));
    if global.json {
        let line: serde_json::Map<String, serde_json::Value> =
            rows.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
        return print(&format!("{}\n", json!(line)));
    }
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    print(&super::super::aligned(&rows))
}

#[cfg(test)]
mod tests {
    use crate::Cli;
    use clap::Parser;

    #[test]
    fn no_argument_takes_a_secret() {
        use clap::CommandFactory;
        let mut command = Cli::command();
        let feed = command.find_subcommand_mut("feed").and_then(|feed| feed.find_subcommand_mut("iifl"));
        let help = feed.expect("it is there").render_long_help().to_string();
        assert!(help.contains("TICKTIDE_IIFL_SECRET_KEY"), "{help}");
        for word in ["--app-key", "--secret-key", "--token", "--password", "--insecure"] {
            assert!(!help.contains(word), "{word} in {help}");
        }
        assert!(Cli::try_parse_from(["ticktide", "feed", "iifl"]).is_err(), "instruments are needed");
    }
}
