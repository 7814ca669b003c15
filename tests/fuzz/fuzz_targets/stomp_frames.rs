//! See `geoloop::fuzz::stomp_frames` for what is claimed of any input.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| geoloop::fuzz::stomp_frames(data));
