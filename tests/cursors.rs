//! What a cursor is good for: coming back while others publish, and coming back after the server was started again.

mod harness;

use std::thread;

use harness::audience::{Publisher, Way};
use harness::reader::{Ear, Reader};
use harness::update::Update;
use harness::{Server, wait_until};

// Over a restart.

/// How a server ends before it is started again.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// It drains.
    Drain,
    /// It is killed.
    Kill,
}

/// Starts the server again where it was.
#[track_caller]
fn start_again(server: Server, ending: Ending) -> Server {
    let address = server.address().to_string();
    match ending {
        Ending::Drain => server.stop(),
        Ending::Kill => drop(server),
    }
    Server::start(&["--listen", &address])
}

#[test]
fn numbers_go_on_growing_over_restarts() {
    let mut server = Server::start(&[]);
    let mut newest = [0; 4];
    for ending in [Ending::Kill, Ending::Kill, Ending::Drain, Ending::Kill] {
        for (group, newest) in newest.iter_mut().enumerate() {
            let group = group as u64;
            let empty = server.get(&format!("/location/long/{group}?timeout=0")).location_seq();
            assert!(empty >= *newest, "the cursor of an empty group is not below what was given before");
            for way in Way::ALL {
                Publisher::open(&server, way, group).publish(&format!("{way:?}"), 1);
            }
            let snapshot = server.get(&format!("/location/group/{group}")).json();
            let seqs = snapshot["members"].as_array().expect("a list of updates").iter();
            let seqs: Vec<u64> = seqs.map(|update| update["seq"].as_u64().expect("a number")).collect();
            assert_eq!(seqs.len(), Way::ALL.len(), "{snapshot}");
            for seq in seqs {
                assert!(seq > *newest && seq < 1 << 53, "group {group}: {seq} after {newest}");
                *newest = seq;
            }
        }
        server = start_again(server, ending);
    }
}

/// A reader that comes back after a restart with the cursor that it had is told of the gap, once, and then hears all.
#[track_caller]
fn check_cursor_over_restart(ear: Ear, ending: Ending, group: u64) {
    let server = Server::start(&[]);
    let old: Vec<Update> = (0..5).map(|x| server.publish(group, "alice", x, 0)).collect();
    // It has heard some of them.
    let before = server.get(&format!("/location/long/{group}?since={}", old[0].seq)).location_seq();
    let mut reader = Reader::open(&server, ear, group, before);
    let cursor = reader.update().seq;
    assert_eq!(cursor, old[2].seq);
    drop(reader);
    let server = start_again(server, ending);
    // Before anybody has published again, and afterwards: it is owed the same.
    let early = Reader::open(&server, ear, group, cursor);
    let subscriptions = if ear == Ear::StompElsewhere { 2.0 } else { 1.0 };
    let subscribed = || server.scrape().sum("geoloop_subscriptions", &[]) == subscriptions;
    assert!(wait_until(subscribed), "{ear:?} is in its place");
    let new: Vec<Update> = (0..3).map(|x| server.publish(group, "bob", x, 0)).collect();
    assert!(new[0].seq > old[4].seq, "{} after {}", new[0].text, old[4].text);
    for mut reader in [early, Reader::open(&server, ear, group, cursor)] {
        let heard: Vec<Update> = (0..3).map(|_| reader.update()).collect();
        assert_eq!(heard[0].seq, new[0].seq, "{ear:?}, {ending:?}");
        assert!(heard[0].gap, "{ear:?}, {ending:?}: what was lost is told: {}", heard[0].text);
        assert_eq!(heard[0].text_without_gap(), new[0].text);
        assert_eq!(heard[1..], new[1..], "{ear:?}, {ending:?}");
    }
}

#[test]
fn cursor_from_before_a_restart_is_told_of_the_gap() {
    for ear in Ear::ALL {
        for (ending, group) in [(Ending::Kill, 4), (Ending::Drain, 5)] {
            check_cursor_over_restart(ear, ending, group);
        }
    }
}

// While others publish.

const GROUP: u64 = 6;

/// Whoever publishes last.
const LAST: &str = "last";

/// Listens in pieces: so many updates, then away, then again from where it was; every update up to the last one.
#[track_caller]
fn listen_in_pieces(server: &Server, ear: Ear, start: u64, pace: usize) -> Vec<Update> {
    let mut heard: Vec<Update> = Vec::new();
    let mut visits = 0;
    loop {
        let cursor = heard.last().map_or(start, |update| update.seq);
        let mut reader = Reader::open(server, ear, GROUP, cursor);
        visits += 1;
        for _ in 0..1 + visits * pace % 61 {
            heard.push(reader.update());
            if heard.last().is_some_and(|update| update.member.as_deref() == Some(LAST)) {
                return heard;
            }
        }
    }
}

#[test]
fn readers_that_come_and_go_while_others_publish_hear_all_of_it_once() {
    const EACH: usize = 300;
    let server = Server::start(&["--history", "100000", "--queue-bytes", "4000000"]);
    let start = server.get(&format!("/location/long/{GROUP}?timeout=0")).location_seq();
    let heard = thread::scope(|scope| {
        let server = &server;
        let readers = Ear::ALL.into_iter().flat_map(|ear| [7, 13].map(|pace| (ear, pace)));
        let readers: Vec<_> = readers
            .map(|(ear, pace)| scope.spawn(move || (ear, listen_in_pieces(server, ear, start, pace))))
            .collect();
        let publishers = Way::ALL.map(|way| {
            scope.spawn(move || {
                let mut publisher = Publisher::open(server, way, GROUP);
                (0..EACH).for_each(|x| publisher.publish(&format!("{way:?}"), x));
            })
        });
        publishers.into_iter().for_each(|publisher| publisher.join().expect("every publish is taken"));
        server.publish(GROUP, LAST, 0, 0);
        readers
            .into_iter()
            .map(|reader| reader.join().expect("the reader hears the last"))
            .collect::<Vec<_>>()
    });
    for (ear, updates) in &heard {
        for (index, update) in updates.iter().enumerate() {
            assert_eq!(update.seq, start + 1 + index as u64, "{ear:?}: no loss and no repetition");
            assert!(!update.gap, "{ear:?}: {}", update.text);
        }
        assert_eq!(updates.len(), EACH * Way::ALL.len() + 1, "{ear:?}");
        assert_eq!(*updates, heard[0].1, "{ear:?} hears the very bytes that others hear");
    }
}
