//! The resource of the import `budget`.

/// Tokens set aside for one call of a model.
#[expect(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Reservation {
    pub(crate) tokens: u64,
}
