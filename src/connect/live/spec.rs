//! What a connector subscribes: an API, its address, instruments and codes.

use crate::produce;
use reqwest::Url;
use std::path::PathBuf;
use ticktide_base::error::{Error, nearest};
use ticktide_feed::wire::xts::segments::{SEGMENTS, Segment};

/// Codes of XTS that can be requested.
const CODES: [&str; 8] = ["1501", "1502", "1504", "1505", "1507", "1510", "1512", "1105"];
/// Kinds of the bridge's topics for an instrument …
const KINDS: [&str; 4] = ["mw", "index", "oi", "lpp"];
/// … and for a whole segment.
const SEGMENT_KINDS: [&str; 5] = ["marketstatus", "uppercircuit", "lowercircuit", "high52week", "low52week"];

/// Which of IIFL's two feeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Api {
    /// Blaze: REST and a websocket of Socket.IO 2
    Xts,
    /// IIFL Capital's bridge: MQTT over TLS
    Bridge,
}

impl Api {
    pub fn name(self) -> &'static str {
        match self {
            Api::Xts => "xts",
            Api::Bridge => "bridge",
        }
    }

    /// The vendor's address.
    pub fn root(self) -> &'static str {
        match self {
            Api::Xts => "https://ttblaze.iifl.com",
            Api::Bridge => "mqtts://bridge.iiflcapital.com:9906",
        }
    }

    /// The default codes.
    pub fn codes(self) -> &'static str {
        match self {
            Api::Xts => "1501,1510",
            Api::Bridge => "mw,oi",
        }
    }
}

/// An instrument as the user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedInstrument {
    pub segment: &'static Segment,
    pub id: u64,
}

impl RequestedInstrument {
    /// `NSECM|2885`, as Kafka's key.
    pub fn name(&self) -> String {
        produce::key(self.segment.venue, self.id)
    }
}

/// What a connector subscribes, and where its frames go.
#[derive(Clone, Debug)]
pub struct ConnectSpec {
    pub api: Api,
    pub root: Url,
    pub instruments: Vec<RequestedInstrument>,
    pub codes: Vec<String>,
    /// What XTS topics begin with.
    pub prefix: String,
    /// A file of certificates to verify the server with, instead of the system's.
    pub authorities: Option<PathBuf>,
    /// At a start, an instrument that is left out ends the connector.
    pub strict: bool,
    /// Also produce the instrument master's rows of the requested instruments (XTS).
    pub master: bool,
}

impl ConnectSpec {
    /// Where gap records go.
    pub fn gaps_topic(&self) -> String {
        match self.api {
            Api::Xts => format!("{}gaps", self.prefix),
            Api::Bridge => "bridge-gaps".to_owned(),
        }
    }

    /// Every topic that frames can go to.
    pub fn topics(&self) -> Vec<String> {
        let begins = match self.api {
            Api::Xts => self.prefix.as_str(),
            Api::Bridge => "bridge-",
        };
        let codes = self.codes.iter().map(|code| format!("{begins}{code}"));
        let master = (self.master && self.api == Api::Xts).then(|| format!("{begins}master"));
        codes.chain(master).chain([format!("{}other", self.prefix), self.gaps_topic()]).collect()
    }

    /// The bridge's topics for the requested instruments.
    pub fn bridge_topics(&self) -> Vec<String> {
        let of = |wanted| {
            let (own, shared) = self.bridge_topics_of(wanted);
            own.into_iter().chain(shared)
        };
        let mut topics: Vec<String> = self.instruments.iter().flat_map(of).collect();
        topics.sort();
        topics.dedup();
        topics
    }

