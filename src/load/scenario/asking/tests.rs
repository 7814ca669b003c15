//! What becomes of askers, told by calls in place of a server: nobody here says anything but the tests.

use std::net::TcpListener;

use super::*;
use crate::load::client::Answer;

const UPDATE: &str = r#"{"seq":7,"member":"u0","x":GROUP,"y":NUMBER,"at":1}"#;

/// Two users of one group who are connected, told everything by calls in place of a server.
struct Stage {
    asking: Asking,
    driver: Driver<Wake>,
    /// Takes connections, and says nothing.
    _server: TcpListener,
}

impl Stage {
    fn set() -> Self {
        Self::set_with(1, false)
    }

    fn set_with(groups: usize, roam: bool) -> Self {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut driver = Driver::new(server.local_addr().unwrap(), 1).unwrap();
        let (warm_up, duration) = (Duration::from_secs(60), Duration::from_secs(60));
        let plan =
            AskingPlan { users: 2, groups, in_flight: 2, roam, warm_up, duration, host: String::new() };
        let mut asking = Asking::start(&mut driver, plan);
        for user in 0..2 {
            let conn = asking.users[user].conn.expect("it was opened");
            asking.handle_connected(&mut driver, conn, user as u32);
        }
        Self { asking, driver, _server: server }
    }

    fn begin(&mut self) {
        assert_eq!(self.asking.phase, Phase::Asking);
        self.asking.handle_wake(&mut self.driver, Wake::Begin, 0);
    }

    fn answer(&mut self, user: u32, number: u64, seq: u64, keep_alive: bool) {
        let User { doing, place, .. } = self.asking.users[user as usize];
        let publishes = matches!(doing, Doing::Publishing { .. });
        let place = if publishes { self.asking.home(user as usize) } else { place };
        let update = UPDATE.replace("GROUP", &self.asking.groups[place].id.to_string());
        let update = update.replace("NUMBER", &number.to_string());
        let body = update.replace("\"seq\":7", &format!("\"seq\":{seq}"));
        let (body, etag) = (body.as_bytes(), Seq::new(seq));
        let answer = Answer { status: 200, body, location_seq: None, etag, keep_alive };
        let conn = self.asking.users[user as usize].conn.expect("it is connected");
        self.asking.handle_heard(&mut self.driver, conn, user, Heard::Answer(answer));
    }

    #[track_caller]
    fn expect(&self, user: usize, left: Option<usize>) {
        let found = match self.asking.users[user].doing {
            Doing::Asking { left, .. } => Some(left),
            _ => None,
        };
        assert_eq!(found, left, "{:?}", self.asking.users[user].doing);
        assert_eq!(self.driver.figures.failures.total(), 0, "{:?}", self.driver.figures.failures);
    }
}

#[test]
fn nobody_asks_before_the_group_has_its_location() {
    let mut stage = Stage::set();
    assert_eq!(stage.asking.phase, Phase::Opening);
    assert!(matches!(stage.asking.users[0].doing, Doing::Publishing { .. }));
    assert!(matches!(stage.asking.users[1].doing, Doing::Ready { .. }));
    stage.answer(0, 0, 7, true);
    stage.begin();
    stage.expect(0, Some(2));
    stage.expect(1, Some(2));
}

#[test]
fn next_requests_follow_the_last_answer_of_those_before() {
    let mut stage = Stage::set();
    stage.answer(0, 0, 7, true);
    stage.begin();
    stage.answer(1, 0, 7, true);
    stage.expect(1, Some(1));
    stage.answer(1, 0, 7, true);
    stage.expect(1, Some(2));
    assert_eq!(stage.driver.figures.delivered, 2);
}

#[test]
fn whoever_roams_asks_about_all_groups_in_turn() {
    let mut stage = Stage::set_with(2, true);
    stage.answer(0, 0, 7, true);
    stage.answer(1, 0, 8, true);
    stage.begin();
    for (place, seq) in [(1, 8), (0, 7), (1, 8), (0, 7)] {
        assert_eq!(stage.asking.users[1].place, place);
        stage.expect(1, Some(2));
        (0..2).for_each(|_| stage.answer(1, 0, seq, true));
    }
    assert_eq!(stage.driver.figures.delivered, 8);
    // The number of the other group's is no answer.
    stage.answer(1, 0, 7, true);
    assert_eq!(stage.asking.ledger.failures().total(), 1);
}

#[test]
fn whoever_roams_publishes_to_its_own_group_wherever_it_asks() {
    let mut stage = Stage::set_with(2, true);
    stage.answer(0, 0, 7, true);
    stage.answer(1, 0, 8, true);
    stage.begin();
    stage.asking.groups[0].publish_due = 0;
    (0..2).for_each(|_| stage.answer(0, 0, 7, true));
    assert_eq!(stage.asking.users[0].place, 1);
    assert!(matches!(stage.asking.users[0].doing, Doing::Publishing { .. }));
    assert_eq!([0, 1].map(|place| stage.asking.groups[place].published), [2, 1]);
    stage.answer(0, 1, 9, true);
    let newest = stage.asking.groups.iter().map(|group| group.newest.as_ref().map(|(seq, _)| *seq));
    assert_eq!(newest.collect::<Vec<_>>(), [Seq::new(9), Seq::new(8)]);
    // It goes on where it was to ask.
    stage.expect(0, Some(2));
    (0..2).for_each(|_| stage.answer(0, 0, 8, true));
    (0..2).for_each(|_| stage.answer(0, 1, 9, true));
    assert_eq!(stage.driver.figures.delivered, 6);
    assert_eq!(stage.asking.ledger.failures().total(), 0, "{:?}", stage.asking.ledger.failures());
}

#[test]
fn requests_behind_a_last_answer_are_sent_anew() {
    let mut stage = Stage::set();
    stage.answer(0, 0, 7, true);
    stage.begin();
    let before = stage.asking.users[1].conn;
    stage.answer(1, 0, 7, false);
    stage.expect(1, Some(1));
    assert_ne!(stage.asking.users[1].conn, before);
}

#[test]
fn location_is_published_anew_before_its_member_leaves() {
    let mut stage = Stage::set();
    stage.answer(0, 0, 7, true);
    stage.begin();
    stage.asking.groups[0].publish_due = 0;
    (0..2).for_each(|_| stage.answer(0, 0, 7, true));
    assert!(matches!(stage.asking.users[0].doing, Doing::Publishing { .. }));
    // Until it is answered, others may be told of the one or the other.
    stage.answer(1, 1, 8, true);
    stage.answer(0, 1, 8, true);
    stage.answer(1, 1, 8, true);
    stage.expect(0, Some(2));
    stage.expect(1, Some(2));
    assert_eq!(stage.driver.figures.delivered, 4);
    // What was asked for since then is owed the newer one.
    stage.answer(1, 0, 7, true);
    stage.asking.finish(&mut stage.driver);
    assert_eq!(stage.driver.figures.failures.count(Failure::Stale), 1);
}
