//! Whole servers in memory, driven by one seed each: shards, mail, sockets that split, block and break, clocks that
//! jump, and clients of every kind, well and ill. A shadow model that knows none of the server's code holds what
//! everyone is told against what the README promises.
//!
//! ```text
//!   life, finish          what happens, step by step, until nobody is left
//!   speak, stomp          what peers say              hear, hear_stomp, reader    what they are told, read strictly
//!   world                 shards, mail, sockets, time           model             what had to be told
//! ```
//!
//! `GEOLOOP_SEED=7` lives the life of that seed alone, `GEOLOOP_SEEDS=10000` so many from seed 0 on; both together, so
//! many from that seed on.
//! A life that fails prints its seed and its last steps, one alone all of them.

#[path = "../harness/mod.rs"]
mod harness;

mod finish;
mod hear;
mod hear_stomp;
mod life;
mod model;
mod peer;
mod reader;
mod speak;
mod stomp;
mod trace;
mod world;

use life::{Life, Lived};

/// How many lives are lived when nobody asks for more.
const SEEDS: u64 = 500;

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|number| number.parse().expect("a number of seeds, or a seed"))
}

/// How many of its last steps a life shows that fails among others.
const SHOWN: usize = 60;

fn live(seed: u64) -> Lived {
    Life::new(seed, SHOWN).live()
}

#[test]
fn every_promise_is_kept_whatever_happens() {
    let (first, seeds) = (asked("GEOLOOP_SEED"), asked("GEOLOOP_SEEDS"));
    if let (Some(seed), None) = (first, seeds) {
        // One life alone shows all of it.
        Life::new(seed, usize::MAX).live();
        return;
    }
    let first = first.unwrap_or(0);
    let seeds = first..first + seeds.unwrap_or(SEEDS);
    let (mut refused, mut shed) = (0, 0);
    for seed in seeds.clone() {
        let lived = live(seed);
        refused += lived.refused;
        shed += lived.shed;
    }
    println!("lived the seeds {seeds:?}; {refused} refusals for --max-held-bytes, {shed} connections shed");
    assert!(seeds.count() < 100 || (refused > 0 && shed > 0), "no life came near its budget");
}

#[test]
fn one_seed_is_one_life() {
    for seed in [0, 3, 8, 11] {
        assert_eq!(live(seed), live(seed), "seed {seed} was lived in two ways");
    }
    assert_ne!(live(0), live(1), "two seeds are one life");
}
