//! What a running filter reaches beside its values: the other filters, the values to come, and a log.

use jaq_core::data::HasLut;
use jaq_core::{DataT, Lut};
use jaq_json::Val;
use jaq_std::input::{HasInputs, Inputs};

/// The kind of filter that this plugin compiles and runs.
pub(crate) struct Kind;

impl DataT for Kind {
    type V<'a> = Val;
    type Data<'a> = Reach<'a>;
}

/// The compiled filters, the values to come and the log.
#[derive(Clone, Copy)]
pub(crate) struct Reach<'a> {
    /// Every compiled filter.
    pub(crate) code: &'a Lut<Kind>,
    /// What `input` and `inputs` yield.
    pub(crate) inputs: Inputs<'a, Val>,
    /// Where `debug` and `stderr` write.
    pub(crate) log: &'a dyn Fn(&str),
}

impl<'a> HasLut<'a, Kind> for Reach<'a> {
    fn lut(&self) -> &'a Lut<Kind> {
        self.code
    }
}

impl<'a> HasInputs<'a, Val> for Reach<'a> {
    fn inputs(&self) -> Inputs<'a, Val> {
        self.inputs
    }
}
