//! How long each thing is timed: all benches together take a few minutes, and a tenth of a difference still shows.

use std::time::Duration;

use criterion::Criterion;

/// Criterion, told to be brief.
pub(crate) fn brief() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30)
        .without_plots()
}
