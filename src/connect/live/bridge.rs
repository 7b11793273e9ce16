//! One connection to IIFL Capital's bridge: MQTT 3.1.1 over TLS, from CONNECT to its loss.
//!
//! ```text
//!   token (variable or file) ─▶ CONNECT: user, `OPENID~~TOKEN~`, keep alive 20 s ─▶ SUBSCRIBE, at most 1024 topics each ─▶ standing
//! ```
//!
//! A message's payload is the frame, its topic the origin. ticktide does not renew the token: it reads the token again for each
//! connection, so renewing the file is enough. What must always hold: what arrived before an error is handed on before the
//! error is acted on. While the sink takes no frames the client sends no pings either: after half a minute the broker drops it,
//! which is a gap like any other.

use super::clock::now;
use super::jwt;
use super::link::{ConnectorState, LeftOut};
use super::outlet::QueuedFrame;
use super::secrets::Secrets;
use super::spec::ConnectSpec;
use super::trouble::Trouble;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, MqttOptions, Outgoing, Packet, Publish, QoS, SubAck,
    SubscribeFilter, SubscribeReasonCode, TlsConfiguration, Transport,
};
use rustls::ClientConfig;
use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use ticktide_base::environment;
use ticktide_feed::wire::bridge_address;
use tokio::time::Instant;

const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// How many topics the broker takes in one SUBSCRIBE.
const TOPICS_MAX: usize = 1024;
const PACKET_BYTES: usize = 1 << 20;
/// How long the broker may take to answer.
const STEP_WITHIN: Duration = Duration::from_secs(15);

/// A client of the bridge.
pub struct Bridge {
    tls: Arc<ClientConfig>,
    secrets: Secrets,
}

/// The topics left to subscribe, and those that wait for an answer.
struct Subscribing {
    lists: VecDeque<Vec<String>>,
    asked: Option<(u16, Vec<String>)>,
    /// When the broker is given up.
    until: Instant,
    refused: Vec<String>,
    /// Every list is answered and the result is reported.
    done: bool,
}

impl Bridge {
    pub fn new(tls: Arc<ClientConfig>, secrets: Secrets) -> Bridge {
        Bridge { tls, secrets }
    }

    /// Connects, subscribes, and hands frames on until the connection is lost; returns why.
    pub async fn session(&mut self, state: &mut ConnectorState) -> Trouble {
        let Err(trouble) = self.stand(state).await;
        trouble
    }

    async fn stand(&mut self, state: &mut ConnectorState) -> Result<Infallible, Trouble> {
        let (client, mut events) = AsyncClient::new(self.options(state)?, 4);
        events.network_options.set_connection_timeout(STEP_WITHIN.as_secs());
        let lists = state.spec.bridge_topics().chunks(TOPICS_MAX).map(<[String]>::to_vec).collect();
        let until = Instant::now() + STEP_WITHIN;
        let mut subscribing = Subscribing { lists, asked: None, until, refused: Vec::new(), done: false };
        loop {
            let event = match subscribing.done {
                true => events.poll().await,
                false => tokio::time::timeout_at(subscribing.until, events.poll())
                    .await
                    .map_err(|_| Trouble::Lost("the broker does not answer a subscription".into()))?,
            };
            match event {
                Ok(event) => self.received(event, &client, &mut subscribing, state).await?,
                Err(error) => {
                    // events that were read together with the error
                    for event in std::mem::take(&mut events.state.events) {
                        self.received(event, &client, &mut subscribing, state).await?;
                    }
                    return Err(self.lost(&error));
                }
            }
        }
    }

    async fn received(
        &self,
        event: Event,
        client: &AsyncClient,
        subscribing: &mut Subscribing,
        state: &mut ConnectorState,
    ) -> Result<(), Trouble> {
        match event {
            Event::Incoming(Packet::Publish(publish)) => hand_on(publish, state).await?,
            Event::Incoming(Packet::ConnAck(_)) => subscribing.next(client)?,
            Event::Outgoing(Outgoing::Subscribe(id)) => subscribing.asked_as(id),
            Event::Incoming(Packet::SubAck(answer)) => {
                subscribing.answered(&answer);
                subscribing.next(client)?;
                if subscribing.asked.is_none() && !subscribing.done {
                    subscribing.done = true;
                    let refused = std::mem::take(&mut subscribing.refused);
                    let left_out = left_out(&state.spec, refused);
                    state.subscribed(left_out).await?;
                }
            }
            Event::Incoming(Packet::PingResp) => state.gaps.alive(now()),
            Event::Incoming(Packet::Disconnect) => return Err(Trouble::Lost("the broker disconnects".into())),
            _ => {}
        }
        Ok(())
    }

