//! What the tool does while it looks at the server, and from when on it does.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use geoloop::load::client::Heard;
use geoloop::load::driver::{ConnKey, Driver, Ended, Scenario};
use geoloop::load::run::Run;
use indicatif::ProgressBar;

use crate::fake::{Fake, Reply};
use crate::harness::PATIENCE;
use crate::tool::Tool;
use crate::{TRANSPORTS, target};

/// A scrape of a server with so many connections.
fn scrape(connections: u64) -> Reply {
    let counted = "geoloop_syscalls_total{call=\"read\"} 1\n";
    let open = format!("geoloop_connections{{transport=\"http\"}} {connections}\n");
    Reply::last_answer(200, "", &format!("{counted}{open}"))
}

/// Does something every millisecond, for ever, though it is done.
struct Beating(Sender<()>);

impl Scenario for Beating {
    type Wake = ();

    fn handle_wake(&mut self, driver: &mut Driver<()>, (): (), _: u64) {
        self.0.send(()).expect("the test counts");
        driver.wake_at(driver.now() + 1000, ());
    }

    fn handle_connected(&mut self, _: &mut Driver<()>, _: ConnKey, _: u32) {}

    fn handle_first_byte(&mut self, _: &mut Driver<()>, _: ConnKey, _: u32) {}

    fn handle_heard(&mut self, _: &mut Driver<()>, _: ConnKey, _: u32, _: Heard<'_>) {}

    fn handle_ended(&mut self, _: &mut Driver<()>, _: ConnKey, _: u32, _: Ended) {}

    fn handle_interrupt(&mut self, _: &mut Driver<()>) {}

    fn is_done(&self) -> bool {
        true
    }
}

/// A server whose /metrics are answered the first time at once, and then when users have done something three times.
fn serve_slowly(beats: Receiver<()>) -> Fake {
    let (beats, looks) = (Mutex::new(beats), AtomicUsize::new(0));
    Fake::start(move |_| {
        if looks.fetch_add(1, Ordering::SeqCst) > 0 {
            let beats = beats.lock().unwrap();
            beats.try_iter().for_each(drop);
            for _ in 0..3 {
                if beats.recv_timeout(PATIENCE).is_err() {
                    return Reply::Nothing;
                }
            }
        }
        scrape(1)
    })
}

#[test]
fn users_go_on_while_the_server_is_looked_at() {
    let (sender, beats) = channel();
    let fake = serve_slowly(beats);
    let target = target(fake.address(), fake.address());
    let interrupted = AtomicBool::new(false);
    let mut run = Run::new(&target, 1, 1, &interrupted, ProgressBar::hidden()).expect("it can be made");
    let mut beating = Beating(sender);
    run.driver.wake_at(0, ());
    run.look(&mut beating).expect("the loop runs");
    let measured = run.measured(&mut beating).expect("the loop runs");
    let server = measured.server.expect("both looks were answered");
    assert_eq!(server.counts_missing, None);
}

/// What a server saw of the runs that were played on it.
#[derive(Default)]
struct Seen {
    /// Scrapes since the last user asked for something.
    scrapes: usize,
    /// Connections that the last scrape told of.
    told: u64,
    users: usize,
    /// Users who came while some of the run before were there.
    early: usize,
}

#[test]
fn run_begins_when_the_server_has_noticed_that_the_one_before_is_gone() {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let theirs = Arc::clone(&seen);
    let fake = Fake::start(move |request| {
        let mut seen = theirs.lock().unwrap();
        if request.line.starts_with("GET /metrics") {
            seen.scrapes += 1;
            // Two others are connected all the time, and the user stays for a while in the server's eyes.
            seen.told = if seen.users > 0 && seen.scrapes < 5 { 4 } else { 3 };
            return scrape(seen.told);
        }
        seen.users += 1;
        seen.early += usize::from(seen.told != 3);
        seen.scrapes = 0;
        Reply::answer(503, "", "")
    });
    let flags = "--scenario idle --users 1 --duration 1ms";
    let run = Tool::start(fake.address(), "", flags).finish();
    assert_eq!(run.exit.code, Some(1), "every user was refused: {:?}", run.exit);
    let seen = seen.lock().unwrap();
    assert_eq!((seen.users, seen.early), (TRANSPORTS.len(), 0));
    assert!(!run.exit.stdout.contains("warning: the server still held"), "{}", run.exit.stdout);
}

#[test]
fn look_at_a_server_that_keeps_its_connection_is_over_with_its_answer() {
    let fake = Fake::start(|request| match request.line.as_str() {
        "GET /metrics" => Reply::answer(404, "", "no"),
        _ => Reply::answer(503, "", ""),
    });
    let run = Tool::start(fake.address(), "sse", "--scenario idle --users 1 --duration 1ms").finish();
    assert_eq!(run.exit.code, Some(1), "the user was refused: {:?}", run.exit);
    // One that had waited for the end would tell that it timed out.
    let report = run.json();
    assert_eq!(report["server"]["counts_missing"], "/metrics is answered with 404", "{report}");
}
