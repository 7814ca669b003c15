//! One run from its beginning to its figures: connects driver, scenario and the looks at the server.

use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::ProgressBar;

use crate::load::driver::{Driver, Scenario};
use crate::load::error::LoadError;
use crate::load::figures::RunFigures;
use crate::load::look::look_meanwhile;
use crate::load::process::own_cpu_micros;
use crate::load::server_side::{Sample, ServerSide};
use crate::load::target::Target;

/// Descriptors that are not connections: standard streams, epoll, the timer, witnesses, files of /proc.
const DESCRIPTORS_RESERVE: u64 = 64;

/// Both sides of one run.
#[derive(Debug)]
pub struct Measured {
    /// The clients' side.
    pub figures: RunFigures,
    /// The server's side; none if it could not be looked at.
    pub server: Option<ServerSide>,
}

/// A run of a scenario, in the making.
#[derive(Debug)]
pub struct Run<'a, S: Scenario> {
    target: &'a Target,
    interrupted: &'a AtomicBool,
    /// The driver, for what a scenario is started with.
    pub driver: Driver<S::Wake>,
    progress: ProgressBar,
    before: Option<Sample>,
    cpu_micros_before: f64,
    wall_micros_before: u64,
    resident_bytes_peak: Option<u64>,
}

impl<'a, S: Scenario> Run<'a, S> {
    /// A run that has not begun.
    ///
    /// # Errors
    /// [`LoadError::Descriptors`] if so many connections cannot be had; [`LoadError::System`].
    pub fn new(
        target: &'a Target,
        connections: usize,
        seed: u64,
        interrupted: &'a AtomicBool,
        progress: ProgressBar,
    ) -> Result<Self, LoadError> {
        let needed = connections as u64 + DESCRIPTORS_RESERVE;
        let allowed = rlimit::increase_nofile_limit(u64::MAX).map_err(LoadError::System)?;
        if allowed < needed {
            return Err(LoadError::Descriptors { needed, allowed });
        }
        let driver = Driver::new(target.address, seed).map_err(LoadError::System)?;
        let mut run = Self {
            target,
            interrupted,
            driver,
            progress,
            before: None,
            cpu_micros_before: 0.0,
            wall_micros_before: 0,
            resident_bytes_peak: None,
        };
        // Nobody is there who would wait for it.
        let before = target.probe.sample().ok();
        run.begin(before);
        Ok(run)
    }

    /// From now on it counts: the server is looked at, and the clients' figures begin anew. Failures stay: whoever could
    /// not even connect is not measured, and that is to be told. The scenario goes on while the server takes its time.
    ///
    /// # Errors
    /// [`LoadError::System`] if waiting fails.
    pub fn look(&mut self, scenario: &mut S) -> Result<(), LoadError> {
        let before = self.look_meanwhile(scenario)?;
        self.begin(before);
        Ok(())
    }

    fn look_meanwhile(&mut self, scenario: &mut S) -> Result<Option<Sample>, LoadError> {
        let looked = look_meanwhile(self.target.probe, &mut self.driver, scenario, self.interrupted);
        looked.map_err(LoadError::System)
    }

    fn begin(&mut self, before: Option<Sample>) {
        self.before = before;
        // The look took milliseconds; what is published or opened next is not late by them.
        self.driver.tell_time();
        self.driver.figures.begin_anew();
        self.cpu_micros_before = own_cpu_micros();
        self.wall_micros_before = self.driver.now();
        self.resident_bytes_peak = None;
    }

    /// Whether it is to end before its time.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Lets the scenario go on until it is done for now.
    ///
    /// # Errors
    /// [`LoadError::System`] if waiting fails.
    pub fn go_on(&mut self, scenario: &mut S) -> Result<(), LoadError> {
        let (probe, progress, peak) = (self.target.probe, &self.progress, &mut self.resident_bytes_peak);
        let mut second = (self.driver.now(), own_cpu_micros());
        let watch = |driver: &mut Driver<S::Wake>| {
            *peak = (*peak).max(probe.resident_bytes());
            let (wall_micros, cpu_micros) = ((driver.now() - second.0) as f64, own_cpu_micros());
            let figures = &mut driver.figures;
            if wall_micros >= 1e6 {
                let share = (cpu_micros - second.1) / wall_micros;
                figures.tool_cpu_share_max = figures.tool_cpu_share_max.max(share);
                second = (driver.now(), cpu_micros);
            }
            let figures = &driver.figures;
            progress.set_position(driver.now() / 1000);
            progress.set_message(format!(
                "{} connections, {} answers, {} updates, {} failures",
                driver.connections(),
                figures.http_reqs,
                figures.delivered,
                figures.failures.total()
            ));
        };
        self.driver.run(scenario, self.interrupted, watch).map_err(LoadError::System)
    }

    /// Looks at the server once more; the figures are of the time since the last [`Run::look`]. What the scenario, which has
    /// been summed up, does meanwhile is in none.
    ///
    /// # Errors
    /// [`LoadError::System`] if waiting fails.
    pub fn measured(&mut self, scenario: &mut S) -> Result<Measured, LoadError> {
        let mut figures = std::mem::take(&mut self.driver.figures);
        figures.tool_cpu_seconds = (own_cpu_micros() - self.cpu_micros_before) / 1e6;
        figures.wall_seconds = (self.driver.now() - self.wall_micros_before) as f64 / 1e6;
        let after = self.look_meanwhile(scenario)?;
        let server = self.before.as_ref().zip(after.as_ref()).map(|(before, after)| {
            let mut side = ServerSide::between(before, after);
            side.note_resident(self.resident_bytes_peak);
            side
        });
        Ok(Measured { figures, server })
    }
}
