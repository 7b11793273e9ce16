//! ticktide: a stream of market ticks into a lake that is always right.
//!
//! Follow a tick: [`feed`] makes it of bytes → [`engine::ingest`] judges it (with [`flow::clean`]) and adds it to its bar,
//! stamped with a step and an epoch → [`engine::graph`] takes it to the worker of its instrument, where [`flow::bars`] keep
//! the live bars → [`flow::bars::volume`], [`flow::indicators::readings`] scan them → [`flow::close`] publishes what is
//! closed → [`lake`] writes and commits the epoch → [`query`] reads it back. [`engine`] is the one loop, and
//! [`engine::epochs`] decide where epochs end. [`replay`] holds a lake against its log, [`reconcile`] against bars of others.
//!
//! One word per thing:
//!
//! | word | is |
//! |---|---|
//! | tick | one decoded record: a trade, a snapshot, a cancel, a correction or a notice |
//! | snapshot | a tick that tells the state of an instrument: last price, cumulative volume, best quotes |
//! | notice | a tick that no bar is made of (a market's status, a price band, a row of a master): counted |
//! | listing, terms | what a master says of an instrument on a day; what bars are joined with of it |
//! | frame, envelope | a record as a connector received it; what stands around it: key, origin, time of receipt |
//! | gap record | a stretch of time in which frames of a live feed may be missing, and why |
//! | bar, interval | what happened in one stretch of time; its width |
//! | instrument, series | venue and token; an instrument's bars of one interval |
//! | session, class, phase | when a market trades; instruments with one timetable; a stretch of a trading date, e.g. an auction |
//! | reading | what an indicator says at a bar |
//! | check, anomaly | what looks for oddities in ticks, bars or a feed; what it finds |
//! | beat | a bar's start at which any instrument of a venue has a bar |
//! | sighting | an instrument's first tick of a trading day in a partition |
//! | suspect | an odd trade that may still be cancelled or corrected |
//! | reject, quarantine | a record that is no tick or does not count; the table that keeps it as it came |
//! | offset, partition | a record's number in its ordered run of records |
//! | step | a timely timestamp: when results move on |
//! | epoch | a run of steps that is published together |
//! | grant, cut, binding | leave to read into an epoch; its end; the record that defines it |
//! | frontier | the least greatest event time of the partitions that brake |
//! | close | to publish a bar, because its end and the grace have passed |
//! | horizon | before it a tick is too late for an interval |
//! | lineage | a dataflow of a lake and its epochs; the next one only adds to it |
//! | replay | reading a recorded range again, under its recorded bindings |
//! | generation, fence | one start of a run; what keeps an older one from deciding |
//! | candle | a bar that somebody else made: a broker's, an exchange's |
//! | slot | an epoch's object in the log: the commit |

pub use ticktide_base as base;
pub use ticktide_cli as cli;
pub use ticktide_cluster as cluster;
pub use ticktide_connect as connect;
pub use ticktide_dataflow as dataflow;
pub use ticktide_engine as engine;
pub use ticktide_feed as feed;
pub use ticktide_flow as flow;
pub use ticktide_lake as lake;
pub use ticktide_market as market;
pub use ticktide_query as query;
pub use ticktide_reconcile as reconcile;
pub use ticktide_replay as replay;
pub use ticktide_tables as tables;