    /// The bridge's topics of one instrument: its own, and those that it shares with its segment.
    pub fn bridge_topics_of(&self, wanted: &RequestedInstrument) -> (Vec<String>, Vec<String>) {
        let place = |code: &String| format!("prod/marketfeed/{code}/v1/{}", wanted.segment.bridge);
        let (shared, own): (Vec<&String>, Vec<&String>) =
            self.codes.iter().partition(|code| SEGMENT_KINDS.contains(&code.as_str()));
        let own = own.into_iter().map(|code| format!("{}/{}", place(code), wanted.id));
        (own.collect(), shared.into_iter().map(place).collect())
    }
}

/// Reads an address. Errors: it is not one, or keys would go through the network in the clear.
pub fn root(api: Api, text: &str) -> Result<Url, Error> {
    let example = api.root();
    let url = Url::parse(text).map_err(|error| {
        Error::fix(format!("`--root` is not an address: {error}"), format!("write it like {example}"))
    })?;
    let schemes: &[&str] = match api {
        Api::Xts => &["https", "http"],
        Api::Bridge => &["mqtts"],
    };
    let Some(host) = url.host_str().filter(|_| schemes.contains(&url.scheme())) else {
        let message = format!("`--root` has scheme \"{}\" or no host", url.scheme());
        return Err(Error::fix(message, format!("write it like {example}; certificates are always verified")));
    };
    if !url.username().is_empty() || url.password().is_some() {
        let hint = "remove it; keys come from TICKTIDE_IIFL_… variables or files";
        return Err(Error::fix("`--root` holds a user or password, which every process on this host can read", hint));
    }
    let near = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
    if url.scheme() == "http" && !near {
        let hint = format!("write https://{host}; a server with a certificate of your own needs `--ca FILE`");
        return Err(Error::fix(format!("`--root` would send keys to {host} in the clear"), hint));
    }
    Ok(url)
}

/// Reads `NSECM|2885,NSEFO|43423`, or lines of it with comments after `#`. Errors: a wrong word, which they name.
pub fn instruments(api: Api, text: &str) -> Result<Vec<RequestedInstrument>, Error> {
    let uncommented = text.lines().map(|line| line.split('#').next().unwrap_or(line));
    let words = uncommented.flat_map(|line| line.split(',')).map(str::trim).filter(|word| !word.is_empty());
    let mut found: Vec<RequestedInstrument> = Vec::new();
    for word in words {
        let wanted = instrument(api, word)?;
        if !found.contains(&wanted) {
            found.push(wanted);
        }
    }
    match found.is_empty() {
        true => Err(Error::fix("no instruments are given", "e.g. `--instruments 'NSECM|2885,NSEFO|43423'`, or @FILE")),
        false => Ok(found),
    }
}

fn instrument(api: Api, word: &str) -> Result<RequestedInstrument, Error> {
    let hint = "write SEGMENT|ID, e.g. `NSECM|2885`; ids are those of the exchange";
    let (segment, id) =
        word.split_once('|').ok_or_else(|| Error::fix(format!("instrument \"{word}\" has no |"), hint))?;
    let Some(segment) = Segment::named(segment.trim().as_bytes()) else {
        let names: Vec<&str> = SEGMENTS.iter().map(|segment| segment.venue).collect();
        let near = nearest(segment, &names).map(|name| format!("did you mean {name}? ")).unwrap_or_default();
        let message = format!("instrument \"{word}\": there is no segment \"{segment}\"");
        return Err(Error::fix(message, format!("{near}the segments are: {}", names.join(", "))));
    };
    if api == Api::Bridge && segment.bridge.is_empty() {
        let message = format!("instrument \"{word}\": the bridge has no segment {}", segment.venue);
        return Err(Error::fix(message, "ask for it with `--api xts`"));
    }
    let id = id.trim().parse().ok().filter(|id| *id < 1 << 53);
    let id = id.ok_or_else(|| Error::fix(format!("instrument \"{word}\" has no number after |"), hint))?;
    Ok(RequestedInstrument { segment, id })
}

