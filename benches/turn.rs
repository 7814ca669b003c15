//! A whole shard, from bytes in to bytes out: what each operation takes, and a publish that a hundred subscribers are told
//! of, on each transport.

mod in_memory;
mod timing;

use std::cell::RefCell;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use geoloop::ids::Transport;

use crate::in_memory::operation::{Operation, Scene};

/// How many hear an update.
const LISTENERS: usize = 100;

/// Each operation alone, under its own name; an update to one more subscriber is too little to be timed by itself, and part
/// of [`publishes`].
fn operations(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("turn");
    group.throughput(Throughput::Elements(1));
    for operation in Operation::ALL {
        let name = operation.name();
        match operation {
            Operation::ShortPoll | Operation::NotModified | Operation::Publish(_) | Operation::Connect(_) => {
                let mut scene = Scene::warm(operation);
                group.bench_function(name, |bencher| bencher.iter(|| scene.run()));
            }
            // Something else has to happen before each or behind it, which is not timed.
            Operation::ShortPollAnew
            | Operation::Park
            | Operation::DeliverAcknowledged
            | Operation::Acknowledge => {
                let scene = RefCell::new(Scene::warm(operation));
                scene.borrow_mut().run();
                let set_up = || {
                    scene.borrow_mut().end();
                    scene.borrow_mut().begin();
                };
                group.bench_function(name, |bencher| {
                    bencher.iter_batched(set_up, |()| scene.borrow_mut().run(), BatchSize::PerIteration);
                });
            }
            Operation::Deliver(_) | Operation::DeliverOwnId => {}
        }
    }
    group.finish();
}

/// A SEND and everybody told; long polls come back in the same round.
fn publishes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("turn");
    group.throughput(Throughput::Elements(LISTENERS as u64));
    for operation in Operation::ALL {
        let name = match operation {
            Operation::Deliver(Transport::LongPoll) => {
                format!("park {LISTENERS} long polls and publish to them")
            }
            Operation::Deliver(transport) => format!("publish to {LISTENERS} over {}", transport.label()),
            Operation::DeliverOwnId => format!("publish to {LISTENERS} over stomp, an id each"),
            Operation::ShortPoll
            | Operation::ShortPollAnew
            | Operation::NotModified
            | Operation::Publish(_)
            | Operation::Park
            | Operation::DeliverAcknowledged
            | Operation::Acknowledge
            | Operation::Connect(_) => continue,
        };
        let mut scene = Scene::with_listeners(operation, LISTENERS);
        group.bench_function(name, |bencher| bencher.iter(|| scene.tell_all()));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = timing::brief();
    targets = operations, publishes
}
criterion_main!(benches);
