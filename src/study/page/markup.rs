//! HTML from plain text: escaping, paragraphs, lists and tables that scroll in a box of their own.

use std::fmt::Write as _;

/// The text with everything escaped that HTML would read, in elements and in quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for each in text.chars() {
        match each {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Control characters and noncharacters are an error in HTML, escaped or not.
            _ if each.is_control() && !"\n\t".contains(each) => escaped.push('\u{fffd}'),
            _ => escaped.push(each),
        }
    }
    escaped
}

/// One paragraph for each text.
pub(super) fn paragraphs(texts: &[String]) -> String {
    texts.iter().map(|text| format!("<p>{}</p>\n", escape(text))).collect()
}

/// One item for each text; nothing for none.
pub(super) fn list(texts: &[String]) -> String {
    if texts.is_empty() {
        return String::new();
    }
    let items: String = texts.iter().map(|text| format!("<li>{}</li>\n", escape(text))).collect();
    format!("<ul>\n{items}</ul>\n")
}

/// Rows of text under a head; the first cell of a row names the row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    /// What it holds, in a few words.
    pub(super) caption: String,
    /// The columns' names.
    pub(super) head: Vec<String>,
    /// As many cells each as the head has.
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(caption: &str, head: &[&str]) -> Self {
        let head = head.iter().map(|name| (*name).to_owned()).collect();
        Self { caption: caption.to_owned(), head, rows: Vec::new() }
    }

    /// Takes a row.
    pub(super) fn push(&mut self, row: Vec<String>) {
        debug_assert_eq!(row.len(), self.head.len(), "{}: a cell for each column", self.caption);
        self.rows.push(row);
    }

    /// The table in its scrolling box; a sentence in place of a table without rows.
    pub(super) fn html(&self) -> String {
        let caption = escape(&self.caption);
        if self.rows.is_empty() {
            return format!("<p class=\"none\">{caption}: not measured.</p>\n");
        }
        let mut html = format!(
            "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{caption}\">\n<table>\n\
             <caption>{caption}</caption>\n<thead><tr>"
        );
        for name in &self.head {
            let _ = write!(html, "<th scope=\"col\">{}</th>", escape(name));
        }
        html.push_str("</tr></thead>\n<tbody>\n");
        for row in &self.rows {
            html.push_str("<tr>");
            for (at, cell) in row.iter().enumerate() {
                let cell = escape(cell);
                let _ = if at == 0 {
                    write!(html, "<th scope=\"row\">{cell}</th>")
                } else {
                    write!(html, "<td>{cell}</td>")
                };
            }
            html.push_str("</tr>\n");
        }
        html.push_str("</tbody>\n</table>\n</div>\n");
        html
    }
}

/// One chapter of measurements: how they were made, what they say, and the figures themselves.
#[derive(Clone, Debug, Default)]
pub(super) struct Section {
    /// Unique on the page.
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// How it was measured and how to read it, a paragraph each.
    pub(super) how: Vec<String>,
    /// Plots, as HTML.
    pub(super) plots: Vec<String>,
    /// Whether the plots are small ones to lay side by side.
    pub(super) side_by_side: bool,
    /// What they say.
    pub(super) says: Vec<String>,
    /// The figures that the plots were made of.
    pub(super) tables: Vec<Table>,
}

impl Section {
    pub(super) fn html(&self) -> String {
        let (id, title) = (escape(self.id), escape(self.title));
        let plots = match (self.plots.is_empty(), self.side_by_side) {
            (true, _) => "<p class=\"none\">Not measured: there is nothing to plot.</p>\n".to_owned(),
            (false, true) => format!("<div class=\"side-by-side\">\n{}</div>\n", self.plots.concat()),
            (false, false) => self.plots.concat(),
        };
        let tables: String = self.tables.iter().map(Table::html).collect();
        format!(
            "<section id=\"{id}\" aria-labelledby=\"{id}-heading\">\n<h2 id=\"{id}-heading\">{title}</h2>\n{}{plots}{}\
             <details>\n<summary>The figures</summary>\n{tables}</details>\n</section>\n",
            paragraphs(&self.how),
            list(&self.says)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_html_would_read_is_escaped() {
        assert_eq!(escape("<b a=\"'\">&\u{0}\n"), "&lt;b a=&quot;&#39;&quot;&gt;&amp;\u{fffd}\n");
        assert_eq!(paragraphs(&["a<b".to_owned()]), "<p>a&lt;b</p>\n");
        assert_eq!(list(&["a&b".to_owned()]), "<ul>\n<li>a&amp;b</li>\n</ul>\n");
        assert_eq!(list(&[]), "");
    }

    #[test]
    fn a_table_escapes_its_cells_and_names_its_rows() {
        let mut table = Table::new("a & b", &["<x>", "y"]);
        assert_eq!(table.html(), "<p class=\"none\">a &amp; b: not measured.</p>\n");
        table.push(vec!["<i>".to_owned(), "1".to_owned()]);
        let html = table.html();
        assert!(html.contains("<caption>a &amp; b</caption>"), "{html}");
        assert!(html.contains("<th scope=\"col\">&lt;x&gt;</th>"), "{html}");
        assert!(html.contains("<tr><th scope=\"row\">&lt;i&gt;</th><td>1</td></tr>"), "{html}");
    }
}
