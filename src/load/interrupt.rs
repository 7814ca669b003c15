//! Interrupts: the first ends what is under way with a report, the second the program.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::iterator::Signals;

use crate::clock::Clock;

/// Two signals closer than this are one interrupt: `timeout` sends its own to the program and to its group.
const SAME_INTERRUPT_MICROS: u64 = 100_000;

/// A flag that the first interrupt sets; the next one ends the program, but for one right behind the first, which is the same
/// interrupt told twice.
///
/// # Errors
/// What the system says when it lets no signals be heard.
pub fn heed_interrupts() -> io::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let mut signals = Signals::new([signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM])?;
    let flag = Arc::clone(&interrupted);
    std::thread::spawn(move || {
        let clock = Clock::start();
        let mut first_micros = None;
        for _ in signals.forever() {
            let now = clock.now().micros;
            flag.store(true, Ordering::Relaxed);
            if now - *first_micros.get_or_insert(now) > SAME_INTERRUPT_MICROS {
                std::process::exit(1);
            }
        }
    });
    Ok(interrupted)
}
