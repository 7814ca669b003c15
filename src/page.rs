//! The live page: one document, put together from its files when the server is built, so that a browser asks for nothing more.
//!
//! The scripts are one module, in the order in which they are read: each may name what those before it made, and inside
//! functions what comes behind.

/// What `GET /` answers.
pub const PAGE: &[u8] = DOCUMENT.as_bytes();

const DOCUMENT: &str = concat!(
    include_str!("page/head.html"),
    "<style>\n",
    include_str!("page/page.css"),
    "</style>\n",
    include_str!("page/body.html"),
    "<script type=\"module\">\n",
    include_str!("page/group.js"),
    include_str!("page/connection.js"),
    include_str!("page/transports.js"),
    include_str!("page/map.js"),
    include_str!("page/share.js"),
    include_str!("page/page.js"),
    "</script>\n</body>\n</html>\n",
);

#[cfg(test)]
mod tests {
    use super::*;

    /// One answer that a phone has within a blink on any network.
    const PAGE_BYTES_MAX: usize = 48 * 1024;

    /// What stands between each `before` and the next `after`.
    fn between<'a>(text: &'a str, before: &'a str, after: char) -> impl Iterator<Item = &'a str> {
        text.split(before).skip(1).filter_map(move |rest| rest.split(after).next())
    }

    #[test]
    fn page_is_small() {
        assert!(DOCUMENT.len() <= PAGE_BYTES_MAX, "{} bytes", DOCUMENT.len());
    }

    #[test]
    fn page_is_whole_and_loads_nothing() {
        assert!(DOCUMENT.starts_with("<!doctype html>") && DOCUMENT.ends_with("</html>\n"));
        for way in ["://", "src=", "@import", "url(", "import ", "import("] {
            assert!(!DOCUMENT.contains(way), "{way}");
        }
        assert_eq!(between(DOCUMENT, "href=\"", '"').collect::<Vec<_>>(), ["data:,"]);
        assert_eq!(DOCUMENT.matches("</script").count(), 1, "the script ends where it is to end");
    }

    #[test]
    fn every_element_that_the_script_names_is_there() {
        let named: Vec<_> = between(DOCUMENT, "$('", '\'').collect();
        assert!(named.len() > 10, "{named:?}");
        for name in named {
            assert_eq!(DOCUMENT.matches(&format!(" id=\"{name}\"")).count(), 1, "{name}");
        }
    }

    #[test]
    fn every_description_is_there() {
        for attribute in ["aria-describedby=\"", "aria-labelledby=\""] {
            let named: Vec<_> = between(DOCUMENT, attribute, '"').collect();
            assert!(!named.is_empty(), "{attribute}");
            for name in named {
                assert!(DOCUMENT.contains(&format!(" id=\"{name}\"")), "{name}");
            }
        }
    }
}
