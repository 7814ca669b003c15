//! What of a fan-out counts, told by calls in place of a server: nobody here says anything but the tests.

use std::net::TcpListener;

use super::*;
use crate::load::client::Answer;
use crate::load::update::Received;

/// One subscriber and one publisher who are let in, with the warm-up begun.
struct Stage {
    fanout: Fanout,
    driver: Driver<Wake>,
    /// Takes connections, and says nothing.
    _server: TcpListener,
}

impl Stage {
    fn set(transport: Transport) -> Self {
        Self::set_paced(transport, Pace::PerSecond(1e6))
    }

    fn set_paced(transport: Transport, pace: Pace) -> Self {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut driver = Driver::new(server.local_addr().unwrap(), 1).unwrap();
        let plan = FanoutPlan {
            transport,
            subscribers: 1,
            groups: 1,
            pace,
            warm_up: Duration::from_secs(60),
            duration: Duration::from_secs(60),
            interval: Duration::from_millis(1),
            publish_over: Transport::Http,
            host: String::new(),
        };
        let mut fanout = Fanout::start(&mut driver, plan);
        fanout.handle_open(&mut driver, 0);
        fanout.handle_publisher_open(&mut driver, 0);
        assert_eq!(fanout.phase, Phase::Publishing);
        Self { fanout, driver, _server: server }
    }

    /// Lets time pass up to this moment, and a little.
    fn pass(&mut self, until: u64) -> u64 {
        while self.driver.now() <= until {
            self.driver.tell_time();
        }
        self.driver.now()
    }

    fn publish(&mut self) {
        let due = self.pass(self.driver.now());
        self.publish_at(due);
    }

    fn publish_at(&mut self, due: u64) {
        self.pass(due);
        self.fanout.publish(&mut self.driver, 0, due);
    }

    fn measure(&mut self) {
        self.pass(self.driver.now());
        self.fanout.measure(&mut self.driver);
        self.pass(self.driver.now());
    }

