//! What plots are painted with: colours that stand for classes, until the drawing becomes part of a page.
//!
//! A colour's red is the [`Role`], its green the look, its blue a mark that no other colour here has.

use std::fmt::Write as _;

use crate::study::page::markup::escape;

/// What something drawn is; with a number it becomes a class of the style sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Role {
    Line = 1,
    Reference,
    Straight,
    Mark,
    Whisker,
    Area,
    Range,
    Halo,
    Words,
    Grid,
    Axis,
}

impl Role {
    const ALL: [Self; 11] = [
        Self::Line,
        Self::Reference,
        Self::Straight,
        Self::Mark,
        Self::Whisker,
        Self::Area,
        Self::Range,
        Self::Halo,
        Self::Words,
        Self::Grid,
        Self::Axis,
    ];

    const fn class(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Reference => "reference",
            Self::Straight => "straight",
            Self::Mark => "mark",
            Self::Whisker => "whisker",
            Self::Area => "area",
            Self::Range => "range",
            Self::Halo => "halo",
            Self::Words => "words",
            Self::Grid => "grid",
            Self::Axis => "axis",
        }
    }

    /// Whether things of this role come in several looks.
    const fn has_looks(self) -> bool {
        matches!(
            self,
            Self::Line | Self::Reference | Self::Straight | Self::Mark | Self::Whisker | Self::Area
        )
    }

    /// The colour that stands for it, in this look, until [`figure`] puts the class in its place.
    pub(super) fn ink(self, look: usize) -> [u8; 3] {
        [self as u8, u8::try_from(look).unwrap_or(0), INK_MARK]
    }
}

/// The blue of every colour that stands for a class.
const INK_MARK: u8 = 0xA5;

/// The drawing as part of a page: named, described, with its legend above.
pub(super) fn figure(id: &str, title: &str, description: &str, svg: &str, keys: &[(String, &str)]) -> String {
    let (id, title, description) = (escape(id), escape(title), escape(description));
    let inside = svg.split_once('>').map_or("", |(_, inside)| inside);
    let [width, height] = ["width", "height"].map(|name| attribute(svg, name).unwrap_or_default());
    let mut html = format!("<figure id=\"{id}\">\n<figcaption>{title}</figcaption>\n");
    if !keys.is_empty() {
        html.push_str("<ul class=\"legend\">");
        for (key, name) in keys {
            let _ = write!(
                html,
                "<li><svg class=\"key\" viewBox=\"0 0 36 18\" width=\"36\" height=\"18\" aria-hidden=\"true\">{key}</svg>{}</li>",
                escape(name)
            );
        }
        html.push_str("</ul>\n");
    }
    let _ = write!(
        html,
        "<svg class=\"plot\" viewBox=\"0 0 {width} {height}\" width=\"100%\" role=\"img\" \
         aria-labelledby=\"{id}-title {id}-description\">\n<title id=\"{id}-title\">{title}</title>\n\
         <desc id=\"{id}-description\">{description}</desc>{}</figure>\n",
        classed(inside)
    );
    html
}

/// The value of an attribute of the first element of `svg`.
fn attribute<'a>(svg: &'a str, name: &str) -> Option<&'a str> {
    let (_, behind) = svg.split_once(&format!(" {name}=\""))?;
    behind.split('"').next()
}

/// The drawing with classes in place of the colours that stand for them, and without what the style sheet decides.
fn classed(svg: &str) -> String {
    let mut classed = String::with_capacity(svg.len());
    let mut rest = svg;
    while let Some(at) = rest.find("=\"") {
        let (before, behind) = rest.split_at(at);
        let (value, behind) = behind[2..].split_once('"').unwrap_or_else(|| (&behind[2..], ""));
        let name_at = before.rfind(' ').unwrap_or(0);
        let name = before[name_at..].trim();
        match (name, class_of(value)) {
            ("fill" | "stroke", Some(class)) => {
                let _ = write!(classed, "{} class=\"{class}\"", &before[..name_at]);
            }
            ("stroke", None) | ("opacity" | "font-family" | "font-size" | "stroke-width", _) => {
                classed.push_str(&before[..name_at]);
            }
            _ => {
                let _ = write!(classed, "{before}=\"{value}\"");
            }
        }
        rest = behind;
    }
    classed.push_str(rest);
    classed
}

/// The class that a colour stands for.
fn class_of(colour: &str) -> Option<String> {
    let number = u32::from_str_radix(colour.strip_prefix('#')?, 16).ok()?;
    let [_, role, look, mark] = number.to_be_bytes();
    let role = Role::ALL.into_iter().find(|each| *each as u8 == role).filter(|_| mark == INK_MARK)?;
    Some(if role.has_looks() { format!("{}-{look}", role.class()) } else { role.class().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn colour(role: Role, look: usize) -> String {
        let [red, green, blue] = role.ink(look);
        format!("#{red:02X}{green:02X}{blue:02X}")
    }

    #[test]
    fn every_ink_becomes_its_class() {
        for role in Role::ALL {
            let expected =
                if role.has_looks() { format!("{}-3", role.class()) } else { role.class().to_owned() };
            assert_eq!(class_of(&colour(role, 3)), Some(expected));
        }
        for other in ["none", "#0072B2", "#010200", "#FF00A5", "#0100A5F", "red", "#"] {
            assert_eq!(class_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_drawing_keeps_its_shapes_and_loses_its_colours_and_sizes() {
        let drawn = format!(
            "<circle cx=\"1\" cy=\"2\" r=\"5\" opacity=\"1\" fill=\"{}\" stroke=\"none\" stroke-width=\"1\"/>\n\
             <polyline fill=\"none\" opacity=\"1\" stroke=\"{}\" stroke-width=\"1\" points=\"1,2 3,4 \"/>\n\
             <text x=\"1\" y=\"2\" dy=\"0.5ex\" text-anchor=\"end\" font-family=\"sans-serif\" font-size=\"11.2\" \
             opacity=\"1\" fill=\"{}\">\n1 &lt; 2\n</text>\n",
            colour(Role::Mark, 2),
            colour(Role::Line, 4),
            colour(Role::Words, 0)
        );
        let expected = "<circle cx=\"1\" cy=\"2\" r=\"5\" class=\"mark-2\"/>\n\
             <polyline fill=\"none\" class=\"line-4\" points=\"1,2 3,4 \"/>\n\
             <text x=\"1\" y=\"2\" dy=\"0.5ex\" text-anchor=\"end\" class=\"words\">\n1 &lt; 2\n</text>\n";
        assert_eq!(classed(&drawn), expected);
    }

    #[test]
    fn a_figure_is_named_described_and_has_its_legend() {
        let svg = "<svg width=\"640\" height=\"380\" viewBox=\"0 0 640 380\" xmlns=\"http://www.w3.org/2000/svg\">\n</svg>\n";
        let html = figure("an-id", "a < b", "what it shows", svg, &[("<line/>".to_owned(), "x & y")]);
        assert!(html.contains("<figcaption>a &lt; b</figcaption>"), "{html}");
        assert!(html.contains("viewBox=\"0 0 640 380\" width=\"100%\" role=\"img\""), "{html}");
        assert!(html.contains("aria-labelledby=\"an-id-title an-id-description\""), "{html}");
        assert!(html.contains("<desc id=\"an-id-description\">what it shows</desc>"), "{html}");
        assert!(html.contains("<line/></svg>x &amp; y</li>"), "{html}");
        assert!(html.trim_end().ends_with("</svg>\n</figure>"), "{html}");
    }
}
