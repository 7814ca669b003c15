//! See `geoloop::fuzz::http_answer` for what is claimed of any input.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| geoloop::fuzz::http_answer(data));
