//! The attribute macro of apflow-sdk.
//!
//! It checks the shape of one function and writes the component's exports around it. What those
//! exports do is plain code in apflow-sdk; nothing here knows JSON, schemas or WASI.

mod identity;
mod signature;

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::{quote, quote_spanned};
use syn::{ItemFn, spanned::Spanned};

use crate::identity::Identity;
use crate::signature::Signature;

/// Makes a function the executor of this plugin.
///
/// The function is `fn` or `async fn`, takes `(input: I)` or `(task: Task, input: I)`, and returns
/// `Result<O, E>` or `Result<Outcome<O>, E>`, where `I` derives `Deserialize` and `JsonSchema`, `O`
/// derives `Serialize` and `JsonSchema`, and `E` converts into `Fault`. It stays an ordinary
/// function: tests call it as it is.
///
/// | key | what | without it |
/// |---|---|---|
/// | `id = "rest_executor"` | the id that tasks name; equals `name` in `plugin.yaml` | refused |
/// | `name = "REST"` | the name for people | the id |
/// | `description = "…"` | what the plugin does | the first paragraph of the doc comment |
/// | `version = "1.2.3"` | the plugin's version, semver | the version of its crate |
/// | `tags = ["http"]` | words to find the plugin by | none |
///
/// A plugin has one executor: a second one fails to link.
///
/// # Examples
///
/// ```ignore
/// /// Calls HTTP APIs.
/// #[apflow_sdk::executor(id = "rest_executor", name = "REST", tags = ["http"])]
/// async fn rest(input: Input) -> Result<Output, Fault> {
///     Ok(Output::of(http::Request::get(input.url).send_async().await?))
/// }
/// ```
#[proc_macro_attribute]
pub fn executor(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments.into(), &item.into()).into()
}

/// Keeps the function even when the attribute is wrong, so that one fault is not followed by "cannot
/// find function".
fn expand(arguments: Tokens, item: &Tokens) -> Tokens {
    match exports(arguments, item) {
        Ok(exports) => quote! {
            #[allow(
                clippy::needless_pass_by_value,
                clippy::unnecessary_wraps,
                clippy::unused_async,
                reason = "the shape of an executor is not its own choice"
            )]
            #item
            #exports
        },
        Err(error) => {
            let error = error.to_compile_error();
            quote!(#item #error)
        }
    }
}

fn exports(arguments: Tokens, item: &Tokens) -> syn::Result<Tokens> {
    let function: ItemFn = syn::parse2(item.clone()).map_err(|_| {
        syn::Error::new_spanned(item, "`executor` goes on a plain `fn` or `async fn`")
    })?;
    let signature = Signature::of(&function)?;
    let Identity { id, name, description, version, tags } =
        Identity::parse(arguments, &function.attrs)?;
    let checks = checks(&signature);
    let function = signature.name;

    // Names of the plugin are used in here too, so those of this crate look like no other.
    Ok(quote! {
        const _: () = {
            #checks
        };

        const _: () = {
            const __APFLOW_IDENTITY: ::apflow_sdk::entry::Identity =
                ::apflow_sdk::entry::Identity {
                    id: #id,
                    name: #name,
                    description: #description,
                    version: #version,
                    tags: &[#(#tags),*],
                };

            fn __apflow_describe() -> ::apflow_sdk::entry::Descriptor {
                ::apflow_sdk::entry::describe(&__APFLOW_IDENTITY, &#function)
            }

            fn __apflow_execute(
                task: ::apflow_sdk::entry::Task,
                input: ::std::string::String,
            ) -> ::apflow_sdk::entry::Ending {
                ::apflow_sdk::entry::execute(&#function, task, &input)
            }

            // Natively nothing is exported; naming both keeps them, and the function, checked.
            #[cfg(not(target_family = "wasm"))]
            const _: (
                fn() -> ::apflow_sdk::entry::Descriptor,
                fn(::apflow_sdk::entry::Task, ::std::string::String) -> ::apflow_sdk::entry::Ending,
            ) = (__apflow_describe, __apflow_execute);

            #[cfg(target_family = "wasm")]
            struct __ApflowComponent;

            #[cfg(target_family = "wasm")]
            impl ::apflow_sdk::entry::Guest for __ApflowComponent {
                fn describe() -> ::apflow_sdk::entry::Descriptor {
                    __apflow_describe()
                }

                fn execute(
                    task: ::apflow_sdk::entry::Task,
                    input: ::std::string::String,
                ) -> ::apflow_sdk::entry::Ending {
                    __apflow_execute(task, input)
                }
            }

            #[cfg(target_family = "wasm")]
            ::apflow_sdk::bindings::export!(__ApflowComponent with_types_in ::apflow_sdk::bindings);
        };
    })
}

/// Asks for the traits of each type where that type is written, so that the compiler points there
/// and not at the attribute.
fn checks(signature: &Signature) -> Tokens {
    let task = signature.task.map(|task| {
        quote_spanned! {task.span()=>
            const _: fn(#task) -> ::apflow_sdk::Task = |task| task;
        }
    });
    let input = signature.input;
    let input = quote_spanned! {input.span()=>
        const _: fn() = ::apflow_sdk::entry::is_input::<#input>;
    };
    let output = signature.output;
    let output = quote_spanned! {output.span()=>
        const _: fn() = ::apflow_sdk::entry::is_reply::<#output>;
    };
    quote!(#task #input #output)
}
