//! Latencies as quantiles, and the table that a full run prints.

/// Latencies in microseconds, every one of them kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies(Vec<u64>);

impl Latencies {
    pub(crate) fn note(&mut self, micros: u64) {
        self.0.push(micros);
    }

    /// The latency that this share of all does not exceed, in milliseconds; not a number when there is none.
    pub(crate) fn quantile(&mut self, share: f64) -> f64 {
        if self.0.is_empty() {
            return f64::NAN;
        }
        let rank = (share * self.0.len() as f64).ceil() as usize;
        let place = rank.clamp(1, self.0.len()) - 1;
        let (_, value, _) = self.0.select_nth_unstable(place);
        *value as f64 / 1000.0
    }

    /// Adds the latencies of another run.
    pub(crate) fn add(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// Median, 99th percentile and maximum as a table has them.
    pub(crate) fn row(&mut self) -> String {
        let count = self.0.len();
        let [median, p99, max] = [0.5, 0.99, 1.0].map(|share| self.quantile(share));
        format!("{count} samples, p50 {median:.2} ms, p99 {p99:.2} ms, max {max:.2} ms")
    }
}

/// Says how the strained runs compare with the baselines; the target is told, not asserted: a busy machine misses it.
pub(crate) fn compare(what: &str, baseline: &mut Latencies, strained: &mut Latencies) {
    let ratio = strained.quantile(0.99) / baseline.quantile(0.99);
    println!("{what} | p99 strained over baseline | {ratio:.2} (target 1.20)");
}

/// Prints one figure.
pub(crate) fn print(what: &str, name: &str, value: impl std::fmt::Display) {
    println!("{what} | {name} | {value}");
}

/// Bytes as a table has them.
pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.2} MiB", bytes as f64 / f64::from(1 << 20))
}

#[test]
fn quantiles_are_of_the_nearest_rank() {
    let mut latencies = Latencies::default();
    assert!(latencies.quantile(0.5).is_nan());
    (1..=100).rev().for_each(|micros| latencies.note(micros * 1000));
    assert_eq!([0.5, 0.99, 1.0].map(|share| latencies.quantile(share)), [50.0, 99.0, 100.0]);
}
