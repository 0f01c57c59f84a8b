//! The shape of the function under the attribute. It does not look at the body.

use quote::ToTokens;
use syn::{Error, FnArg, Ident, ItemFn, ReturnType, Type};

const NOT_GENERIC: &str =
    "an executor cannot be generic: its input and output need one schema each";

/// The parts of an executor function that the exports need.
pub(crate) struct Signature<'a> {
    /// The function's own name.
    pub(crate) name: &'a Ident,
    /// The type of the first of two parameters.
    pub(crate) task: Option<&'a Type>,
    /// The type of the last parameter.
    pub(crate) input: &'a Type,
    /// The type after the arrow.
    pub(crate) output: &'a Type,
}

impl<'a> Signature<'a> {
    /// Reads the shape of `function`.
    ///
    /// # Errors
    ///
    /// When the function cannot be an executor; the error points at the part that is in the way.
    pub(crate) fn of(function: &'a ItemFn) -> syn::Result<Self> {
        refuse_modifiers(function)?;
        let signature = &function.sig;
        let types = parameters(function)?;
        let (task, input) = match types.as_slice() {
            [input] => (None, *input),
            [task, input] if is_named_task(input) && !is_named_task(task) => {
                return Err(Error::new_spanned(
                    input,
                    "the task comes first: `(task: Task, input: I)`",
                ));
            }
            [task, input] => (Some(*task), *input),
            [] => {
                return Err(Error::new_spanned(
                    &signature.ident,
                    "an executor takes `(input: I)` or `(task: Task, input: I)`",
                ));
            }
            [_, _, extra, ..] => {
                return Err(Error::new_spanned(
                    extra,
                    "one parameter too many: an executor takes `(input: I)` or \
                     `(task: Task, input: I)`",
                ));
            }
        };
        let ReturnType::Type(_, output) = &signature.output else {
            return Err(Error::new_spanned(
                &signature.ident,
                "an executor returns `Result<O, Fault>` or `Result<Outcome<O>, Fault>`",
            ));
        };
        Ok(Self { name: &signature.ident, task, input, output })
    }
}

fn refuse_modifiers(function: &ItemFn) -> syn::Result<()> {
    let signature = &function.sig;
    if let Some(constness) = &signature.constness {
        return refuse(constness, "an executor cannot be `const`");
    }
    if let Some(unsafety) = &signature.unsafety {
        return refuse(
            unsafety,
            "an executor cannot be `unsafe`: the host calls it with any input",
        );
    }
    if let Some(abi) = &signature.abi {
        return refuse(abi, "an executor cannot be `extern`: the attribute writes the exports");
    }
    if !signature.generics.params.is_empty() {
        return refuse(&signature.generics, NOT_GENERIC);
    }
    if let Some(clause) = &signature.generics.where_clause {
        return refuse(clause, "an executor cannot have a `where` clause");
    }
    if let Some(variadic) = &signature.variadic {
        return refuse(variadic, "an executor cannot be variadic");
    }
    Ok(())
}

fn parameters(function: &ItemFn) -> syn::Result<Vec<&Type>> {
    function
        .sig
        .inputs
        .iter()
        .map(|argument| match argument {
            FnArg::Receiver(receiver) => {
                refuse(receiver, "an executor is a plain function: it cannot take `self`")
            }
            FnArg::Typed(argument) => {
                let kind = &*argument.ty;
                if matches!(kind, Type::ImplTrait(_)) {
                    return refuse(kind, NOT_GENERIC);
                }
                if matches!(kind, Type::Reference(_)) {
                    return refuse(kind, "an executor owns its input: write the type without `&`");
                }
                Ok(kind)
            }
        })
        .collect()
}

/// Looks at the name only; the types are checked where they are used.
fn is_named_task(kind: &Type) -> bool {
    matches!(kind, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Task"))
}

fn refuse<T>(part: &impl ToTokens, why: &str) -> syn::Result<T> {
    Err(Error::new_spanned(part, why))
}
