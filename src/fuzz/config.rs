//! The file of settings.

use std::path::Path;

use crate::config::Config;

/// A file of settings: one that is taken is written and read again equal, one that is not gets a complaint of one line.
pub fn config_file(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let path = Path::new("geoloop.toml");
    match Config::from_toml(text, path) {
        Ok(config) => {
            let written = config.to_toml();
            let again = Config::from_toml(&written, path);
            assert!(again.as_ref().is_ok_and(|again| *again == config), "{again:?} of {written}");
        }
        Err(error) => {
            let told = error.to_string();
            assert!(!told.is_empty() && !told.contains('\n'), "{told:?}");
        }
    }
}
