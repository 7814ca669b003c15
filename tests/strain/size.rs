//! How large a run is: small in `cargo test`, full when `GEOLOOP_STRAIN` says so.
//!
//! | variable | |
//! |---|---|
//! | `GEOLOOP_STRAIN` | `full` for full size, with figures printed |
//! | `GEOLOOP_STRAIN_SECONDS` | how long each full run publishes; 60 |
//! | `GEOLOOP_STRAIN_ROUNDS` | how often baseline and strained run take turns; 1 |
//! | `GEOLOOP_STRAIN_QUEUE_BYTES` | the server's `--queue-bytes`; its default |
//! | `GEOLOOP_STRAIN_SERVER_CPU` | the core that the server is kept on; any |

use std::env;

use crate::harness::Server;

/// Small or full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// A few seconds, for correctness alone.
    Small,
    /// As the promises are worded, with figures.
    Full {
        /// How long each run publishes.
        seconds: usize,
        /// How often baseline and strained run take turns.
        rounds: usize,
    },
}

impl Size {
    /// What the environment asks for.
    pub(crate) fn asked() -> Self {
        match env::var("GEOLOOP_STRAIN") {
            Ok(asked) if asked == "full" => {
                Self::Full { seconds: number("SECONDS", 60), rounds: number("ROUNDS", 1) }
            }
            Ok(asked) => panic!("GEOLOOP_STRAIN is {asked:?}; the only size there is to ask for is full"),
            Err(_) => Self::Small,
        }
    }

    pub(crate) const fn is_full(self) -> bool {
        matches!(self, Self::Full { .. })
    }

    pub(crate) const fn rounds(self) -> usize {
        match self {
            Self::Small => 1,
            Self::Full { rounds, .. } => rounds,
        }
    }

    /// The server's queue budget of a full run.
    pub(crate) fn queue_bytes(self) -> u64 {
        number("QUEUE_BYTES", 65536) as u64
    }

    /// Starts a server: in full size with one worker, on a core of its own if there is one.
    #[track_caller]
    pub(crate) fn start(self, flags: &[&str]) -> Server {
        self.start_under(&[], flags)
    }

    /// The same with at most so many descriptors.
    #[track_caller]
    pub(crate) fn start_with_descriptors(self, descriptors: usize, flags: &[&str]) -> Server {
        let limit = format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"");
        self.start_under(&["sh", "-c", &limit], flags)
    }

    #[track_caller]
    fn start_under(self, launcher: &[&str], flags: &[&str]) -> Server {
        let cpu = env::var("GEOLOOP_STRAIN_SERVER_CPU").ok();
        let mut words = Vec::new();
        if let (Self::Full { .. }, Some(cpu)) = (self, &cpu) {
            words.extend(["taskset", "-c", cpu]);
        }
        words.extend_from_slice(launcher);
        let mut flags = flags.to_vec();
        if self.is_full() && !flags.contains(&"--workers") {
            flags.extend(["--workers", "1"]);
        }
        Server::start_under(&words, &flags)
    }
}

#[track_caller]
pub(crate) fn number(name: &str, default: usize) -> usize {
    let name = format!("GEOLOOP_STRAIN_{name}");
    let Ok(value) = env::var(&name) else { return default };
    value.parse().unwrap_or_else(|_| panic!("{name} is {value:?}, which is no number"))
}
