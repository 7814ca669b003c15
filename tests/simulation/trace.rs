//! Chance from the seed, and the record of what came of it.

use std::collections::VecDeque;
use std::fmt::{Arguments, Write as _};
use std::hash::{DefaultHasher, Hasher};

use geoloop::random::Random;

/// Everything that is drawn, from one seed.
pub(crate) struct Chance(Random);

impl Chance {
    pub(crate) fn of_seed(seed: u64) -> Self {
        Self(Random::with_seed(seed))
    }

    /// A number from 0 on, below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0.number() as usize % end.max(1)
    }

    /// True once in so many times.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// What happened: the last steps as text, all of it as one number.
pub(crate) struct Trace {
    lines: VecDeque<String>,
    /// How many of the last steps are kept.
    shown: usize,
    hasher: DefaultHasher,
}

impl Trace {
    pub(crate) fn new(shown: usize) -> Self {
        Self { lines: VecDeque::new(), shown, hasher: DefaultHasher::new() }
    }

    /// Notes one step.
    pub(crate) fn note(&mut self, step: Arguments<'_>) {
        let mut line =
            if self.lines.len() == self.shown { self.lines.pop_front() } else { None }.unwrap_or_default();
        line.clear();
        // Writing to a string cannot fail.
        let _ = line.write_fmt(step);
        self.hasher.write(line.as_bytes());
        self.lines.push_back(line);
    }

    /// The same for the same life alone.
    pub(crate) fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}

/// Bytes as a trace shows them: text as it is, long ones cut.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const LONGEST: usize = 160;
    let text = bytes[..bytes.len().min(LONGEST)].escape_ascii().to_string();
    if bytes.len() > LONGEST { format!("{text}... ({} bytes)", bytes.len()) } else { text }
}
