//! See `geoloop::fuzz::load_client` for what is claimed of any input.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| geoloop::fuzz::load_client(data));
