//! See `geoloop::fuzz::config_file` for what is claimed of any input.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| geoloop::fuzz::config_file(data));