    fn options(&self, state: &ConnectorState) -> Result<MqttOptions, Trouble> {
        let token = self.secrets.required(environment::IIFL_TOKEN)?;
        let claims = jwt::claims(&token).unwrap_or_default();
        if claims.expires_at().is_some_and(|at| at <= now()) {
            let hint = format!("put a new token into {} or into the file that it names", environment::IIFL_TOKEN);
            return Err(Trouble::refused("the token has expired", hint));
        }
        let user = self.secrets.optional(environment::IIFL_USER)?.or(claims.preferred_username).ok_or_else(|| {
            let hint = format!("set {} to the client's code", environment::IIFL_USER);
            Trouble::refused("the token does not name its user (preferred_username)", hint)
        })?;
        let host = state.spec.root.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let id = format!("ticktide{}", &uuid::Uuid::new_v4().simple().to_string()[..14]);
        let mut options = MqttOptions::new(id, host, state.spec.root.port().unwrap_or(9906));
        options
            .set_keep_alive(KEEP_ALIVE)
            .set_clean_session(true)
            .set_credentials(user, format!("OPENID~~{token}~"))
            .set_max_packet_size(PACKET_BYTES, PACKET_BYTES)
            .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(self.tls.clone())));
        Ok(options)
    }

    fn lost(&self, error: &ConnectionError) -> Trouble {
        let why = self.secrets.hide(&error.to_string());
        match error {
            ConnectionError::ConnectionRefused(
                ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
            ) => {
                let hint = format!("check {} and {}", environment::IIFL_TOKEN, environment::IIFL_USER);
                Trouble::refused(format!("the broker refuses the token: {why}"), hint)
            }
            _ => Trouble::Lost(format!("MQTT: {why}")),
        }
    }
}

impl Subscribing {
    /// Subscribes the next list, if one is left and no other waits for its answer.
    fn next(&mut self, client: &AsyncClient) -> Result<(), Trouble> {
        if self.asked.is_some() {
            return Ok(());
        }
        let Some(list) = self.lists.pop_front() else { return Ok(()) };
        let filters = list.iter().map(|topic| SubscribeFilter::new(topic.clone(), QoS::AtMostOnce));
        client.try_subscribe_many(filters).map_err(|error| Trouble::Lost(format!("MQTT: {error}")))?;
        self.asked = Some((0, list));
        self.until = Instant::now() + STEP_WITHIN;
        Ok(())
    }

    /// The packet that carries the list has a number now.
    fn asked_as(&mut self, id: u16) {
        if let Some(asked) = &mut self.asked {
            asked.0 = id;
        }
    }

    /// An answer has a code for each topic, in the order of the topics.
    fn answered(&mut self, answer: &SubAck) {
        let Some((_, topics)) = self.asked.take_if(|(id, _)| *id == answer.pkid) else { return };
        let mut codes = answer.return_codes.iter();
        for topic in topics {
            if !matches!(codes.next(), Some(SubscribeReasonCode::Success(_))) {
                self.refused.push(topic);
            }
        }
    }
}

/// The instruments left out because topics are refused: wholly, if none of an instrument's own topics is granted; in part, if
/// one of its own or of its segment's topics is refused.
fn left_out(spec: &ConnectSpec, refused: Vec<String>) -> Vec<LeftOut> {
    let refused: BTreeSet<String> = refused.into_iter().collect();
    let (mut missing, mut in_part, mut lacking) = (Vec::new(), Vec::new(), BTreeSet::new());
    for wanted in &spec.instruments {
        let (own, shared) = spec.bridge_topics_of(wanted);
        // an instrument with only its segment's topics depends on those alone
        let needed = if own.is_empty() { &shared } else { &own };
        if needed.iter().all(|topic| refused.contains(topic)) {
            missing.push(wanted.name());
            continue;
        }
        let lacks: Vec<String> = own.into_iter().chain(shared).filter(|topic| refused.contains(topic)).collect();
        if !lacks.is_empty() {
            in_part.push(wanted.name());
            lacking.extend(lacks);
        }
    }
    let lacking: Vec<String> = lacking.into_iter().collect();
    let hint = "look for their ids in the exchange's master; expired contracts never tick";
    let all = [
        LeftOut { why: "are refused by the broker".to_owned(), hint, instruments: missing, in_part: false },
        LeftOut {
            why: format!("are sent without {}, which the broker refuses", lacking.join(", ")),
            hint: "ask for fewer `--codes`",
            instruments: in_part,
            in_part: true,
        },
    ];
    all.into_iter().filter(|left| !left.instruments.is_empty()).collect()
}

