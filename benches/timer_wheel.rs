//! The timer wheel with ten thousand timers, spread as a server's are: deadlines from a tick to a minute away.

mod timing;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use geoloop::clock::Tick;
use geoloop::random::Random;
use geoloop::timer_wheel::{TimerKey, TimerWheel};

const TIMERS: usize = 10_000;

/// The furthest deadline.
const SPREAD_MS: u64 = 60_000;

/// How much later a deadline is moved: what lies between two polls of one user.
const LATER_MS: u64 = 3000;

fn deadlines() -> Vec<Tick> {
    let mut random = Random::with_seed(7);
    (0..TIMERS).map(|_| Tick(1 + u64::from(random.number()) % SPREAD_MS)).collect()
}

/// A wheel with all timers in it, in room that they have taken before.
fn full(deadlines: &[Tick]) -> (TimerWheel<u64>, Vec<TimerKey>) {
    let mut wheel = emptied(deadlines);
    let keys = deadlines.iter().map(|deadline| wheel.insert(*deadline, deadline.0)).collect();
    (wheel, keys)
}

/// A wheel without timers that has held as many.
fn emptied(deadlines: &[Tick]) -> TimerWheel<u64> {
    let mut wheel = TimerWheel::new(Tick(0));
    let keys: Vec<_> = deadlines.iter().map(|deadline| wheel.insert(*deadline, deadline.0)).collect();
    for key in keys {
        wheel.cancel(key);
    }
    wheel
}

fn timers(criterion: &mut Criterion) {
    let deadlines = deadlines();
    let mut group = criterion.benchmark_group("timer_wheel/10,000");
    group.throughput(Throughput::Elements(TIMERS as u64));
    group.bench_function("insert", |bencher| {
        let insert = |wheel: &mut TimerWheel<u64>| {
            for deadline in &deadlines {
                black_box(wheel.insert(*deadline, deadline.0));
            }
        };
        bencher.iter_batched_ref(|| emptied(&deadlines), insert, BatchSize::LargeInput);
    });
    group.bench_function("cancel", |bencher| {
        let cancel = |(wheel, keys): &mut (TimerWheel<u64>, Vec<TimerKey>)| {
            for key in keys {
                black_box(wheel.cancel(*key));
            }
        };
        bencher.iter_batched_ref(|| full(&deadlines), cancel, BatchSize::LargeInput);
    });
    // What every request does to its connection's.
    group.bench_function("move later", |bencher| {
        let later: Vec<_> = deadlines.iter().map(|deadline| Tick(deadline.0 + LATER_MS)).collect();
        let move_later = |(wheel, keys): &mut (TimerWheel<u64>, Vec<TimerKey>)| {
            for (key, deadline) in keys.iter().zip(&later) {
                assert!(wheel.set_deadline(black_box(*key), *deadline));
            }
        };
        bencher.iter_batched_ref(|| full(&deadlines), move_later, BatchSize::LargeInput);
    });
    // A minute in turns of a millisecond: all timers expire, each after its way down the levels.
    group.bench_function("advance until all have expired", |bencher| {
        let advance = |(wheel, _): &mut (TimerWheel<u64>, Vec<TimerKey>)| {
            let mut expired = 0;
            for tick in 1..=SPREAD_MS {
                while let Some(value) = wheel.poll_expired(Tick(tick)) {
                    black_box(value);
                    expired += 1;
                }
            }
            assert_eq!(expired, TIMERS);
        };
        bencher.iter_batched_ref(|| full(&deadlines), advance, BatchSize::LargeInput);
    });
    group.finish();
}

/// What a turn in which nothing is due costs.
fn idle(criterion: &mut Criterion) {
    let (mut wheel, _) = full(&deadlines());
    assert_eq!(wheel.poll_expired(Tick(0)), None, "a tick away at least");
    let mut group = criterion.benchmark_group("timer_wheel/10,000");
    group.throughput(Throughput::Elements(1));
    group.bench_function("turn without a due timer", |bencher| {
        bencher.iter(|| (wheel.poll_expired(black_box(Tick(0))), black_box(wheel.next_deadline())));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = timing::brief();
    targets = timers, idle
}
criterion_main!(benches);
