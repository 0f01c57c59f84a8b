//! A row of numbers as bars, drawn with block characters.
//!
//! It prints nothing: `output` does.

/// Bars of one eighth of a line to a whole one.
const EIGHTHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The lines that the highest bar has.
const HEIGHT: usize = 8;
/// The fewest columns that bars are drawn in.
const BARS_MIN: usize = 8;

/// A number with its place on the way from left to right.
pub(crate) struct Point {
    /// What stands below the first and the last one.
    pub(crate) label: String,
    /// How high it is.
    pub(crate) value: u64,
}

/// Draws bars from left to right, `width` characters wide with the numbers beside them, which `show`
/// writes. Where there are more points than columns, neighbours are added up. Empty without points.
pub(crate) fn plot(points: &[Point], width: usize, show: impl Fn(u64) -> String) -> String {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return String::new() };
    // Added up, neighbours may be higher than any point, and their number wider.
    let sum = points.iter().fold(0_u64, |sum, point| sum.saturating_add(point.value));
    let margin = show(sum).chars().count().max(1);
    let columns = width.saturating_sub(margin + 2).max(BARS_MIN);
    let points_per_bar = points.len().div_ceil(columns);
    let bars: Vec<u64> = points
        .chunks(points_per_bar)
        .map(|some| some.iter().fold(0, |sum: u64, point| sum.saturating_add(point.value)))
        .collect();
    // A few points are drawn broader.
    let bar_width = (columns / bars.len()).clamp(1, 4);
    let highest = bars.iter().copied().max().unwrap_or_default();
    let mut text = String::new();
    for line in (0..HEIGHT).rev() {
        let label = match line {
            line if line + 1 == HEIGHT => show(highest),
            0 => show(0),
            _ => String::new(),
        };
        text += &format!("{label:>margin$} ┤");
        text.extend(
            bars.iter().flat_map(|bar| std::iter::repeat_n(block(*bar, highest, line), bar_width)),
        );
        text = text.trim_end().to_owned() + "\n";
    }
    let drawn = bars.len() * bar_width;
    text += &format!("{:>margin$} └{}\n", "", "─".repeat(drawn));
    if points.len() == 1 {
        return text + &format!("{:>margin$}  {}\n", "", first.label);
    }
    let gap = drawn.saturating_sub(first.label.chars().count() + last.label.chars().count()).max(1);
    text + &format!("{:>margin$}  {}{}{}\n", "", first.label, " ".repeat(gap), last.label)
}

/// What of a bar stands in a line, counted from the bottom.
fn block(value: u64, highest: u64, line: usize) -> char {
    let eighths_max = HEIGHT * EIGHTHS.len();
    let share = u128::from(value) * (eighths_max as u128);
    let eighths = share.div_ceil(u128::from(highest.max(1)));
    // Whatever is more than nothing is seen.
    let above =
        usize::try_from(eighths).unwrap_or(eighths_max).saturating_sub(line * EIGHTHS.len());
    match above {
        0 => ' ',
        eighths => EIGHTHS[eighths.min(EIGHTHS.len()) - 1],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(values: &[u64], width: usize) -> Vec<String> {
        let point = |(n, value): (usize, &u64)| Point { label: format!("d{n}"), value: *value };
        let points: Vec<Point> = values.iter().enumerate().map(point).collect();
        plot(&points, width, |value| value.to_string()).lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_highest_bar_has_every_line_and_nothing_has_none() {
        let lines = drawn(&[8, 0, 4, 1], 12);
        assert_eq!(lines[0], " 8 ┤██", "{lines:#?}");
        assert_eq!(lines[7], " 0 ┤██  ████", "{lines:#?}");
        assert_eq!(lines[6], "   ┤██  ██", "an eighth of the highest is one line: {lines:#?}");
        assert_eq!(lines[9], "    d0    d3", "{lines:#?}");
    }

    #[test]
    fn what_is_more_than_nothing_is_seen() {
        let lines = drawn(&[u64::MAX, 1], 60);
        assert!(lines[7].ends_with("████▁▁▁▁"), "{lines:#?}");
        assert_eq!(drawn(&[0, 0], 60).iter().filter(|line| line.contains('█')).count(), 0);
    }

    #[test]
    fn more_points_than_columns_are_added_up() {
        let lines = drawn(&[1; 1_000], 50);
        let longest = lines.iter().map(|line| line.chars().count()).max();
        assert!(longest <= Some(50), "{lines:#?}");
        assert!(lines[0].starts_with("  23 ┤█"), "{lines:#?}");
    }

    #[test]
    fn nothing_is_drawn_without_points() {
        assert!(drawn(&[], 80).is_empty());
        assert_eq!(drawn(&[5], 80).last().unwrap(), "   d0");
    }
}
