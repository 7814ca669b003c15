//! Prints how many nanoseconds a cache line takes from one processor to another and back, the median of many looks.
//!
//! On a virtual machine the host moves processors between near and far places, which takes figures of programs that talk
//! across them up or down by a quarter: whoever compares wants to know.
//!
//! `round-trip [CPU CPU]`: the first and the last that this process may use, if none are named.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use core_affinity::CoreId;

const LOOKS: usize = 41;
const TRIPS_PER_LOOK: u32 = 2_000;

/// A line of its own, its neighbour's too, for processors fetch two.
#[repr(align(128))]
struct Line(AtomicU32);

fn main() -> ExitCode {
    let named: Vec<CoreId> =
        std::env::args().skip(1).filter_map(|id| Some(CoreId { id: id.parse().ok()? })).collect();
    let cpus = if named.is_empty() { core_affinity::get_core_ids().unwrap_or_default() } else { named };
    let &[here, .., there] = cpus.as_slice() else {
        eprintln!("round-trip: two processors are needed");
        return ExitCode::FAILURE;
    };
    println!("{}", median_nanoseconds(here, there));
    ExitCode::SUCCESS
}

fn median_nanoseconds(here: CoreId, there: CoreId) -> u64 {
    let line = Line(AtomicU32::new(0));
    let last = 2 * TRIPS_PER_LOOK * LOOKS as u32;
    let mut looks = Vec::with_capacity(LOOKS);
    thread::scope(|scope| {
        // Odd numbers are on their way there, even ones back.
        scope.spawn(|| {
            core_affinity::set_for_current(there);
            let mut awaited = 1;
            while awaited < last {
                if line.0.load(Ordering::Acquire) == awaited {
                    line.0.store(awaited + 1, Ordering::Release);
                    awaited += 2;
                }
            }
        });
        core_affinity::set_for_current(here);
        let mut sent = 0;
        for _ in 0..LOOKS {
            let began = Instant::now();
            for _ in 0..TRIPS_PER_LOOK {
                line.0.store(sent + 1, Ordering::Release);
                sent += 2;
                while line.0.load(Ordering::Acquire) != sent {
                    std::hint::spin_loop();
                }
            }
            looks.push(began.elapsed().as_nanos() as u64 / u64::from(TRIPS_PER_LOOK));
        }
    });
    looks.sort_unstable();
    looks[LOOKS / 2]
}
