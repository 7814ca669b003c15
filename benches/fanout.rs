//! Telling a group's subscribers: encoded once for all of them, queued for one whose socket is full, conflated for one
//! that is too slow for its queue.

mod in_memory;
mod timing;

use std::cell::RefCell;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use geoloop::ids::{ConnId, Transport};

use crate::in_memory::operation::{Operation, Scene};
use crate::in_memory::{Server, words};

/// What a queue takes here: some hundred and fifty updates, so that it is full soon.
const QUEUE_BYTES: usize = 16 * 1024;

/// Updates that fit into it.
const QUEUED: usize = 100;

/// Updates that do not.
const TOO_MANY: usize = 300;

/// Members that publish by turns.
const MEMBERS: usize = 100;

/// A SEND, encoded once and written to so many WebSockets; to a hundred, and over each transport, `turn` times it.
fn publish(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fanout/publish to");
    for subscribers in [1, 10_000] {
        let mut scene = Scene::with_listeners(Operation::Deliver(Transport::WebSocket), subscribers);
        group.throughput(Throughput::Elements(subscribers as u64));
        let id = BenchmarkId::from_parameter(subscribers);
        group.bench_function(id, |bencher| bencher.iter(|| scene.tell_all()));
    }
    group.finish();
}

/// One subscriber whose socket can be full, and who publishes for [`MEMBERS`] members.
struct Slow {
    server: Server,
    publisher: ConnId,
    publishes: Vec<Vec<u8>>,
    reader: ConnId,
}

impl Slow {
    fn new() -> Self {
        let mut server = Server::with(2, |limits| limits.queue_bytes_max = QUEUE_BYTES);
        let publisher = server.connect(&words::upgrade("/location"));
        server.say(publisher, &words::connect());
        let publishes = (0..MEMBERS).map(|member| words::send_of(&format!("member-{member}"))).collect();
        let reader = server.connect(&words::upgrade("/ws/3"));
        Self { server, publisher, publishes, reader }
    }

    /// So many updates are published, a turn each; how many writes that took.
    fn publish(&mut self, updates: usize) -> usize {
        let publishes = self.publishes.iter().cycle().take(updates);
        publishes.map(|publish| self.server.say(self.publisher, publish)).sum()
    }

    /// So many updates are published in one turn, up to its writes.
    fn hear(&mut self, updates: usize) {
        for publish in self.publishes.iter().cycle().take(updates) {
            self.server.hear(self.publisher, publish);
        }
    }

    /// Its socket is full, and it has been tried: nothing more is written to it.
    fn block(&mut self) {
        self.server.drain();
        self.server.fill(self.reader);
        assert_eq!(self.publish(1), 1, "one write finds out that the socket is full");
    }

    /// Its socket takes bytes again: how many updates it is written.
    fn drain(&mut self) -> usize {
        let before = self.delivered();
        self.server.drain();
        self.delivered() - before
    }

    fn delivered(&self) -> usize {
        self.server.shard().report().delivered[Transport::WebSocket as usize] as usize
    }
}

fn slow(criterion: &mut Criterion) {
    let slow = RefCell::new(Slow::new());
    let mut group = criterion.benchmark_group("fanout/slow");
    group.throughput(Throughput::Elements(QUEUED as u64));
    // What was published is encoded and queued in one turn.
    let tell = |()| assert_eq!(slow.borrow_mut().server.write(), 0);
    group.bench_function("queue", |bencher| {
        let hear = || {
            slow.borrow_mut().block();
            slow.borrow_mut().hear(QUEUED);
        };
        bencher.iter_batched(hear, tell, BatchSize::PerIteration);
    });
    group.bench_function("drain the queue", |bencher| {
        let block = || {
            slow.borrow_mut().block();
            slow.borrow_mut().hear(QUEUED);
            tell(());
        };
        let drain = |()| assert_eq!(slow.borrow_mut().drain(), QUEUED + 1);
        bencher.iter_batched(block, drain, BatchSize::PerIteration);
    });
    group.bench_function("tell past the queue", |bencher| {
        slow.borrow_mut().block();
        slow.borrow_mut().publish(TOO_MANY);
        bencher.iter_batched(|| slow.borrow_mut().hear(QUEUED), tell, BatchSize::PerIteration);
    });
    group.throughput(Throughput::Elements(MEMBERS as u64));
    group.bench_function("drain each member's newest", |bencher| {
        let block = || {
            slow.borrow_mut().block();
            slow.borrow_mut().publish(TOO_MANY);
        };
        let drain = |()| {
            let delivered = slow.borrow_mut().drain();
            assert!((MEMBERS..2 * MEMBERS).contains(&delivered), "{delivered} updates");
        };
        bencher.iter_batched(block, drain, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = timing::brief();
    targets = publish, slow
}
criterion_main!(benches);
