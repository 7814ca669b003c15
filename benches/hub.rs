//! The hub alone: numbering, looking up who is owed an update, and reading a group's history.

mod in_memory;
mod timing;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use geoloop::hub::group::{Cursor, Published};
use geoloop::hub::waiters::{Lane, Waiter};
use geoloop::hub::{GroupKey, Hub};
use geoloop::ids::{GroupId, MemberId, Seq};
use geoloop::limits::{Budget, Limits, Quota};
use geoloop::location::{Change, Location, Publish};

use crate::in_memory::NOW;

/// A hub with one group.
fn hub() -> (Hub, GroupKey) {
    let limits = Limits::default();
    let mut hub = Hub::new(&limits, Quota::new(limits.groups_max), &Budget::new(limits.held_bytes_max));
    let key = hub.make(GroupId::new(3).expect("it is small"), &NOW).expect("there is room");
    (hub, key)
}

/// A publish by the member of this number.
fn publish(member: usize) -> Publish {
    let change = Change::Moved(Location::new(12.5, 48.25).expect("it is finite"));
    Publish { member: MemberId::new(&format!("member-{member}")), at: None, change }
}

/// Numbers a publish and looks at everybody who is owed it; how many that were.
fn tell(hub: &mut Hub, key: GroupKey, publish: &Publish) -> usize {
    let published = hub.publish(key, publish, &NOW);
    assert!(matches!(published, Ok(Published::Numbered(_))));
    let mut told = 0;
    while let Some(key) = hub.poll_dirty() {
        let updates = hub.take_pending(key);
        for waiter in hub.group(key).waiters().lane(Lane::new(0)) {
            black_box((waiter, &updates));
            told += 1;
        }
        hub.give_back_pending(updates);
    }
    hub.settle_held();
    told
}

fn publishing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hub/publish to");
    for subscribers in [1, 100, 10_000] {
        let (mut hub, key) = hub();
        for slot in 0..subscribers {
            hub.waiters_mut(key, &NOW).insert(Lane::new(0), Waiter { slot, from: 0, sub: 0 });
        }
        let publish = publish(0);
        group.throughput(Throughput::Elements(u64::from(subscribers)));
        group.bench_function(BenchmarkId::from_parameter(subscribers), |bencher| {
            bencher.iter(|| tell(&mut hub, key, black_box(&publish)));
        });
    }
    group.finish();
}

/// Members that publish in turn, so that each is looked up among many.
fn members(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hub/publish among members");
    group.throughput(Throughput::Elements(1));
    for members in [1, 1000, 10_000] {
        let (mut hub, key) = hub();
        let publishes: Vec<_> = (0..members).map(publish).collect();
        let mut next = publishes.iter().cycle();
        group.bench_function(BenchmarkId::from_parameter(members), |bencher| {
            bencher.iter(|| tell(&mut hub, key, next.next().expect("a cycle has no end")));
        });
    }
    group.finish();
}

/// How many members come and go until the ring holds nothing else.
const LEAVERS: usize = 32;

/// Members that stay.
const MEMBERS: usize = 1000;

/// A group of members that stay; the last updates are those of [`LEAVERS`] that came, went, came again and went again, or
/// there are none of these.
fn told_group(leavers: usize) -> (Hub, GroupKey) {
    let (mut hub, key) = hub();
    for member in 0..MEMBERS {
        tell(&mut hub, key, &publish(member));
    }
    for _ in 0..2 {
        for leaver in MEMBERS..MEMBERS + leavers {
            tell(&mut hub, key, &publish(leaver));
        }
        for leaver in MEMBERS..MEMBERS + leavers {
            tell(&mut hub, key, &Publish { change: Change::Left, ..publish(leaver) });
        }
    }
    (hub, key)
}

/// A slow reader takes each member's newest, one after the other.
fn read_conflated(hub: &Hub, key: GroupKey, expected: usize) {
    let group = hub.group(key);
    let mut cursor = Cursor::at(black_box(group.made_at()));
    let read = std::iter::from_fn(|| group.next_conflated(&mut cursor).map(|owed| owed.update.seq));
    assert_eq!(read.count(), expected);
}

fn reading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hub/read");
    let (hub, key) = told_group(0);
    let told = hub.group(key);
    let history = Limits::default().history;
    let before = Seq::new(told.cursor().number() - history as u64).expect("it is above 0");
    group.throughput(Throughput::Elements(history as u64));
    group.bench_function("the ring by cursor", |bencher| {
        bencher.iter(|| {
            let mut cursor = Cursor::at(black_box(before));
            let read = std::iter::from_fn(|| told.next_owed(&mut cursor).map(|owed| owed.update.seq));
            assert_eq!(read.count(), history);
        });
    });
    group.throughput(Throughput::Elements(MEMBERS as u64));
    group.bench_function("the snapshot", |bencher| {
        bencher.iter(|| black_box(told).snapshot().map(|update| update.seq).max());
    });
    group.bench_function("each member's newest, by a slow one", |bencher| {
        bencher.iter(|| read_conflated(&hub, key, MEMBERS));
    });
    let (hub, key) = told_group(LEAVERS);
    group.throughput(Throughput::Elements((MEMBERS + LEAVERS) as u64));
    group.bench_function("the same where many have left", |bencher| {
        bencher.iter(|| read_conflated(&hub, key, MEMBERS + LEAVERS));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = timing::brief();
    targets = publishing, members, reading
}
criterion_main!(benches);
