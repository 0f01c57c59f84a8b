//! QR codes as pictures and as text.

use apflow_command::Failure;
use fast_qr::convert::svg::SvgBuilder;
use fast_qr::convert::{Builder, Shape};
use fast_qr::{ECL, QRBuilder};

/// What a code is drawn as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A picture.
    Svg,
    /// Blocks of Unicode, two modules high each.
    Utf8,
}

impl Form {
    /// Reads `svg` or `utf8`.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        match text.to_ascii_lowercase().as_str() {
            "svg" => Ok(Self::Svg),
            "utf8" => Ok(Self::Utf8),
            _ => Err(Failure::new(format!("the type is `{text}`, but must be `svg` or `utf8`"))),
        }
    }
}

/// How much of a code may be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// 7 %.
    Low,
    /// 15 %.
    Medium,
    /// 25 %.
    Quartile,
    /// 30 %.
    High,
}

impl Level {
    /// Reads `L`, `M`, `Q` or `H`.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        match text.to_ascii_uppercase().as_str() {
            "L" => Ok(Self::Low),
            "M" => Ok(Self::Medium),
            "Q" => Ok(Self::Quartile),
            "H" => Ok(Self::High),
            _ => Err(Failure::new(format!("the level is `{text}`, but must be L, M, Q or H"))),
        }
    }
}

/// Draws `text`.
///
/// # Errors
///
/// A [`Failure`] when the text is too long for any code of this level.
pub(crate) fn draw(text: &str, form: Form, level: Level) -> Result<String, Failure> {
    let level = match level {
        Level::Low => ECL::L,
        Level::Medium => ECL::M,
        Level::Quartile => ECL::Q,
        Level::High => ECL::H,
    };
    let built = QRBuilder::new(text).ecl(level).build();
    let code = built.map_err(|_| {
        let bytes = text.len();
        Failure::new(format!("{bytes} bytes are too many for a code of this level; shorten them"))
    })?;
    Ok(match form {
        Form::Svg => SvgBuilder::default().shape(Shape::Square).to_str(&code),
        Form::Utf8 => code.to_str(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_a_picture_or_text() {
        let svg = draw("https://example.com", Form::Svg, Level::Medium).unwrap();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>"), "{svg}");
        let text = draw("https://example.com", Form::Utf8, Level::Medium).unwrap();
        assert!(text.contains('█') && text.lines().count() > 10, "{text}");
    }

    #[test]
    fn more_safety_makes_a_larger_code() {
        let lines = |level| draw(&"x".repeat(40), Form::Utf8, level).unwrap().lines().count();
        assert!(lines(Level::Low) < lines(Level::High));
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let failure = draw(&"x".repeat(3000), Form::Svg, Level::Low).unwrap_err().to_string();
        assert!(failure.starts_with("3000 bytes are too many"), "{failure}");
    }

    #[test]
    fn words_for_types_and_levels_are_known() {
        assert_eq!(Form::parse("UTF8"), Ok(Form::Utf8));
        assert_eq!(Level::parse("q"), Ok(Level::Quartile));
        assert!(Form::parse("png").is_err() && Level::parse("X").is_err());
    }
}
