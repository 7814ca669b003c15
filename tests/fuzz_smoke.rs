//! Each function that a fuzzer calls, on every file of its corpus and on mutations of them from a seed: a few seconds
//! of what scripts/fuzz does for longer.
//!
//! `GEOLOOP_SEED=7` chooses the mutations; what a failure prints repeats it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::collections::BTreeSet;
use std::fs;
use std::panic;
use std::path::{Path, PathBuf};

use geoloop::fuzz::{TARGETS, Target};
use geoloop::random::Random;

/// Mutations of a decoder's corpus; a session takes as long as many inputs of a decoder.
const MUTATIONS: usize = 4000;
const SESSION_MUTATIONS: usize = 600;

/// Longest input that a mutation may make.
const INPUT_BYTES_MAX: usize = 2048;

/// Where the mutations begin if nobody says otherwise.
const SEED: u64 = 1;

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target)
}

/// Every file of a target's corpus, in the order of their names.
fn files(target: &str) -> Vec<(String, Vec<u8>)> {
    let entries =
        fs::read_dir(corpus(target)).unwrap_or_else(|error| panic!("no corpus of {target}: {error}"));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect()
}

/// Runs one input; a failure is told with what repeats it.
#[track_caller]
fn check(target: Target, told: &str, input: &[u8]) {
    if let Err(panic) = panic::catch_unwind(|| (target.run)(input)) {
        println!("{} fails on {told}:\n{}", target.name, input.escape_ascii());
        panic::resume_unwind(panic);
    }
}

/// Changes an input the way fuzzers do: bits, bytes, pieces moved within it or taken from another.
fn mutate(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let mut below = |end: usize| random.number() as usize % end.max(1);
    for _ in 0..1 + below(4) {
        let at = below(input.len() + 1);
        let end = (at + 1 + below(16)).min(input.len());
        match below(8) {
            0 if at < input.len() => input[at] ^= 1 << below(8),
            1 if at < input.len() => input[at] = below(256) as u8,
            2 => input.insert(at, b"\0\r\n:,;\" \x1e0\x7f\xff{\\"[below(14)]),
            3 => drop(input.drain(at..end)),
            4 => {
                let piece = input[at..end].to_vec();
                let to = below(input.len() + 1);
                input.splice(to..to, piece);
            }
            5 => {
                let from = below(other.len() + 1);
                let piece = &other[from..(from + 1 + below(64)).min(other.len())];
                input.splice(at..at, piece.iter().copied());
            }
            6 if at < input.len() && input[at].is_ascii_digit() => input[at] = b'0' + below(10) as u8,
            _ => input.truncate(at.max(input.len() / 2)),
        }
    }
    input.truncate(INPUT_BYTES_MAX);
}

fn check_mutations(name: &str) {
    let target = *TARGETS.iter().find(|target| target.name == name).unwrap();
    let files = files(name);
    assert!(files.len() >= 3, "a corpus of {} files is none", files.len());
    for (path, input) in &files {
        check(target, path, input);
    }
    let seed = std::env::var("GEOLOOP_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    println!("GEOLOOP_SEED={seed}");
    let mut random = Random::with_seed(seed);
    let count = if name.starts_with("session_") { SESSION_MUTATIONS } else { MUTATIONS };
    for number in 0..count {
        let mut chosen = || &files[random.number() as usize % files.len()].1;
        let (mut input, other) = (chosen().clone(), chosen());
        mutate(&mut input, other, &mut random);
        check(target, &format!("mutation {number} of GEOLOOP_SEED={seed}"), &input);
    }
}

macro_rules! each_holds {
    ($($target:ident),+ $(,)?) => {
        $(
            #[test]
            fn $target() {
                check_mutations(stringify!($target));
            }
        )+

        #[test]
        fn every_target_is_run_and_has_its_crate_and_corpus() {
            let names = |folder: &str| -> BTreeSet<String> {
                let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
                let entries = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
                entries.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
            };
            let targets: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
            let run: BTreeSet<String> = [$(stringify!($target).to_owned()),+].into();
            assert_eq!(run, targets, "run here");
            assert_eq!(names("tests/corpus"), targets, "corpora");
            assert_eq!(names("tests/fuzz/fuzz_targets"), targets, "targets of cargo-fuzz");
        }
    };
}

each_holds! {
    http_head,
    http_body,
    http_answer,
    if_none_match,
    route,
    websocket_frame,
    websocket_messages,
    websocket_mask,
    stomp_frames,
    stomp_fields,
    json_publish,
    sse_blocks,
    config_file,
    load_client,
    session_http,
    session_websocket,
    session_stomp,
    session_mix,
}