async fn hand_on(publish: Publish, state: &mut ConnectorState) -> Result<(), Trouble> {
    let (begun, received_at) = (Instant::now(), now());
    let code = bridge_address(publish.topic.as_bytes()).map_or("other", |address| address.kind).to_owned();
    let frame = QueuedFrame::frame(publish.topic, received_at, publish.payload);
    state.outlet.take(frame).await?;
    state.handed_on(&code, received_at, begun.elapsed()).await
}

#[cfg(test)]
mod tests {
    use super::super::spec::{self, Api};
    use super::*;

    #[test]
    fn an_answer_tells_which_topics_are_refused() {
        let topics =
            ["prod/marketfeed/mw/v1/nseeq/1", "prod/marketfeed/mw/v1/nseeq/2", "prod/marketfeed/oi/v1/nsefo/3"];
        let topics = topics.map(str::to_owned);
        let asked = Some((7, topics.to_vec()));
        let lists = VecDeque::new();
        let mut subscribing = Subscribing { lists, asked, until: Instant::now(), refused: Vec::new(), done: false };
        let success = SubscribeReasonCode::Success(QoS::AtMostOnce);
        subscribing.answered(&SubAck::new(6, vec![success; 3]));
        assert!(subscribing.asked.is_some(), "an answer to something else");
        // the broker forgot the third
        subscribing.answered(&SubAck::new(7, vec![success, SubscribeReasonCode::Failure]));
        assert_eq!(subscribing.refused, topics[1..]);
    }

    #[test]
    fn an_instrument_is_missing_when_none_of_its_own_topics_is_granted_and_a_segment_is_none() {
        let spec = |codes: &[&str]| ConnectSpec {
            api: Api::Bridge,
            root: spec::root(Api::Bridge, Api::Bridge.root()).expect("the vendor's"),
            instruments: spec::instruments(Api::Bridge, "NSECM|1,NSECM|2,NSEFO|3").expect("names"),
            codes: codes.iter().map(|code| (*code).to_owned()).collect(),
            prefix: String::new(),
            authorities: None,
            strict: false,
            master: false,
        };
        let told = |codes: &[&str], refused: &[&str]| -> Vec<(bool, String)> {
            let refused = refused.iter().map(|tail| format!("prod/marketfeed/{tail}")).collect();
            let found = left_out(&spec(codes), refused);
            found.into_iter().map(|left| (left.in_part, left.instruments.join(" "))).collect()
        };
        let codes = ["mw", "oi", "marketstatus"];
        assert_eq!(told(&codes, &[]), []);
        assert_eq!(told(&codes, &["oi/v1/nseeq/1"]), [(true, "NSECM|1".into())]);
        assert_eq!(told(&codes, &["marketstatus/v1/nseeq"]), [(true, "NSECM|1 NSECM|2".into())]);
        let both = ["mw/v1/nseeq/1", "oi/v1/nseeq/1", "oi/v1/nsefo/3"];
        assert_eq!(told(&codes, &both), [(false, "NSECM|1".into()), (true, "NSEFO|3".into())]);
        // each instrument of a segment whose status is refused
        assert_eq!(told(&["marketstatus"], &["marketstatus/v1/nseeq"]), [(false, "NSECM|1 NSECM|2".into())]);
        let why = left_out(&spec(&codes), vec!["prod/marketfeed/oi/v1/nseeq/1".into()]).remove(0).why;
        assert_eq!(why, "are sent without prod/marketfeed/oi/v1/nseeq/1, which the broker refuses");
    }
}
