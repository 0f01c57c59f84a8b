//! Where the fields of a verb stand in a request.

/// What of a verb's input stands in the body. What neither the path nor the headers name stands in
/// the query otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Nothing: a body is refused.
    None,
    /// This field is the body.
    Whole(&'static str),
    /// An object with these fields. It may be left out where none of them is needed.
    Fields(&'static [&'static str]),
}

impl Body {
    /// Whether a field stands in the body.
    pub fn holds(self, name: &str) -> bool {
        match self {
            Self::None => false,
            Self::Whole(field) => field == name,
            Self::Fields(fields) => fields.contains(&name),
        }
    }
}
