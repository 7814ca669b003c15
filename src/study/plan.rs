//! What a study is to do.

use std::path::PathBuf;

use crate::ids::Transport;

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
