//! A look at the server that nobody waits for: it is made on a thread of its own, and users go on meanwhile.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::load::client::Heard;
use crate::load::driver::{ConnKey, Driver, Ended, Scenario};
use crate::load::server_side::{Sample, ServerProbe};

/// A scenario that is done when a look has been made, whatever else there would be to do.
#[derive(Debug)]
struct Meanwhile<'a, S> {
    scenario: &'a mut S,
    is_over: Arc<AtomicBool>,
}

/// Looks at the server while the scenario goes on, done or not; `None` if the server could not be looked at.
///
/// # Errors
/// What the system says when it gives no thread, or when waiting fails.
pub(super) fn look_meanwhile<S: Scenario>(
    probe: ServerProbe,
    driver: &mut Driver<S::Wake>,
    scenario: &mut S,
    interrupted: &AtomicBool,
) -> io::Result<Option<Sample>> {
    let is_over = Arc::new(AtomicBool::new(false));
    let (over, alarm) = (Arc::clone(&is_over), driver.alarm());
    let looker = std::thread::Builder::new().name("look".to_owned()).spawn(move || {
        let sample = probe.sample().ok();
        over.store(true, Ordering::Release);
        // Where that fails the loop looks by itself, some ten times a second.
        drop(alarm.wake());
        sample
    })?;
    driver.run(&mut Meanwhile { scenario, is_over }, interrupted, |_| ())?;
    Ok(looker.join().expect("a look does not panic"))
}

impl<S: Scenario> Scenario for Meanwhile<'_, S> {
    type Wake = S::Wake;

    fn handle_wake(&mut self, driver: &mut Driver<S::Wake>, wake: S::Wake, due_micros: u64) {
        self.scenario.handle_wake(driver, wake, due_micros);
    }

    fn handle_connected(&mut self, driver: &mut Driver<S::Wake>, conn: ConnKey, user: u32) {
        self.scenario.handle_connected(driver, conn, user);
    }

    fn handle_first_byte(&mut self, driver: &mut Driver<S::Wake>, conn: ConnKey, user: u32) {
        self.scenario.handle_first_byte(driver, conn, user);
    }

    fn handle_heard(&mut self, driver: &mut Driver<S::Wake>, conn: ConnKey, user: u32, heard: Heard<'_>) {
        self.scenario.handle_heard(driver, conn, user, heard);
    }

    fn handle_ended(&mut self, driver: &mut Driver<S::Wake>, conn: ConnKey, user: u32, ended: Ended) {
        self.scenario.handle_ended(driver, conn, user, ended);
    }

    fn handle_interrupt(&mut self, driver: &mut Driver<S::Wake>) {
        self.scenario.handle_interrupt(driver);
    }

    fn is_done(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }
}
