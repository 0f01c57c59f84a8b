//! Which known name somebody may have meant.

/// The known name that is most like `name`, unless none is at least `likeness_min` like it, from 0 for
/// nothing in common to 1 for the same.
///
/// The likeness is that of Jaro and Winkler (Winkler, *String Comparator Metrics and Enhanced
/// Decision Rules in the Fellegi-Sunter Model of Record Linkage*, 1990).
pub fn nearest<T: AsRef<str>>(
    name: &str,
    known: impl IntoIterator<Item = T>,
    likeness_min: f64,
) -> Option<T> {
    let alike = known.into_iter().map(|other| (strsim::jaro_winkler(name, other.as_ref()), other));
    let alike = alike.filter(|(likeness, _)| *likeness >= likeness_min);
    let best = alike.max_by(|left, right| left.0.total_cmp(&right.0));
    best.map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_alike_is_found_and_nothing_when_none_is() {
        assert_eq!(
            nearest("rest_excutor", ["noop_executor", "rest_executor"], 0.75),
            Some("rest_executor")
        );
        assert_eq!(nearest("x", ["noop_executor"], 0.75), None);
    }
}
