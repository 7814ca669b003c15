//! The study: starts a server, measures what each transport costs on it, and writes a report that explains itself.
//!
//! Measuring (`survey` says what, [`measure`] how, [`server`] and `machine` on what) fills one value, [`figures::Study`];
//! everything in the report, its plots, its words and its estimates of capacity included, is made from that value alone by
//! [`page`].

pub mod figures;
mod machine;
pub mod measure;
pub mod page;
pub mod server;
mod survey;

use std::fmt;
use std::io;
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};

use crate::ids::Transport;
use crate::load::error::LoadError;
use crate::load::interrupt::heed_interrupts;
use crate::load::target::Target;
use crate::study::figures::FailedRun;

/// One study, as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StudyPlan {
    /// Fewer points, shorter and fewer runs.
    pub quick: bool,
    /// The folder of report.html and report.json; it is made.
    pub out: PathBuf,
    /// The one transport to study; all five if none is named.
    pub transport: Option<Transport>,
    /// A server that runs, as host and port; if none is named the study starts its own.
    pub target: Option<String>,
}

/// Makes a study, and writes its report into the folder that the plan names.
///
/// A run that fails is told, on stderr and in the report, and the others go on.
/// An interrupt ends the measuring, and the report says what there is; a second one ends the program.
///
/// # Errors
/// [`StudyError`].
pub fn run(plan: &StudyPlan, out: &mut dyn io::Write) -> Result<(), StudyError> {
    let write_failed = |error| StudyError::Output { path: plan.out.clone(), error };
    // Better now than after the measuring.
    page::make_room(&plan.out).map_err(write_failed)?;
    let interrupted = heed_interrupts().map_err(|error| StudyError::Load(LoadError::System(error)))?;
    let running = plan.target.as_deref().map(|host| Target::find(host, None)).transpose();
    let running = running.map_err(StudyError::Load)?;
    let style = ProgressStyle::with_template("{wide_bar} {elapsed} {msg}");
    let progress = ProgressBar::new(1).with_style(style.expect("the template names fields that there are"));
    let study = survey::measure(plan, running.as_ref(), &interrupted, &progress);
    progress.finish_and_clear();
    page::write(&study?, &plan.out).map_err(write_failed)?;
    for name in [page::FIGURES_FILE, page::PAGE_FILE] {
        writeln!(out, "{}", plan.out.join(name).display()).map_err(write_failed)?;
    }
    Ok(())
}

/// Why there is no report.
#[derive(Debug)]
pub enum StudyError {
    /// There is no server to measure, or the system lets nothing be measured.
    Load(LoadError),
    /// Every run failed.
    Nothing {
        /// How many there were.
        runs: usize,
        /// The first of them.
        first: FailedRun,
    },
    /// The report could not be written.
    Output {
        /// The folder that it was to be in.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl fmt::Display for StudyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Nothing { runs, first } => {
                write!(f, "nothing could be measured: {runs} runs failed; the first: {first}")
            }
            Self::Output { path, error } => write!(f, "cannot write into {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for StudyError {}