    /// The update that the publish with this number has become.
    fn update(&self, number: u64) -> String {
        let group = self.fanout.publishers[0].group.number();
        format!(r#"{{"seq":{},"member":"u{number}","x":{group},"y":{number},"at":1}}"#, number + 10)
    }

    fn answer(
        &mut self,
        status: u16,
        body: &str,
        handle: fn(&mut Fanout, &mut Driver<Wake>, usize, &Answer<'_>),
    ) {
        let body = body.as_bytes();
        let etag = Received::parse(body).map(|update| update.seq);
        let answer = Answer { status, body, location_seq: None, etag, keep_alive: true };
        handle(&mut self.fanout, &mut self.driver, 0, &answer);
    }

    /// Sends the short poll that is due next.
    fn poll(&mut self) {
        let due = self.fanout.subscribers[0].poll_due;
        self.pass(due);
        self.fanout.poll(&mut self.driver, 0, due);
        assert_eq!(self.fanout.subscribers[0].polling, Some(due));
    }
}

#[test]
fn update_of_the_warm_up_that_comes_late_does_not_count() {
    let mut stage = Stage::set(Transport::Sse);
    stage.publish();
    stage.measure();
    stage.publish();
    for (number, delivered) in [(0, 0), (1, 1)] {
        let body = stage.update(number);
        stage.fanout.hear(&mut stage.driver, 0, body.as_bytes());
        let figures = &stage.driver.figures;
        assert_eq!((figures.late, figures.delivered, figures.delivery.count()), (1, delivered, delivered));
        assert_eq!(figures.payload_received, delivered * body.len() as u64);
    }
    stage.fanout.finish(&mut stage.driver);
    assert_eq!(stage.driver.figures.failures.total(), 2, "neither publish was answered");
}

#[test]
fn publish_of_the_warm_up_that_is_answered_late_does_not_count() {
    let mut stage = Stage::set(Transport::Sse);
    stage.publish();
    stage.measure();
    stage.publish();
    for number in [0, 1] {
        let body = stage.update(number);
        stage.answer(200, &body, Fanout::handle_publish_answer);
        let figures = &stage.driver.figures;
        assert_eq!((figures.http_reqs, figures.http_req_duration.count()), (number, number));
    }
}

#[test]
fn poll_of_the_warm_up_that_is_answered_late_does_not_count_and_keeps_no_other_from_being_sent() {
    let mut stage = Stage::set(Transport::ShortPoll);
    stage.poll();
    stage.measure();
    // The first poll of this phase comes due, and waits for the one before.
    let due = stage.fanout.subscribers[0].poll_due;
    stage.pass(due);
    stage.fanout.poll(&mut stage.driver, 0, due);
    for polls in [0, 1] {
        stage.answer(204, "", Fanout::handle_short_poll_answer);
        let figures = &stage.driver.figures;
        assert_eq!((figures.http_reqs, figures.poll.count(), figures.late), (polls, polls, 0));
        stage.poll();
    }
    assert!(stage.fanout.subscribers[0].poll_due > due, "the schedule goes on");
}

#[test]
fn first_poll_tells_of_all_that_it_passed_over_while_it_counts() {
    let mut stage = Stage::set(Transport::ShortPoll);
    stage.publish();
    stage.measure();
    let began = stage.fanout.began;
    (1..4).for_each(|step| stage.publish_at(began + step));
    for number in 0..4 {
        let body = stage.update(number);
        stage.answer(200, &body, Fanout::handle_publish_answer);
    }
    stage.poll();
    let body = stage.update(3);
    stage.answer(200, &body, Fanout::handle_short_poll_answer);
    let figures = &stage.driver.figures;
    assert_eq!((figures.unseen, figures.delivered), (2, 1), "the warm-up's is none of them");
    assert_eq!((figures.caught_up.count(), figures.delivery.count()), (3, 1));
    assert_eq!(figures.failures.total(), 0, "{:?}", figures.failures);
}

#[test]
fn what_was_conflated_in_the_warm_up_does_not_count() {
    let mut stage = Stage::set(Transport::Sse);
    for number in 0..3 {
        stage.publish();
        // A publisher's answer tells the ledger of each.
        let body = stage.update(number);
        stage.answer(200, &body, Fanout::handle_publish_answer);
    }
    let with_gap = stage.update(2).replace('}', ",\"gap\":true}");
    stage.fanout.hear(&mut stage.driver, 0, with_gap.as_bytes());
    assert_eq!(stage.fanout.ledger.conflated(), 2);
    stage.measure();
    stage.fanout.finish(&mut stage.driver);
    assert_eq!(stage.driver.figures.conflated, 0);
}

/// A window of two, with as many publishes out as that takes.
fn window() -> Stage {
    let mut stage = Stage::set_paced(Transport::Sse, Pace::InFlight(2));
    stage.pass(stage.driver.now());
    stage.fanout.refill(&mut stage.driver);
    stage
}

impl Stage {
    /// The subscriber is told of a publish, and the window is looked at.
    fn tell(&mut self, number: u64) {
        let body = self.update(number);
        self.fanout.hear(&mut self.driver, 0, body.as_bytes());
        self.fanout.refill(&mut self.driver);
    }

    fn answer_publish(&mut self, status: u16, number: u64) {
        let body = self.update(number);
        self.answer(status, &body, Fanout::handle_publish_answer);
        self.fanout.refill(&mut self.driver);
    }

    #[track_caller]
    fn expect_published(&self, published: u64) {
        assert_eq!(self.fanout.publishers[0].published, published);
        assert_eq!(self.fanout.under_way, self.fanout.publishers[0].under_way.len());
    }
}

#[test]
fn publish_is_over_when_it_was_heard_and_answered_and_the_next_follows() {
    let mut stage = window();
    stage.expect_published(2);
    stage.tell(0);
    stage.expect_published(2);
    stage.answer_publish(200, 0);
    stage.expect_published(3);
    // The other way around, two at once.
    stage.answer_publish(200, 1);
    stage.answer_publish(200, 2);
    stage.expect_published(3);
    stage.tell(1);
    stage.expect_published(4);
    stage.tell(2);
    stage.expect_published(5);
}

#[test]
fn listener_that_is_passed_over_or_lost_is_waited_for_no_more() {
    let mut stage = window();
    stage.answer_publish(200, 0);
    stage.answer_publish(200, 1);
    let with_gap = stage.update(1).replace('}', ",\"gap\":true}");
    stage.fanout.hear(&mut stage.driver, 0, with_gap.as_bytes());
    stage.fanout.refill(&mut stage.driver);
    stage.expect_published(4);
    stage.fanout.lose(&mut stage.driver, 0, Failure::Cut, &"gone");
    stage.answer_publish(200, 2);
    // Nobody listens any more, but the answers still come.
    stage.expect_published(5);
}

#[test]
fn refused_publish_makes_room_for_the_next() {
    let mut stage = window();
    stage.answer_publish(503, 0);
    stage.expect_published(3);
    stage.tell(1);
    stage.answer_publish(200, 1);
    stage.expect_published(4);
}

#[test]
fn publisher_that_is_lost_publishes_no_more_in_a_closed_loop() {
    let mut stage = window();
    stage.fanout.lose_publisher(&mut stage.driver, 0, Failure::Cut, &"gone");
    stage.fanout.refill(&mut stage.driver);
    assert_eq!(stage.fanout.publishers[0].published, 2);
}

#[test]
fn what_is_lost_in_the_warm_up_takes_no_room_of_what_counts() {
    let mut stage = window();
    stage.measure();
    assert_eq!(stage.fanout.under_way, 0);
    stage.fanout.refill(&mut stage.driver);
    stage.expect_published(4);
    // What comes late of before is behind everybody.
    stage.tell(0);
    stage.expect_published(4);
}
