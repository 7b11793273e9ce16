//! Meshes on loopback: which processes are let in, which are named, what is found in time.

use super::handshake::dial;
use super::*;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread::JoinHandle;
use std::time::Instant;

type Gathered = Result<(Mesh, Arc<Failure>), MeshError>;

fn hello(processes: usize, process: usize) -> Hello {
    Hello {
        code_version: "1.0.0".into(),
        processes,
        workers: 2,
        dataflow: "bars 0123456789abcdef".into(),
        lake: "/lake".into(),
        until_end: true,
        process,
        to: process,
    }
}

/// Listeners of a cluster on free ports, and its hosts.
fn places(count: usize) -> (Vec<TcpListener>, Vec<String>) {
    let listeners: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    let hosts = listeners.iter().map(|listener| listener.local_addr().expect("bound").to_string()).collect();
    (listeners, hosts)
}

fn cluster(process: usize, hosts: &[String], listener: TcpListener) -> Cluster {
    Cluster {
        process,
        hosts: hosts.to_vec(),
        listener: Some(listener),
        secret: Secret::new(b"a secret of the cluster"),
        start_within: Duration::from_secs(20),
        silence: Duration::from_secs(10),
    }
}

/// One process of a cluster on a thread of its own.
fn process(cluster: Cluster, hello: Hello) -> JoinHandle<Gathered> {
    std::thread::spawn(move || {
        let failure = Arc::new(Failure::default());
        Mesh::gather(cluster, hello, failure.clone(), &AtomicBool::new(false)).map(|mesh| (mesh, failure))
    })
}

fn ended(process: JoinHandle<Gathered>) -> Gathered {
    process.join().expect("no panic")
}

/// A complete cluster of two, after changes to the second one.
fn two(change: impl FnOnce(&mut Cluster, &mut Hello)) -> (Gathered, Gathered) {
    let (mut listeners, hosts) = places(2);
    let mut second = cluster(1, &hosts, listeners.pop().expect("two"));
    let mut second_hello = hello(2, 1);
    let mut first = cluster(0, &hosts, listeners.pop().expect("two"));
    change(&mut second, &mut second_hello);
    (first.silence, first.start_within) = (second.silence, second.start_within);
    let (first, second) = (process(first, hello(2, 0)), process(second, second_hello));
    (ended(first), ended(second))
}

fn both(change: impl FnOnce(&mut Cluster, &mut Hello)) -> [(Mesh, Arc<Failure>); 2] {
    let (first, second) = two(change);
    [first.expect("process 0"), second.expect("process 1")]
}

