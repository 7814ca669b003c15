//! `--max-held-bytes`: what is refused near it, who is closed past it, and that whatever was held is given back.

use crate::harness::crowd::read_to_end;
use crate::harness::http::Wire;
use crate::harness::websocket::Socket;
use crate::harness::{Server, wait_until};
use crate::refusals::{self, Refused};
use crate::{ELSEWHERE, Scene, publish_of, slow_websocket};

const BUDGET: usize = 400_000;

/// What a holder sends of its body. A buffer that grows takes less than twice of that, so one holder more never leads from
/// below 90 % of the budget past all of it.
const PIECE: usize = 16_000;

/// By how much groups and connections may hold more or less in the end than in the beginning.
const BESIDES: f64 = 10_000.0;

/// A server of so many workers that may hold [`BUDGET`], in whose groups 1 and [`ELSEWHERE`] alice and zoe are.
#[track_caller]
fn open(workers: &str) -> Scene {
    let bytes = BUDGET.to_string();
    // Rings of one update, so that publishing makes a group hold no more.
    let mut flags = vec!["--workers", workers, "--history", "1", "--body-timeout", "10m"];
    for flag in ["--max-held-bytes", "--max-body-bytes", "--queue-bytes"] {
        flags.extend([flag, &bytes]);
    }
    let mut scene = Scene::open(&flags);
    scene.server.publish(1, "alice", 1, 1);
    scene.check(&[]);
    scene
}

fn held(server: &Server) -> f64 {
    server.scrape().sum("geoloop_held_bytes", &[])
}

fn times_run_into(server: &Server) -> f64 {
    server.scrape().sum("geoloop_refused_total", &[("reason", "held_max")])
}

/// A publisher to group 1 that has sent all of its body, which is so many bytes long, but for the last one. When this returns
/// the server has read it, or has run into its budget over it.
#[track_caller]
fn hold(server: &Server, bytes: usize) -> Wire {
    let before = (held(server), times_run_into(server));
    let mut wire = Wire::connect(server);
    wire.send(format!("POST /location/share/1 HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n\r\n"));
    wire.send(&publish_of(bytes).as_bytes()[..bytes - 1]);
    let is_read =
        wait_until(|| held(server) >= before.0 + bytes as f64 - 1.0 || times_run_into(server) > before.1);
    assert!(is_read, "{bytes} more bytes than {} are held", before.0);
    wire
}

/// Holders, as many as it takes until 90 % of the budget are held.
#[track_caller]
fn fill(server: &Server) -> Vec<Wire> {
    let mut holders = Vec::new();
    while held(server) < BUDGET as f64 * 0.9 {
        holders.push(hold(server, PIECE));
    }
    assert!(held(server) <= BUDGET as f64, "{} are held", held(server));
    holders
}

/// Checks that a holder was let be: with its last byte it has published.
#[track_caller]
fn finish(mut holder: Wire) {
    holder.send(" ");
    holder.answer().expect_status(200);
}

#[track_caller]
fn check_given_back(server: &Server, before: f64) {
    let mut now = f64::NAN;
    let is_given_back = wait_until(|| {
        now = held(server);
        (now - before).abs() < BESIDES
    });
    assert!(is_given_back, "{now} bytes are held, {before} were before");
}

#[test]
fn new_groups_new_members_and_snapshots_are_refused_near_the_budget() {
    let mut scene = open("2");
    let before = held(&scene.server);
    let holders = fill(&scene.server);
    let into_groups = refusals::PUBLISHES.iter().chain(&refusals::SUBSCRIPTIONS);
    // Groups that are not there, at home on either worker; then one that is there and that alice is no member of.
    let into_groups = into_groups.flat_map(|refused| [(4, *refused), (5, *refused)]);
    let as_members = refusals::PUBLISHES.into_iter().chain([refusals::publish_over_websocket as Refused]);
    let as_members = as_members.map(|refused| (ELSEWHERE, refused));
    let snapshots = [1, 4, ELSEWHERE].map(|group| (group, refusals::snapshot as Refused));
    let mut refusals = 0;
    for (group, refused) in into_groups.chain(as_members).chain(snapshots) {
        refused(&scene.server, group, "holds 90 %");
        refusals += 1;
        scene.check(&[("held_max", refusals)]);
    }
    // Whoever is known is served as before.
    let mut watcher = Socket::open(&scene.server, "/ws/1");
    let moved = scene.server.publish(1, "alice", 2, 2);
    assert_eq!(watcher.update(), moved);
    assert_eq!(scene.server.get("/location/cur/1").expect_status(200).update(), moved);
    // Once there is room again, so is everyone.
    holders.into_iter().for_each(finish);
    check_given_back(&scene.server, before);
    scene.server.publish(1, "bob", 1, 1);
    scene.server.publish(4, "alice", 1, 1);
    scene.server.get("/location/group/1").expect_status(200);
    scene.check(&[("held_max", refusals)]);
}

// Each worker closes its own; of one worker it can be said who holds most.

#[test]
fn publisher_that_holds_most_is_closed_past_the_budget_and_smaller_ones_go_on() {
    let mut scene = open("1");
    let before = held(&scene.server);
    let largest = hold(&scene.server, 3 * PIECE);
    let mut holders = fill(&scene.server);
    while times_run_into(&scene.server) == 0.0 {
        assert!(
            holders.len() < BUDGET / PIECE,
            "it must come to that: {} bytes are held",
            held(&scene.server)
        );
        holders.push(hold(&scene.server, PIECE));
    }
    assert_eq!(read_to_end(largest.stream()), 0, "it is closed without a word");
    scene.check(&[("held_max", 1)]);
    assert!(held(&scene.server) <= BUDGET as f64, "{} are held", held(&scene.server));
    holders.into_iter().for_each(finish);
    scene.check(&[("held_max", 1)]);
    check_given_back(&scene.server, before);
}

#[test]
fn subscriber_that_takes_nothing_is_closed_past_the_budget_and_quick_ones_go_on() {
    let mut scene = open("1");
    let holder = hold(&scene.server, PIECE);
    let before = held(&scene.server);
    let stuck = slow_websocket(&scene.server, "/ws/1");
    let mut quick = Socket::open(&scene.server, "/ws/1");
    let mut publisher = Wire::connect(&scene.server);
    let mut most = 0.0;
    for x in 0.. {
        publisher.send_post("/location/share/1", &format!(r#"{{"member":"alice","x":{x},"y":0}}"#));
        assert_eq!(quick.update(), publisher.answer().expect_status(200).update());
        if x % 50 == 0 {
            most = held(&scene.server).max(most);
            if times_run_into(&scene.server) > 0.0 {
                break;
            }
        }
        assert!(x < 20_000, "it must come to that: {most} bytes were held");
    }
    assert!(most > BUDGET as f64 * 0.9, "it is closed past the budget and not before: {most}");
    read_to_end(stuck.stream());
    check_given_back(&scene.server, before);
    finish(holder);
    scene.check(&[("held_max", 1)]);
}
