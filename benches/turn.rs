//! A whole shard, from bytes in to bytes out: what each operation takes, and telling a hundred subscribers of an update
//! on each transport.

mod in_memory;
mod timing;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use geoloop::ids::Transport;

use crate::in_memory::operation::{Operation, Scene};

/// How many hear an update.
const LISTENERS: usize = 100;

/// Operations that are whole turns; what is told behind a publish is timed by [`deliveries`].
fn operations(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("turn");
    group.throughput(Throughput::Elements(1));
    let is_turn = |operation: &Operation| match operation {
        Operation::ShortPoll | Operation::NotModified | Operation::Publish(_) | Operation::Connect(_) => true,
        // A publish, its MESSAGE and its ACK, which the client writes here too.
        Operation::DeliverAcknowledged => true,
        Operation::Deliver(_) | Operation::DeliverOwnId | Operation::Park | Operation::Acknowledge => false,
    };
    for operation in Operation::ALL.into_iter().filter(is_turn) {
        let mut scene = Scene::with_listeners(operation, 0);
        group.bench_function(operation.name(), |bencher| bencher.iter(|| scene.round()));
    }
    group.finish();
}

/// A publish and everybody told; long polls come back in the same round.
fn deliveries(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("turn/told");
    group.throughput(Throughput::Elements(LISTENERS as u64));
    let on = [Transport::LongPoll, Transport::Sse, Transport::WebSocket, Transport::Stomp];
    for operation in on.map(Operation::Deliver).into_iter().chain([Operation::DeliverOwnId]) {
        let mut scene = Scene::with_listeners(operation, LISTENERS);
        let id = BenchmarkId::new(operation.name(), LISTENERS);
        group.bench_function(id, |bencher| bencher.iter(|| scene.tell_all()));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = timing::brief();
    targets = operations, deliveries
}
criterion_main!(benches);