fn first_error(failure: &Failure) -> Error {
    let within = Duration::from_secs(10);
    let began = Instant::now();
    while began.elapsed() < within {
        if let Some(error) = failure.take() {
            return error;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("no failure within {within:?}");
}

/// Reads a link as timely's thread does.
fn read_on(mesh: &Mesh, other: usize) -> JoinHandle<Vec<u8>> {
    let mut link = mesh.links[other].clone().expect("a link");
    std::thread::spawn(move || {
        let mut all = Vec::new();
        link.read_to_end(&mut all).expect("a link gives no error");
        all
    })
}

#[test]
fn three_processes_find_each_other_and_agree_on_what_they_go_on_from() {
    let (listeners, hosts) = places(3);
    let all: Vec<_> = listeners.into_iter().enumerate().collect();
    let started = all.into_iter().map(|(index, listener)| process(cluster(index, &hosts, listener), hello(3, index)));
    let started: Vec<_> =
        started.collect::<Vec<_>>().into_iter().map(|process| ended(process).expect("joined")).collect();
    let ready = |generation| Ready { generation, partitions: 4, partitions_hash: "abc".into() };
    let start = Start { generation: 7, epoch_next: 12, token: "mark".into() };
    let agreed: Vec<_> = started
        .into_iter()
        .map(|(mesh, failure)| {
            let start = start.clone();
            std::thread::spawn(move || {
                if mesh.leads() {
                    mesh.start(&start).expect("told");
                } else {
                    assert_eq!(mesh.await_start().expect("heard"), start);
                }
                let agreed = mesh.ready(&ready(start.generation));
                (mesh, failure, agreed)
            })
        })
        .collect();
    for agreed in agreed {
        agreed.join().expect("no panic").2.expect("all are of generation 7");
    }
}

/// Process 1 as far as its hello to process 0.
fn joined(hosts: &[String], processes: usize) -> (link::FrameReceiver, link::FrameSender) {
    let tcp = TcpStream::connect(&hosts[0]).expect("process 0 listens");
    let (secret, within) = (Secret::new(b"a secret of the cluster"), Instant::now() + Duration::from_secs(5));
    let mut halves = dial(tcp, &secret, within).expect("answered").expect("known");
    halves.1.message(link::FrameKind::Hello, &Hello { to: 0, ..hello(processes, 1) }).expect("sent");
    let _: Hello = halves.0.message(link::FrameKind::Hello).expect("answered").expect("joined");
    halves
}

#[test]
fn a_process_that_ended_while_others_were_waited_for_may_come_again() {
    let (listeners, hosts) = places(3);
    let [zero, one, two] = listeners.try_into().expect("three");
    let first = process(cluster(0, &hosts, zero), hello(3, 0));
    drop(joined(&hosts, 3));
    // process 2 is the last one to come: the mesh is not complete with one that has gone
    let third = process(cluster(2, &hosts, two), hello(3, 2));
    std::thread::sleep(Duration::from_millis(300));
    assert!(!first.is_finished());
    let second = process(cluster(1, &hosts, one), hello(3, 1));
    let [(first, _), (second, _), _third] = [first, second, third].map(|one| ended(one).expect("complete"));
    // the link is that of the process that lives
    let start = Start { generation: 7, epoch_next: 12, token: "mark".into() };
    first.start(&start).expect("told");
    assert_eq!(second.await_start().expect("heard"), start);
}

#[test]
fn a_process_that_says_why_it_ends_while_others_are_waited_for_ends_all() {
    let (listeners, hosts) = places(3);
    let zero = listeners.into_iter().next().expect("three");
    let first = process(cluster(0, &hosts, zero), hello(3, 0));
    let mut halves = joined(&hosts, 3);
    halves.1.send(link::FrameKind::Idle, &[]).expect("sent");
    halves.1.send(link::FrameKind::Fenced, b"generation 8 owns the lake").expect("sent");
    drop(halves);
    let error = ended(first).err().expect("no cluster");
    assert!(
        matches!(&error, MeshError::Fenced { peer, why } if peer.process == 1 && why.contains("generation 8")),
        "{error}"
    );
}

#[test]
fn bytes_arrive_as_they_were_sent_and_a_stream_ends_only_when_all_work_is_done() {
    let [(first, _), (second, failure)] = both(|_, _| ());
    // messages come before: none of them may get into timely's bytes
    let ready = Ready { generation: 1, partitions: 1, partitions_hash: "abc".into() };
    let (one, other) = (ready.clone(), ready);
    let second = std::thread::spawn(move || second.ready(&other).map(|()| second));
    first.ready(&one).expect("alike");
    let second = second.join().expect("no panic").expect("alike");
    let sent: Vec<u8> = (0..1_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let reading = read_on(&second, 0);
    let mut link = first.links[1].clone().expect("a link");
    let bytes = sent.clone();
    let writing = std::thread::spawn(move || {
        for chunk in bytes.chunks(70_001) {
            link.write_all(chunk).expect("a link gives no error");
        }
        timely::communication::allocator::zero_copy::stream::Stream::shutdown(&link, Shutdown::Write).expect("ended");
    });
    std::thread::sleep(Duration::from_millis(300));
    assert!(!reading.is_finished(), "the goodbye waits for the end of the work");
    first.fate.end();
    writing.join().expect("no panic");
    assert!(reading.join().expect("no panic") == sent);
    assert!(!failure.is_met());
}

#[test]
fn every_difference_is_named_with_both_values_on_both_sides() {
    type Change = fn(&mut Hello);
    let changes: [(&str, &str, &str, Change); 6] = [
        ("version", "1.0.0", "1.0.1", |hello| hello.code_version = "1.0.1".into()),
        ("number of processes", "-n 2", "-n 3", |hello| hello.processes = 3),
        ("number of workers", "-w 2", "-w 5", |hello| hello.workers = 5),
        ("dataflow", "bars 0123456789abcdef", "bars fedcba9876543210", |hello| {
            hello.dataflow = "bars fedcba9876543210".into();
        }),
        ("lake", "/lake", "/other", |hello| hello.lake = "/other".into()),
        ("end", "`--until end`", "no `--until`", |hello| hello.until_end = false),
    ];
    for (what, ours, theirs, change) in changes {
        let (first, second) = two(|_, hello| change(hello));
        for (side, (ours, theirs)) in [(first, (ours, theirs)), (second, (theirs, ours))] {
            let error = side.err().expect(what);
            let text = error.to_string();
            assert_eq!(error.kind(), Kind::Fix, "{text}");
            let wanted = format!("the {what} differs: this process has {ours}, process ");
            assert!(text.starts_with(&wanted) && text.ends_with(&format!("has {theirs}")), "{text}");
            assert!(error.hint().is_some());
        }
    }
}

#[test]
fn another_generation_or_other_partitions_are_named_on_both_sides() {
    let ready = |generation, partitions_hash: &str| Ready {
        generation,
        partitions: 2,
        partitions_hash: partitions_hash.into(),
    };
    for (theirs, what) in [(ready(8, "abc"), "generation"), (ready(7, "xyz"), "partitions of the source")] {
        let [(first, _), (second, _)] = both(|_, _| ());
        let other = std::thread::spawn(move || second.ready(&theirs));
        for side in [first.ready(&ready(7, "abc")), other.join().expect("no panic")] {
            let error = side.expect_err(what);
            assert!(error.to_string().starts_with(&format!("the {what} differs")), "{error}");
            assert_eq!(error.kind(), Kind::Fix);
        }
    }
}

#[test]
fn a_process_with_another_secret_is_refused_and_told_so() {
    let (first, second) = two(|cluster, _| {
        cluster.secret = Secret::new(b"the secret of another one");
        cluster.start_within = Duration::from_millis(700);
    });
    let first = first.err().expect("nobody came");
    assert_eq!(first.kind(), Kind::Lost);
    let text = first.to_string();
    assert!(text.contains("host 1 (127.0.0.1:") && text.contains("wrong secret"), "{text}");
    let second = second.err().expect("refused");
    assert_eq!(second.kind(), Kind::Fix);
    assert!(second.to_string().contains("it has another secret"), "{second}");
    assert!(second.hint().is_some_and(|hint| hint.contains("--secret-file")));
}

#[test]
fn a_missing_host_is_named_at_the_deadline() {
    let (mut listeners, hosts) = places(3);
    drop(listeners.pop());
    let within = Duration::from_millis(600);
    let start = |index: usize, listener| Cluster { start_within: within, ..cluster(index, &hosts, listener) };
    let second = listeners.pop().expect("three");
    let first = listeners.pop().expect("three");
    let began = Instant::now();
    let all = [process(start(0, first), hello(3, 0)), process(start(1, second), hello(3, 1))];
    for missing in all.map(|process| ended(process).err().expect("one is missing")) {
        assert_eq!(missing.kind(), Kind::Lost);
        assert_eq!(missing.to_string(), format!("host 2 ({}) did not join within 0.6 s", hosts[2]));
    }
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn strangers_are_refused_and_the_cluster_starts_all_the_same() {
    let (mut listeners, hosts) = places(2);
    let listener = listeners.pop().expect("two");
    let first = process(cluster(0, &hosts, listeners.pop().expect("two")), hello(2, 0));
    let mut strangers = Vec::new();
    for number in 0..40 {
        let mut stranger = TcpStream::connect(&hosts[0]).expect("it listens");
        let said: &[u8] = match number % 4 {
            0 => b"GET / HTTP/1.1\r\n\r\n",
            1 => b"",
            2 => &[0, 0, 0, 0, 0, 0, 0, 1],
            _ => b"TICKTIDE-MESH-1\n and then forty-eight bytes that no secret has made",
        };
        stranger.write_all(said).expect("written");
        strangers.push(stranger);
    }
    // one that knows the secret and says nothing more
    let held = TcpStream::connect(&hosts[0]).expect("it listens");
    let known = dial(held, &Secret::new(b"a secret of the cluster"), Instant::now() + Duration::from_secs(5));
    assert!(known.expect("answered").is_ok());
    let began = Instant::now();
    let second = process(cluster(1, &hosts, listener), hello(2, 1));
    // a mesh that is dropped is gone for the other
    let _started = [first, second].map(|process| ended(process).expect("the cluster starts"));
    assert!(began.elapsed() < Duration::from_secs(10), "nobody is held up by silent ones: {:?}", began.elapsed());
}

#[test]
fn what_was_recorded_from_a_process_lets_nobody_in() {
    // a relay between the two records what process 1 says to process 0
    let (mut listeners, hosts) = places(2);
    let relay = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let seen = vec![relay.local_addr().expect("bound").to_string(), hosts[1].clone()];
    let target = hosts[0].clone();
    let recording = std::thread::spawn(move || {
        let (from, _) = relay.accept().expect("process 1 dials");
        let to = TcpStream::connect(target).expect("process 0 listens");
        let (mut back_from, mut back_to) = (to.try_clone().expect("cloned"), from.try_clone().expect("cloned"));
        std::thread::spawn(move || std::io::copy(&mut back_from, &mut back_to));
        let (mut from, mut to, mut recorded, mut buffer) = (from, to, Vec::new(), [0; 4096]);
        while recorded.len() < 200 {
            let length = from.read(&mut buffer).expect("bytes");
            recorded.extend_from_slice(&buffer[..length]);
            to.write_all(&buffer[..length]).expect("passed on");
        }
        std::mem::forget((from, to)); // the connection stays
        recorded
    });
    let second = process(cluster(1, &seen, listeners.pop().expect("two")), hello(2, 1));
    let first = process(cluster(0, &hosts, listeners.pop().expect("two")), hello(2, 0));
    let _complete = [ended(first).expect("joined through the relay"), ended(second).expect("joined")];
    let recorded = recording.join().expect("no panic");

    let (mut listeners, hosts) = places(2);
    drop(listeners.pop());
    let waiting = Cluster { start_within: Duration::from_secs(1), ..cluster(0, &hosts, listeners.pop().expect("two")) };
    let waiting = process(waiting, hello(2, 0));
    let mut replay = TcpStream::connect(&hosts[0]).expect("it listens");
    replay.write_all(&recorded).expect("written");
    let text = ended(waiting).err().expect("nobody came").to_string();
    assert!(text.ends_with("did not join within 1 s; refused meanwhile: 1 forged"), "{text}");
}

#[test]
fn a_second_process_of_the_same_index_is_refused() {
    let (mut listeners, hosts) = places(3);
    let last = listeners.pop().expect("three");
    let twin = TcpListener::bind("127.0.0.1:0").expect("a free port");
    drop(listeners.pop());
    let first = Cluster { start_within: Duration::from_secs(2), ..cluster(0, &hosts, listeners.pop().expect("three")) };
    let first = process(first, hello(3, 0));
    // process 1 never comes, so both wait
    let waiting = |listener| Cluster { start_within: Duration::from_secs(2), ..cluster(2, &hosts, listener) };
    let twins = [process(waiting(last), hello(3, 2)), process(waiting(twin), hello(3, 2))];
    let first = ended(first).err().expect("host 1 is missing").to_string();
    assert!(first.contains("host 1 (") && !first.contains("host 2 ("), "{first}");
    for twin in twins {
        assert!(ended(twin).is_err());
    }
}

#[test]
fn a_process_that_falls_silent_is_lost_within_the_limit() {
    let silence = Duration::from_millis(800);
    let (mut listeners, hosts) = places(2);
    drop(listeners.pop());
    let first = Cluster { silence, ..cluster(0, &hosts, listeners.pop().expect("two")) };
    let first = process(first, hello(2, 0));
    // a peer without a heartbeat: the handshake, the hello, and then nothing
    let tcp = TcpStream::connect(&hosts[0]).expect("it listens");
    let secret = Secret::new(b"a secret of the cluster");
    let halves = dial(tcp, &secret, Instant::now() + Duration::from_secs(5)).expect("answered");
    let (mut receiving, mut sending) = halves.expect("let in");
    let began = Instant::now();
    sending.message(FrameKind::Hello, &Hello { to: 0, ..hello(2, 1) }).expect("sent");
    let theirs: Result<Hello, _> = receiving.message(FrameKind::Hello).expect("a hello");
    assert_eq!(theirs.expect("no goodbye").process, 0);
    let (mesh, failure) = ended(first).expect("joined");
    let _reading = read_on(&mesh, 1);
    let error = first_error(&failure);
    assert_eq!(error.kind, Kind::Lost);
    assert_eq!(error.message, format!("process 1 ({}) has been silent for 0.8 s", hosts[1]));
    assert!(began.elapsed() >= silence && began.elapsed() < 5 * silence, "{:?}", began.elapsed());
}

#[test]
fn a_heartbeat_keeps_an_idle_mesh_together() {
    let [(first, one), (second, other)] = both(|cluster, _| cluster.silence = Duration::from_millis(400));
    let reading = [read_on(&first, 1), read_on(&second, 0)];
    std::thread::sleep(Duration::from_millis(1_500));
    assert!(!one.is_met() && !other.is_met());
    assert!(reading.iter().all(|reading| !reading.is_finished()));
}

#[test]
fn a_process_that_fails_tells_why_and_one_that_vanishes_is_named() {
    let [(first, _), (second, failure)] = both(|_, _| ());
    let _reading = read_on(&second, 0);
    first.tell(&Error::bug("the disk is full"));
    let error = first_error(&failure);
    assert_eq!(error.kind, Kind::Lost);
    assert!(
        error.message.starts_with("process 0 (") && error.message.ends_with(") ended: the disk is full"),
        "{error}"
    );

    let (mut listeners, hosts) = places(2);
    drop(listeners.pop());
    let first = process(cluster(0, &hosts, listeners.pop().expect("two")), hello(2, 0));
    let tcp = TcpStream::connect(&hosts[0]).expect("it listens");
    let secret = Secret::new(b"a secret of the cluster");
    let halves = dial(tcp.try_clone().expect("cloned"), &secret, Instant::now() + Duration::from_secs(5));
    let (mut receiving, mut sending) = halves.expect("answered").expect("let in");
    sending.message(FrameKind::Hello, &Hello { to: 0, ..hello(2, 1) }).expect("sent");
    let _: Result<Hello, _> = receiving.message(FrameKind::Hello).expect("a hello");
    let (mesh, failure) = ended(first).expect("joined");
    let _reading = read_on(&mesh, 1);
    tcp.shutdown(Shutdown::Both).expect("it was open");
    let error = first_error(&failure);
    assert_eq!(error.message, format!("process 1 ({}) closed the connection", hosts[1]));
}

#[test]
fn when_one_process_is_fenced_all_of_its_generation_end_as_fenced() {
    let [(first, _), (second, failure)] = both(|_, _| ());
    let _reading = read_on(&second, 0);
    let why = "epoch 5 was decided by generation 2, this run is generation 1";
    first.tell(&Error { kind: Kind::Fenced, message: why.to_owned(), hint: None });
    let error = first_error(&failure);
    assert_eq!(error.kind, Kind::Fenced);
    assert!(error.message.starts_with("process 0 (") && error.message.ends_with(why), "{error}");
    assert!(error.hint.is_some_and(|hint| hint.contains("stop one of the two")));
}

#[test]
fn when_the_input_of_all_is_refused_every_process_ends_so_and_passes_it_on() {
    let (mut listeners, hosts) = places(3);
    let started = (0..3).rev().map(|index| {
        let listener = listeners.pop().expect("three");
        process(cluster(index, &hosts, listener), hello(3, index))
    });
    let started: Vec<_> = started.collect();
    let mut ended: Vec<_> = started.into_iter().map(|one| ended(one).expect("joined")).collect();
    let (first, _) = ended.pop().expect("process 0");
    let (second, heard) = ended.pop().expect("process 1");
    let (third, hears) = ended.pop().expect("process 2");
    let _reading = (read_on(&second, 0), read_on(&third, 1));
    first.refuse(&Error::fix("3 of 4 records were refused", "mend them"));
    let error = first_error(&heard);
    assert_eq!(error.kind, Kind::Fix);
    assert!(error.message.ends_with(") ended: 3 of 4 records were refused") && error.hint.is_some(), "{error}");
    // the third has not heard it of the first, and sees the second end
    second.tell(&error);
    let error = first_error(&hears);
    assert!(error.kind == Kind::Fix && error.message.starts_with("process 1 ("), "{error}");
}

#[test]
fn a_byte_that_was_changed_on_the_way_is_a_lost_peer() {
    let (mut listeners, hosts) = places(2);
    drop(listeners.pop());
    let first = process(cluster(0, &hosts, listeners.pop().expect("two")), hello(2, 0));
    let mut tcp = TcpStream::connect(&hosts[0]).expect("it listens");
    let secret = Secret::new(b"a secret of the cluster");
    let halves = dial(tcp.try_clone().expect("cloned"), &secret, Instant::now() + Duration::from_secs(5));
    let (mut receiving, mut sending) = halves.expect("answered").expect("let in");
    sending.message(FrameKind::Hello, &Hello { to: 0, ..hello(2, 1) }).expect("sent");
    let _: Result<Hello, _> = receiving.message(FrameKind::Hello).expect("a hello");
    let (mesh, failure) = ended(first).expect("joined");
    let _reading = read_on(&mesh, 1);
    tcp.write_all(&[0, 32]).expect("a length");
    tcp.write_all(&[7; 32]).expect("bytes that nobody has sealed");
    let error = first_error(&failure);
    assert!(error.message.contains("a frame that is not the peer's next one"), "{error}");
}
