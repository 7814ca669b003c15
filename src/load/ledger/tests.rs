//! Claims of the ledger: each kind of failure is planted and found, and where none is planted none is found.

use proptest::prelude::*;

use super::*;
use crate::random::Random;

const A: u64 = 3;
const B: u64 = 4;

fn group(number: u64) -> GroupId {
    GroupId::new(number).unwrap()
}

fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap()
}

/// An update of a group where the tool does not say what it publishes.
fn plain(group: u64, number: u64) -> String {
    format!(r#"{{"seq":{number},"x":{group}.5,"y":{number}.25,"at":1767225600123}}"#)
}

fn of_member(group: u64, number: u64, member: &str) -> String {
    format!(r#"{{"seq":{number},"member":"{member}","x":{group}.5,"y":{number}.25,"at":1767225600123}}"#)
}

fn leave(number: u64, member: &str) -> String {
    format!(r#"{{"seq":{number},"member":"{member}","left":true,"at":1767225600123}}"#)
}

/// The tool's publish of that number, as the server numbered it.
fn published(group: u64, number: u64, publish: u64) -> String {
    format!(r#"{{"seq":{number},"member":"p","x":{group},"y":{publish},"at":1767225600123}}"#)
}

fn with_gap(body: &str) -> String {
    format!(r#"{},"gap":true}}"#, body.strip_suffix('}').unwrap())
}

impl Ledger {
    #[track_caller]
    fn check_invariants(&self) {
        let owed = self.listeners.iter().filter(|listener| listener.phase.is_owed());
        let outstanding = owed.map(|listener| {
            let log = &self.logs[listener.log as usize];
            assert!(listener.place <= log.end(), "{listener:?}");
            log.end() - listener.place + listener.rest.missing.len() as u64
        });
        assert_eq!(self.outstanding, outstanding.sum::<u64>());
        let pending = self.logs.iter().flat_map(|log| &log.publisher).flat_map(|each| each.pending.values());
        assert_eq!(self.awaited, pending.filter(|intended| intended.is_awaited).count() as u64);
        let held = self.listeners.iter().map(|listener| listener.rest.held.len()).sum::<usize>();
        assert_eq!(self.held, held);
        assert_eq!(self.holders_of_body.values().map(Vec::len).sum::<usize>(), held);
        for (index, log) in self.logs.iter().enumerate() {
            assert!(log.entries.iter().map(|entry| entry.seq).is_sorted_by(|one, next| one < next));
            let owed = log.listeners.iter().filter(|slot| self.listeners[**slot as usize].phase.is_owed());
            assert_eq!(log.owed_listeners, owed.count() as u64);
            for (seat, slot) in log.listeners.iter().enumerate() {
                let listener = &self.listeners[*slot as usize];
                assert_eq!((listener.log as usize, listener.rest.seat), (index, seat));
            }
        }
    }

    fn found(&self) -> Vec<(Failure, u64)> {
        self.failures.iter().map(|(failure, count, _)| (failure, count)).collect()
    }

    fn hears(&mut self, listener: ListenerId, body: &str) -> bool {
        let verdict = self.hear(listener, body.as_bytes());
        self.check_invariants();
        verdict != Verdict::Bad
    }

    fn hears_all(&mut self, listener: ListenerId, group: u64, seqs: impl IntoIterator<Item = u64>) {
        for seq in seqs {
            assert!(self.hears(listener, &plain(group, seq)), "{seq}: {:?}", self.failures);
        }
    }
}

/// Plays a run, ends it, and holds what was found against what was planted.
#[track_caller]
fn check(run: impl FnOnce(&mut Ledger), planted: &[(Failure, u64)]) -> Ledger {
    let mut ledger = Ledger::with_bounds(64, 8);
    run(&mut ledger);
    ledger.check_invariants();
    ledger.settle();
    ledger.check_invariants();
    assert_eq!(ledger.found(), planted, "{:#?}", ledger.failures);
    assert!(ledger.is_settled());
    ledger
}

#[test]
fn one_who_hears_all_in_order_leaves_nothing_open() {
    check(
        |ledger| {
            let listeners = [1, 2].map(|user| ledger.listen(Some(group(A)), Owed::FromNow, user));
            for number in 1..9 {
                for listener in listeners {
                    let expected = Verdict::Good { intended_micros: None, number: None, seq: seq(number) };
                    assert_eq!(ledger.hear(listener, plain(A, number).as_bytes()), expected);
                    assert_eq!(ledger.is_settled(), listener == listeners[1]);
                }
            }
        },
        &[],
    );
}

#[test]
fn update_that_never_comes_is_lost() {
    let ledger = check(
        |ledger| {
            let [one, two, _three] = [1, 2, 3].map(|user| ledger.listen(Some(group(A)), Owed::FromNow, user));
            ledger.hears_all(one, A, 1..6);
            ledger.hears_all(two, A, [1, 3, 5]);
            assert!(!ledger.is_settled());
        },
        &[(Failure::Lost, 2 + 5)],
    );
    let examples = ledger.failures.iter().next().unwrap().2;
    assert_eq!(examples[0], "user 2 of group 3 was not told of 2 updates, the first of them 2");
}

#[test]
fn what_one_who_left_was_still_to_hear_is_not_lost() {
    check(
        |ledger| {
            let [one, two] = [1, 2].map(|user| ledger.listen(Some(group(A)), Owed::FromNow, user));
            ledger.hears_all(one, A, 1..6);
            ledger.hears_all(two, A, 1..3);
            ledger.leave(two);
            assert!(ledger.is_settled());
            assert!(!ledger.hears(two, &plain(A, 3)));
        },
        &[],
    );
}

#[test]
fn what_one_who_left_was_told_a_later_one_of_is_lost() {
    check(
        |ledger| {
            let [one, two] = [1, 2].map(|user| ledger.listen(Some(group(A)), Owed::FromNow, user));
            ledger.hears_all(one, A, 1..6);
            ledger.hears_all(two, A, [1, 2, 4]);
            ledger.leave(two);
            assert_eq!(ledger.found(), [(Failure::Lost, 1)]);
        },
        &[(Failure::Lost, 1)],
    );
}

#[test]
fn update_behind_a_later_one_is_reordered_and_not_lost() {
    check(
        |ledger| {
            let [one, two] = [1, 2].map(|user| ledger.listen(Some(group(A)), Owed::FromNow, user));
            ledger.hears_all(one, A, 1..6);
            ledger.hears_all(two, A, [1, 3]);
            assert!(!ledger.hears(two, &plain(A, 2)));
            ledger.hears_all(two, A, [4, 5]);
            assert!(ledger.is_settled());
        },
        &[(Failure::Reordered, 1)],
    );
}

#[test]
fn update_that_comes_again_is_repeated() {
    check(
        |ledger| {
            let one = ledger.listen(Some(group(A)), Owed::FromNow, 1);
            ledger.hears_all(one, A, 1..4);
            assert!(!ledger.hears(one, &plain(A, 3)));
            assert!(!ledger.hears(one, &plain(A, 1)));
            ledger.hears_all(one, A, 4..6);
        },
        &[(Failure::Repeated, 2)],
    );
}

#[test]
fn update_of_another_group_is_found_by_its_bytes() {
    check(
        |ledger| {
            let [one, two] = [A, B].map(|number| ledger.listen(Some(group(number)), Owed::FromNow, 1));
            ledger.hears_all(one, A, 1..4);
            ledger.hears_all(two, B, 1..3);
            assert!(!ledger.hears(one, &plain(B, 2)));
            assert!(!ledger.hears(two, &plain(A, 3)));
            ledger.hears_all(two, B, 3..4);
        },
        &[(Failure::WrongGroup, 2)],
    );
}

#[test]
fn publish_to_another_group_is_found_at_once() {
    check(
        |ledger| {
            let one = ledger.listen(Some(group(A)), Owed::FromNow, 1);
            ledger.intend(group(A), 0, 10);
            assert!(ledger.hears(one, &published(A, 1, 0)));
            assert!(!ledger.hears(one, &published(B, 2, 0)));
        },
        &[(Failure::WrongGroup, 1)],
    );
}

#[test]
fn what_the_server_says_it_conflated_is_counted_and_not_lost() {
    let ledger = check(
        |ledger| {
            let [one, two, three] = [1, 2, 3].map(|user| ledger.listen(Some(group(A)), Owed::FromNow, user));
            ledger.hears_all(one, A, 1..8);
            ledger.hears_all(two, A, 1..3);
            assert!(ledger.hears(two, &with_gap(&plain(A, 6))));
            ledger.hears_all(two, A, [7]);
            // One whom nobody was faster than.
            assert!(ledger.hears(three, &with_gap(&plain(A, 8))));
            assert!(ledger.hears(one, &plain(A, 8)));
            assert!(ledger.hears(two, &plain(A, 8)));
            assert!(ledger.is_settled());
        },
        &[],
    );
    assert_eq!(ledger.conflated(), 3 + 7);
}

#[test]
fn hole_that_others_fill_later_is_still_conflated() {
    let ledger = check(
        |ledger| {
            let [one, two] = [1, 2].map(|user| ledger.listen(Some(group(A)), Owed::FromNow, user));
            ledger.hears_all(one, A, [1]);
            assert!(ledger.hears(one, &with_gap(&plain(A, 4))));
            ledger.hears_all(two, A, 1..5);
            // It was told of one gap: up to what was newest then it is not told again.
            ledger.hears_all(two, A, 5..9);
            assert!(ledger.hears(one, &with_gap(&plain(A, 6))));
            ledger.hears_all(one, A, [8]);
            assert!(ledger.is_settled());
        },
        &[],
    );
    assert_eq!(ledger.conflated(), 2 + 1 + 1);
}

#[test]
fn hole_behind_what_was_newest_at_a_gap_is_a_loss() {
    check(
        |ledger| {
            let [one, two] = [1, 2].map(|user| ledger.listen(Some(group(A)), Owed::FromNow, user));
            ledger.hears_all(two, A, 1..5);
            assert!(ledger.hears(one, &with_gap(&plain(A, 3))));
            ledger.hears_all(two, A, 5..8);
            ledger.hears_all(one, A, [4, 7]);
        },
        &[(Failure::Lost, 2)],
    );
}

#[test]
fn newest_of_a_member_may_not_be_conflated() {
    check(
        |ledger| {
            let [one, two] = [1, 2].map(|user| ledger.listen(Some(group(A)), Owed::FromNow, user));
            let bodies = [
                of_member(A, 1, "alice"),
                of_member(A, 2, "bob"),
                of_member(A, 3, "carol"),
                leave(4, "carol"),
                of_member(A, 5, "alice"),
            ];
            for body in &bodies {
                assert!(ledger.hears(one, body));
            }
            assert!(ledger.hears(two, &with_gap(&bodies[4])));
        },
        &[(Failure::Lost, 1)],
    );
}

#[test]
fn leave_is_an_update_like_any_other() {
    check(
        |ledger| {
            let [one, two] = [1, 2].map(|user| ledger.listen(Some(group(A)), Owed::FromNow, user));
            let other = ledger.listen(Some(group(B)), Owed::FromNow, 3);
            ledger.intend(group(A), 0, 5);
            for listener in [one, two] {
                assert!(ledger.hears(listener, &published(A, 1, 0)));
                assert!(ledger.hears(listener, &leave(2, "p")));
            }
            // Groups made in the same moment may tell of the same leave.
            ledger.hears_all(other, B, [1]);
            assert!(ledger.hears(other, &leave(2, "p")));
        },
        &[],
    );
}

#[test]
fn body_that_is_no_update_is_noted() {
    check(
        |ledger| {
            let [one, two] = [1, 2].map(|user| ledger.listen(Some(group(A)), Owed::FromNow, user));
            ledger.hears_all(one, A, 1..3);
            ledger.hears_all(two, A, 1..3);
            assert!(!ledger.hears(one, "hello"));
            assert!(!ledger.hears(one, &plain(A, 0)), "nothing numbered 0 is delivered");
            assert!(!ledger.hears(one, &plain(A, 3).replace(":", ": ")));
            assert!(!ledger.hears(two, &plain(B, 2)), "number 2 is taken");
            ledger.acknowledge(group(A), b"ok");
        },
        &[(Failure::Body, 5)],
    );
}

#[test]
fn one_is_owed_what_follows_its_first_and_nothing_before_it() {
    check(
        |ledger| {
            let [one, two] = [1, 2].map(|user| ledger.listen(Some(group(A)), Owed::FromFirst, user));
            ledger.hears_all(one, A, 4..7);
            assert!(ledger.is_settled());
            ledger.hears_all(two, A, [2, 3, 4]);
            assert!(!ledger.is_settled());
            ledger.hears_all(two, A, [6]);
            assert!(!ledger.hears(one, &plain(A, 3)));
        },
        &[(Failure::Lost, 1), (Failure::Reordered, 1)],
    );
}

#[test]
fn one_who_listens_from_now_may_be_told_first_what_others_heard_already() {
    check(
        |ledger| {
            let one = ledger.listen(Some(group(A)), Owed::FromNow, 1);
            ledger.hears_all(one, A, 1..6);
            let two = ledger.listen(Some(group(A)), Owed::FromNow, 2);
            assert!(ledger.is_settled());
            ledger.hears_all(two, A, [3]);
            assert!(!ledger.is_settled());
            ledger.hears_all(two, A, [5]);
        },
        &[(Failure::Lost, 1)],
    );
}

#[test]
fn update_that_only_a_late_one_tells_of_is_lost_to_those_who_passed_it() {
    check(
        |ledger| {
            let [one, two, three] = [1, 2, 3].map(|user| ledger.listen(Some(group(A)), Owed::FromNow, user));
            ledger.hears_all(one, A, [1, 3]);
            ledger.hears_all(two, A, [1, 3]);
            ledger.hears_all(three, A, [1, 2, 3]);
            assert!(!ledger.hears(two, &plain(A, 2)));
        },
        &[(Failure::Lost, 1), (Failure::Reordered, 1)],
    );
}

#[test]
fn acknowledged_update_is_owed_to_all() {
    check(
        |ledger| {
            let [one, _two] = [1, 2].map(|user| ledger.listen(Some(group(A)), Owed::FromNow, user));
            assert_eq!(ledger.newest_acknowledged(group(A)), None);
            for number in [1, 3, 2] {
                ledger.acknowledge(group(A), plain(A, number).as_bytes());
            }
            assert_eq!(ledger.newest_acknowledged(group(A)), Some(seq(3)));
            ledger.hears_all(one, A, 1..3);
            ledger.acknowledge(group(B), plain(A, 2).as_bytes());
        },
        &[(Failure::Lost, 1 + 3), (Failure::WrongGroup, 1)],
    );
}

#[test]
fn publish_is_told_with_the_time_that_it_was_intended_for() {
    check(
        |ledger| {
            let one = ledger.listen(Some(group(A)), Owed::FromNow, 1);
            for number in 0..3 {
                ledger.intend(group(A), number, 100 * number);
                assert!(!ledger.is_settled());
                let verdict = ledger.hear(one, published(A, 7 + number, number).as_bytes());
                let (intended_micros, seq) = (Some(100 * number), seq(7 + number));
                let expected = Verdict::Good { intended_micros, number: Some(number), seq };
                assert_eq!(verdict, expected);
                assert!(ledger.is_settled());
            }
        },
        &[],
    );
}

#[test]
fn publishes_come_once_in_order_and_nothing_else_comes() {
    check(
        |ledger| {
            let one = ledger.listen(Some(group(A)), Owed::FromNow, 1);
            for number in 0..4 {
                ledger.intend(group(A), number, 0);
            }
            ledger.withdraw(group(A), 3);
            assert!(ledger.hears(one, &published(A, 1, 1)));
            assert!(
                ledger.hears(one, &published(A, 2, 0)),
                "in the order of its seq, so the listener is well"
            );
            assert!(!ledger.hears(one, &published(A, 3, 1)), "numbered twice");
            assert!(!ledger.hears(one, &published(A, 4, 9)), "nobody published 9");
            assert!(!ledger.hears(one, &published(A, 5, 3)), "3 was refused");
            assert!(!ledger.hears(one, &plain(A, 6)), "that is no group's number");
        },
        &[
            (Failure::Body, 2),
            (Failure::Lost, 1),
            (Failure::Repeated, 1),
            (Failure::Reordered, 1),
            (Failure::WrongGroup, 1),
        ],
    );
}

#[test]
fn publish_that_may_not_have_been_taken_may_come_once_and_is_not_lost_if_it_does_not() {
    check(
        |ledger| {
            let one = ledger.listen(Some(group(A)), Owed::FromNow, 1);
            for number in 0..3 {
                ledger.intend(group(A), number, 0);
            }
            ledger.doubt(group(A), 0);
            ledger.doubt(group(A), 1);
            // Another time it changes nothing.
            ledger.doubt(group(A), 1);
            assert!(ledger.hears(one, &published(A, 1, 1)), "it had been taken");
            assert!(!ledger.is_settled(), "the third is still to come");
            assert!(ledger.hears(one, &published(A, 2, 2)));
            assert!(ledger.is_settled(), "nobody waits for the first");
            assert!(!ledger.hears(one, &published(A, 3, 1)), "numbered twice");
        },
        &[(Failure::Repeated, 1)],
    );
}

#[test]
fn publish_that_nobody_was_told_of_is_lost_if_somebody_listened_all_the_while() {
    check(
        |ledger| {
            ledger.intend(group(A), 0, 0);
            let one = ledger.listen(Some(group(A)), Owed::FromNow, 1);
            ledger.intend(group(A), 1, 0);
            ledger.intend(group(A), 2, 0);
            ledger.withdraw(group(A), 2);
            assert!(!ledger.is_settled());
            // Nobody listens here to the end.
            let gone = ledger.listen(Some(group(B)), Owed::FromNow, 2);
            ledger.intend(group(B), 0, 0);
            ledger.leave(gone);
            ledger.listen(Some(group(B)), Owed::FromNow, 3);
            let _ = one;
        },
        &[(Failure::Lost, 1)],
    );
}

#[test]
fn publish_that_a_gap_may_stand_for_is_not_lost() {
    check(
        |ledger| {
            let one = ledger.listen(Some(group(A)), Owed::FromNow, 1);
            for number in 0..3 {
                ledger.intend(group(A), number, 0);
            }
            assert!(ledger.hears(one, &with_gap(&published(A, 9, 2))));
        },
        &[],
    );
}

#[test]
fn acknowledged_publish_is_lost_if_one_who_waited_for_a_first_was_told_of_nothing() {
    check(
        |ledger| {
            ledger.intend(group(A), 0, 0);
            ledger.listen(Some(group(A)), Owed::FromFirst, 1);
            ledger.acknowledge(group(A), published(A, 5, 0).as_bytes());
            ledger.intend(group(A), 1, 0);
            ledger.acknowledge(group(A), published(A, 6, 1).as_bytes());
            assert!(ledger.is_settled());
        },
        &[(Failure::Lost, 1)],
    );
}

#[test]
fn one_whose_group_is_not_known_is_placed_by_what_it_hears() {
    check(
        |ledger| {
            let [one, two] = [A, B].map(|number| ledger.listen(Some(group(number)), Owed::FromNow, 1));
            let drawn = [7, 8, 9].map(|user| ledger.listen(None, Owed::FromFirst, user));
            ledger.hears_all(one, A, 1..4);
            // Known when it hears it.
            ledger.hears_all(drawn[0], A, 2..4);
            // Known later, and one was left out.
            ledger.hears_all(drawn[1], B, [1, 3]);
            ledger.hears_all(drawn[2], B, [1, 2, 3]);
            ledger.leave(drawn[2]);
            assert!(!ledger.is_settled());
            ledger.hears_all(two, B, 1..4);
            assert!(!ledger.hears(drawn[1], &plain(A, 3)));
            assert!(!ledger.hears(drawn[1], &plain(B, 1)));
        },
        &[(Failure::Lost, 1), (Failure::Repeated, 1), (Failure::WrongGroup, 1)],
    );
}

#[test]
fn what_no_group_was_told_is_of_the_wrong_group() {
    check(
        |ledger| {
            let drawn = [7, 8].map(|user| ledger.listen(None, Owed::FromFirst, user));
            ledger.hears_all(drawn[0], A, 1..3);
            ledger.hears_all(drawn[1], A, 1..2);
            assert!(ledger.hears(drawn[1], &leave(2, "p")), "a leave alone says nothing of its group");
            ledger.leave(drawn[1]);
            // Whoever polls is not placed any more.
            let poller = ledger.listen(None, Owed::FromFirst, 9);
            ledger.hears_all(poller, A, 7..8);
            assert_ne!(ledger.poll(poller, plain(A, 8).as_bytes(), None), PollVerdict::Bad);
        },
        &[(Failure::WrongGroup, 3)],
    );
}

#[test]
fn updates_of_unknown_groups_are_held_up_to_the_limit_and_refused_past_it() {
    check(
        |ledger| {
            let one = ledger.listen(Some(group(A)), Owed::FromNow, 1);
            let drawn = ledger.listen(None, Owed::FromFirst, 7);
            ledger.hears_all(drawn, A, 1..9);
            assert!(!ledger.hears(drawn, &plain(A, 9)));
            ledger.hears_all(one, A, 1..9);
            ledger.hears_all(one, A, 9..10);
            assert!(ledger.hears(drawn, &plain(A, 9)));
        },
        &[(Failure::Body, 1)],
    );
}

#[test]
fn poll_is_never_older_than_what_was_known() {
    check(
        |ledger| {
            let [one, two] = [1, 2].map(|user| ledger.listen(Some(group(A)), Owed::Newest, user));
            let poll = |ledger: &mut Ledger, listener, number, known: Option<u64>| {
                let verdict = ledger.poll(listener, plain(A, number).as_bytes(), known.map(seq));
                ledger.check_invariants();
                verdict
            };
            let new = |number, passed_over| PollVerdict::New {
                intended_micros: None,
                seq: seq(number),
                passed_over,
            };
            assert_eq!(poll(ledger, one, 0, None), PollVerdict::MadeUp);
            for number in 1..8 {
                ledger.acknowledge(group(A), plain(A, number).as_bytes());
            }
            assert_eq!(poll(ledger, one, 2, Some(2)), new(2, 1));
            assert_eq!(poll(ledger, one, 7, Some(7)), new(7, 4));
            assert_eq!(poll(ledger, one, 7, Some(7)), PollVerdict::Same { seq: seq(7) });
            assert_eq!(poll(ledger, one, 8, None), new(8, 0));
            assert_eq!(poll(ledger, one, 7, Some(7)), PollVerdict::Bad);
            assert_eq!(poll(ledger, two, 6, Some(7)), PollVerdict::Bad);
            assert_eq!(poll(ledger, two, 0, Some(7)), PollVerdict::Bad);
            assert_eq!(ledger.poll(two, b"{}", None), PollVerdict::Bad);
            // What was there before it began was not passed over by its first poll.
            let three = ledger.listen(Some(group(A)), Owed::Newest, 3);
            ledger.acknowledge(group(A), plain(A, 9).as_bytes());
            assert_eq!(poll(ledger, three, 9, Some(9)), new(9, 0));
            assert!(ledger.is_settled(), "a poller is owed nothing");
        },
        &[(Failure::Body, 1), (Failure::Stale, 3)],
    );
}

#[test]
fn poll_may_show_an_older_one_once_the_newer_members_have_left() {
    check(
        |ledger| {
            let one = ledger.listen(Some(group(A)), Owed::FromNow, 1);
            let poller = ledger.listen(Some(group(A)), Owed::FromNow, 2);
            for body in [of_member(A, 1, "bob"), of_member(A, 2, "alice")] {
                assert!(ledger.hears(one, &body));
            }
            let older = of_member(A, 1, "bob");
            assert_ne!(ledger.poll(poller, of_member(A, 2, "alice").as_bytes(), None), PollVerdict::Bad);
            assert_eq!(ledger.poll(poller, older.as_bytes(), None), PollVerdict::Bad);
            assert!(ledger.hears(one, &leave(3, "alice")));
            assert_eq!(
                ledger.poll(poller, older.as_bytes(), Some(seq(3))),
                PollVerdict::Same { seq: seq(1) }
            );
        },
        &[(Failure::Stale, 1)],
    );
}

#[test]
fn what_all_have_passed_is_dropped() {
    let ledger = check(
        |ledger| {
            let [one, two] = [1, 2].map(|user| ledger.listen(Some(group(A)), Owed::FromNow, user));
            for number in 1..1000 {
                ledger.hears_all(one, A, [number]);
                // The other one goes at half the pace for a while, and lags by more than a log should hold.
                if !(100..300).contains(&number) {
                    ledger.hears_all(two, A, [number].into_iter().filter(|number| *number < 100));
                }
                if number == 300 {
                    ledger.hears_all(two, A, 100..300);
                }
                if number >= 300 {
                    ledger.hears_all(two, A, [number]);
                }
            }
            assert!(!ledger.hears(two, &plain(A, 1)), "dropped, and repeated all the same");
        },
        &[(Failure::Repeated, 1)],
    );
    assert!(ledger.logs[0].entries.len() <= 128, "{} entries", ledger.logs[0].entries.len());
    assert_eq!(ledger.home_of_body.len(), ledger.logs[0].entries.len());
}

#[test]
fn one_who_begins_with_what_was_dropped_is_well() {
    check(
        |ledger| {
            let one = ledger.listen(Some(group(A)), Owed::FromNow, 1);
            let waiting = ledger.listen(Some(group(A)), Owed::FromFirst, 2);
            ledger.hears_all(one, A, 1..100);
            ledger.hears_all(waiting, A, 4..99);
            assert!(!ledger.is_settled());
            ledger.hears_all(waiting, A, 99..100);
            assert!(ledger.is_settled());
        },
        &[],
    );
}

#[test]
fn slot_is_used_again_and_its_old_name_is_not() {
    check(
        |ledger| {
            let one = ledger.listen(Some(group(A)), Owed::FromNow, 1);
            ledger.leave(one);
            ledger.leave(one);
            let two = ledger.listen(Some(group(A)), Owed::FromNow, 2);
            assert_eq!(one.slot, two.slot);
            assert!(!ledger.hears(one, &plain(A, 1)));
            ledger.hears_all(two, A, 1..3);
        },
        &[],
    );
}

/// What is done to one delivery.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tampering {
    Nothing,
    Drop,
    Repeat,
    Swap,
    Misdirect,
    Garbage,
    Conflate,
}

/// One that is subscribed on the server of the model.
struct Subscriber {
    id: ListenerId,
    group: usize,
    /// How many of the group's updates it was sent.
    sent: usize,
    has_heard: bool,
    is_placed: bool,
}

/// A server that makes no mistake but one.
struct Model {
    ledger: Ledger,
    random: Random,
    intends: bool,
    /// Logs are short; then all know their groups, for what was dropped can place nobody.
    trims: bool,
    /// Each group's bodies.
    groups: Vec<Vec<String>>,
    subscribers: Vec<Subscriber>,
    /// Who polls, and its group.
    pollers: Vec<(ListenerId, usize)>,
    tampering: Tampering,
    /// Who was tampered with: it stays to the end.
    victim: Option<usize>,
    conflated: u64,
    users: u32,
}

impl Model {
    const GROUPS: usize = 3;

    fn new(seed: u64, intends: bool, trims: bool, tampering: Tampering) -> Self {
        let mut model = Self {
            ledger: Ledger::with_bounds(if trims { 16 } else { 10_000 }, 10_000),
            trims,
            random: Random::with_seed(seed),
            intends,
            groups: vec![Vec::new(); Self::GROUPS],
            subscribers: Vec::new(),
            pollers: Vec::new(),
            tampering,
            victim: None,
            conflated: 0,
            users: 0,
        };
        for group in 0..Self::GROUPS {
            model.join(group, Some(Owed::FromNow));
            let poller = model.ledger.listen(Some(Self::id(group)), Owed::Newest, 99);
            model.pollers.push((poller, group));
        }
        model
    }

    fn id(group: usize) -> GroupId {
        self::group(group as u64)
    }

    fn below(&mut self, end: usize) -> usize {
        self.random.number() as usize % end
    }

    fn join(&mut self, group: usize, owed: Option<Owed>) {
        let sent = self.groups[group].len();
        self.users += 1;
        let known = owed.map(|_| Self::id(group));
        let id = self.ledger.listen(known, owed.unwrap_or(Owed::FromFirst), self.users);
        self.subscribers.push(Subscriber { id, group, sent, has_heard: false, is_placed: owed.is_some() });
    }

    fn publish(&mut self, group: usize) {
        let number = self.groups[group].len() as u64;
        let body = if self.intends {
            self.ledger.intend(Self::id(group), number, number * 10);
            published(group as u64, 100 + number * 2, number)
        } else {
            plain(group as u64, 100 + number * 2)
        };
        if self.random.number().is_multiple_of(3) {
            self.ledger.acknowledge(Self::id(group), body.as_bytes());
        }
        self.groups[group].push(body);
    }

    /// The next update of a subscriber is delivered to it as it is owed.
    fn deliver(&mut self, index: usize) {
        let subscriber = &mut self.subscribers[index];
        let Some(body) = self.groups[subscriber.group].get(subscriber.sent) else { return };
        let verdict = self.ledger.hear(subscriber.id, body.as_bytes());
        let number = subscriber.sent as u64;
        let Verdict::Good { intended_micros, seq, .. } = verdict else {
            panic!("{body} is bad: {:?}", self.ledger.failures);
        };
        assert_eq!(seq.number(), 100 + number * 2);
        // Of what was dropped the time is gone too.
        if subscriber.is_placed && !(self.trims && intended_micros.is_none()) {
            assert_eq!(intended_micros, self.intends.then_some(number * 10));
        }
        subscriber.sent += 1;
        subscriber.has_heard = true;
    }

    fn deliver_all(&mut self, group: usize) {
        for index in 0..self.subscribers.len() {
            while self.subscribers[index].group == group
                && self.subscribers[index].sent < self.groups[group].len()
            {
                self.deliver(index);
                self.ledger.check_invariants();
            }
        }
    }

    fn poll(&mut self, index: usize) {
        let (poller, group) = self.pollers[index];
        let newest = self.ledger.newest_acknowledged(Self::id(group));
        if let Some(body) = self.groups[group].last() {
            let verdict = self.ledger.poll(poller, body.as_bytes(), newest);
            assert_ne!(verdict, PollVerdict::Bad, "{:?}", self.ledger.failures);
        }
    }

    /// Does the one thing that is wrong, if it can be done to this subscriber now.
    fn tamper(&mut self, index: usize) -> bool {
        let subscriber = &self.subscribers[index];
        let (id, group, sent) = (subscriber.id, subscriber.group, subscriber.sent);
        if !subscriber.has_heard {
            return false;
        }
        let ahead = self.groups[group].len() - sent;
        match self.tampering {
            Tampering::Nothing => return false,
            // What the witness is not told of, perhaps nobody is, or only one whose group only the witness could tell.
            Tampering::Drop if ahead >= 1 && (index >= Self::GROUPS || (self.intends && self.trims)) => {
                self.subscribers[index].sent += 1
            }
            Tampering::Repeat => {
                let body = &self.groups[group][sent - 1];
                let verdict = self.ledger.hear(id, body.as_bytes());
                // While its group is not known nothing can be held against it.
                assert!(verdict == Verdict::Bad || !subscriber.is_placed);
            }
            Tampering::Swap if ahead >= 2 => {
                for place in [sent + 1, sent] {
                    self.ledger.hear(id, self.groups[group][place].as_bytes());
                }
                self.subscribers[index].sent += 2;
            }
            Tampering::Misdirect if subscriber.is_placed => {
                let other = (group + 1) % Self::GROUPS;
                // The witness of the other group hears it first.
                while self.subscribers[other].sent < self.groups[other].len() {
                    self.deliver(other);
                }
                let Some(body) = self.groups[other].last() else { return false };
                assert_eq!(self.ledger.hear(id, body.as_bytes()), Verdict::Bad);
            }
            Tampering::Garbage => assert_eq!(self.ledger.hear(id, b"{\"seq\":1}"), Verdict::Bad),
            Tampering::Conflate if ahead >= 2 && index >= Self::GROUPS => {
                let passed = 1 + self.below(ahead - 1);
                let body = with_gap(&self.groups[group][sent + passed]);
                assert_ne!(self.ledger.hear(id, body.as_bytes()), Verdict::Bad);
                self.conflated += passed as u64;
                self.subscribers[index].sent += passed + 1;
            }
            Tampering::Drop | Tampering::Swap | Tampering::Misdirect | Tampering::Conflate => return false,
        }
        true
    }

    fn step(&mut self) {
        let (group, index) = (self.below(Self::GROUPS), self.below(self.subscribers.len()));
        match self.below(15) {
            0 if self.subscribers.len() < 20 => self.join(group, Some(Owed::FromFirst)),
            1 if self.subscribers.len() < 20 && !self.trims => self.join(group, None),
            2 if self.subscribers.len() < 20 => {
                // Nothing is under way when one listens from now on.
                self.deliver_all(group);
                self.poll(group);
                self.join(group, Some(Owed::FromNow));
            }
            // The first ones are witnesses.
            3 if index >= Self::GROUPS && Some(index) != self.victim => {
                self.ledger.leave(self.subscribers[index].id);
                let last = self.subscribers.len() - 1;
                self.subscribers.swap_remove(index);
                if self.victim == Some(last) {
                    self.victim = Some(index);
                }
            }
            4..7 => self.publish(group),
            7 => self.poll(group),
            _ => self.deliver(index),
        }
    }

    /// Plays a whole run; what was planted is to be found, and nothing else.
    fn play(mut self, steps: usize) {
        for step in 0..steps {
            if step > steps / 4 && self.victim.is_none() {
                let index = self.below(self.subscribers.len());
                self.victim = self.tamper(index).then_some(index);
            }
            self.step();
            self.ledger.check_invariants();
        }
        for group in 0..Self::GROUPS {
            self.deliver_all(group);
        }
        let planted = self.victim.and(match self.tampering {
            Tampering::Nothing | Tampering::Conflate => None,
            Tampering::Drop => Some((Failure::Lost, 1)),
            Tampering::Repeat => Some((Failure::Repeated, 1)),
            Tampering::Swap => Some((Failure::Reordered, 1)),
            Tampering::Misdirect => Some((Failure::WrongGroup, 1)),
            Tampering::Garbage => Some((Failure::Body, 1)),
        });
        assert_eq!(self.ledger.is_settled(), planted != Some((Failure::Lost, 1)));
        self.ledger.settle();
        self.ledger.check_invariants();
        assert_eq!(self.ledger.found(), Vec::from_iter(planted), "{:#?}", self.ledger.failures);
        assert_eq!(self.ledger.conflated(), self.conflated);
    }
}

proptest! {
    #[test]
    fn exactly_what_was_planted_is_found(
        seed: u64, steps in 20usize..400, intends: bool, trims: bool,
        tampering in prop::sample::select(vec![
            Tampering::Nothing, Tampering::Drop, Tampering::Repeat, Tampering::Swap, Tampering::Misdirect,
            Tampering::Garbage, Tampering::Conflate,
        ]),
    ) {
        Model::new(seed, intends, trims, tampering).play(steps);
    }
}