/// Checks codes. Errors: one that the API does not have.
pub fn codes(api: Api, given: &[String]) -> Result<Vec<String>, Error> {
    let known: Vec<&str> = match api {
        Api::Xts => CODES.to_vec(),
        Api::Bridge => [&KINDS[..], &SEGMENT_KINDS].concat(),
    };
    let mut found: Vec<String> = Vec::new();
    for code in given.iter().map(|code| code.trim()).filter(|code| !code.is_empty()) {
        if !known.contains(&code) {
            let message = format!("api {} has no message code \"{code}\"", api.name());
            return Err(Error::fix(message, format!("give `--codes` some of: {}", known.join(", "))));
        }
        if !found.iter().any(|known| known == code) {
            found.push(code.to_owned());
        }
    }
    match found.is_empty() {
        true => Err(Error::fix("no message codes are given", format!("e.g. `--codes {}`", api.codes()))),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instruments_are_named_by_segment_and_id_once() {
        let text = "NSECM|2885, nseeq|2885\n# remark\nNSEFO|43423 # near month\n";
        let found = instruments(Api::Xts, text).expect("good names");
        assert_eq!(found.iter().map(RequestedInstrument::name).collect::<Vec<_>>(), ["NSECM|2885", "NSEFO|43423"]);
        let error = |api, text| instruments(api, text).expect_err(text);
        assert!(error(Api::Xts, "NSEC|1").hint.is_some_and(|hint| hint.contains("did you mean NSEC")));
        assert!(error(Api::Bridge, "SLBM|1").message.contains("bridge has no segment SLBM"));
        for text in ["", " ,# x", "2885", "NSECM|", "NSECM|x", "NSECM|-1", "NSECM|99999999999999999999"] {
            assert!(error(Api::Xts, text).hint.is_some());
        }
    }

    #[test]
    fn codes_are_those_of_the_api() {
        let given = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(codes(Api::Xts, &given("1501, 1510,1501")).expect("codes"), ["1501", "1510"]);
        assert_eq!(codes(Api::Bridge, &given("mw,marketstatus")).expect("kinds"), ["mw", "marketstatus"]);
        assert!(codes(Api::Xts, &given("mw")).expect_err("a kind").message.contains("\"mw\""));
        assert!(codes(Api::Bridge, &given("")).is_err());
        for api in [Api::Xts, Api::Bridge] {
            assert!(codes(api, &given(api.codes())).is_ok() && root(api, api.root()).is_ok());
        }
    }

    #[test]
    fn keys_never_go_through_a_network_in_the_clear() {
        for (api, text) in [
            (Api::Xts, "http://ttblaze.iifl.com"),
            (Api::Xts, "https://user:secret@host"),
            (Api::Xts, "ttblaze.iifl.com"),
            (Api::Bridge, "mqtt://bridge:1883"),
            (Api::Bridge, "mqtts://"),
        ] {
            let error = root(api, text).expect_err(text);
            assert!(error.hint.is_some() && !error.message.contains("secret"), "{error}");
        }
        assert!(root(Api::Xts, "http://127.0.0.1:8080").is_ok());
    }

    #[test]
    fn the_bridge_has_a_topic_for_each_instrument_and_one_for_a_segment() {
        let spec = ConnectSpec {
            api: Api::Bridge,
            root: root(Api::Bridge, Api::Bridge.root()).expect("the vendor's"),
            instruments: instruments(Api::Bridge, "NSECM|2885,NSECM|467").expect("names"),
            codes: vec!["mw".into(), "marketstatus".into()],
            prefix: "xts-".into(),
            authorities: None,
            strict: false,
            master: true,
        };
        let expected = ["marketstatus/v1/nseeq", "mw/v1/nseeq/2885", "mw/v1/nseeq/467"];
        assert_eq!(spec.bridge_topics(), expected.map(|tail| format!("prod/marketfeed/{tail}")));
        assert_eq!(spec.topics(), ["bridge-mw", "bridge-marketstatus", "xts-other", "bridge-gaps"]);
    }
}
