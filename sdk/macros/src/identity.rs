//! What the attribute says about the plugin: `id = "…", name = "…", …`.

use proc_macro2::{Span, TokenStream as Tokens};
use quote::quote;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Attribute, Error, Expr, ExprLit, Ident, Lit, LitStr, MetaNameValue, Token};

const KEYS: [&str; 5] = ["id", "name", "description", "version", "tags"];

/// Below this likeness (0.0 to 1.0) a known key is no help to somebody who mistyped one.
const LIKENESS_MIN: f64 = 0.6;

/// Who the plugin says it is, as tokens for its descriptor.
pub(crate) struct Identity {
    /// The id that tasks name.
    pub(crate) id: LitStr,
    /// The name for people.
    pub(crate) name: LitStr,
    /// What the plugin does.
    pub(crate) description: LitStr,
    /// An expression of type `&'static str`.
    pub(crate) version: Tokens,
    /// Words to find the plugin by.
    pub(crate) tags: Vec<LitStr>,
}

impl Identity {
    /// Reads the attribute's `arguments`; the description may come from `attributes`.
    ///
    /// # Errors
    ///
    /// When a key is missing, unknown, given twice or has a wrong value.
    pub(crate) fn parse(arguments: Tokens, attributes: &[Attribute]) -> syn::Result<Self> {
        let pairs = Punctuated::<MetaNameValue, Token![,]>::parse_terminated.parse2(arguments)?;
        let mut id = None;
        let mut name = None;
        let mut description = None;
        let mut version = None;
        let mut tags = None;
        for pair in &pairs {
            let key = pair.path.require_ident()?;
            match key.to_string().as_str() {
                "id" => set(&mut id, key, checked_id(text(&pair.value)?)?)?,
                "name" => set(&mut name, key, not_empty(text(&pair.value)?)?)?,
                "description" => set(&mut description, key, not_empty(text(&pair.value)?)?)?,
                "version" => set(&mut version, key, not_empty(text(&pair.value)?)?)?,
                "tags" => set(&mut tags, key, texts(&pair.value)?)?,
                unknown => return Err(Error::new(key.span(), unknown_key(unknown))),
            }
        }
        let Some(id) = id else {
            return Err(Error::new(
                Span::call_site(),
                "an executor needs an id: `#[executor(id = \"my_executor\")]`",
            ));
        };
        let Some(description) = description.or_else(|| first_paragraph(attributes)) else {
            return Err(Error::new(
                Span::call_site(),
                "say what the executor does: write a doc comment, or `description = \"…\"`",
            ));
        };
        Ok(Self {
            name: name.unwrap_or_else(|| id.clone()),
            id,
            description,
            version: version.map_or_else(
                || quote!(::core::env!("CARGO_PKG_VERSION")),
                |version| quote!(#version),
            ),
            tags: tags.unwrap_or_default(),
        })
    }
}

fn set<T>(slot: &mut Option<T>, key: &Ident, value: T) -> syn::Result<()> {
    if slot.replace(value).is_some() {
        return Err(Error::new(key.span(), format!("`{key}` is given twice")));
    }
    Ok(())
}

fn text(value: &Expr) -> syn::Result<LitStr> {
    if let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = value {
        Ok(text.clone())
    } else {
        Err(Error::new_spanned(value, "expected a text in quotes"))
    }
}

fn texts(value: &Expr) -> syn::Result<Vec<LitStr>> {
    let Expr::Array(array) = value else {
        return Err(Error::new_spanned(value, "expected a list of texts: `[\"http\", \"api\"]`"));
    };
    array.elems.iter().map(|element| not_empty(text(element)?)).collect()
}

fn not_empty(text: LitStr) -> syn::Result<LitStr> {
    if text.value().trim().is_empty() {
        return Err(Error::new(text.span(), "the text is empty"));
    }
    Ok(text)
}

fn checked_id(id: LitStr) -> syn::Result<LitStr> {
    let value = id.value();
    let starts_well = value.starts_with(|first: char| first.is_ascii_lowercase());
    let goes_on_well = value
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'));
    if starts_well && goes_on_well {
        return Ok(id);
    }
    Err(Error::new(
        id.span(),
        format!(
            "`{value}` is not an id: it starts with a lower case letter and goes on with lower \
             case letters, digits, `_` and `-`"
        ),
    ))
}

fn unknown_key(unknown: &str) -> String {
    let nearest = KEYS
        .iter()
        .map(|key| (strsim::jaro_winkler(key, unknown), key))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    match nearest {
        Some((_, key)) => format!("unknown key `{unknown}`: did you mean `{key}`?"),
        None => format!("unknown key `{unknown}`: known are `{}`", KEYS.join("`, `")),
    }
}

/// The doc comment up to its first empty line, as one line.
fn first_paragraph(attributes: &[Attribute]) -> Option<LitStr> {
    let mut lines = Vec::new();
    let mut span = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        let Ok(pair) = attribute.meta.require_name_value() else { continue };
        let Ok(block) = text(&pair.value) else { continue };
        span.get_or_insert(block.span());
        lines.extend(block.value().lines().map(|line| line.trim().to_owned()));
        if block.value().is_empty() {
            lines.push(String::new());
        }
    }
    let paragraph: Vec<String> = lines
        .into_iter()
        .skip_while(String::is_empty)
        .take_while(|line| !line.is_empty())
        .collect();
    let span = span.filter(|_| !paragraph.is_empty())?;
    Some(LitStr::new(&paragraph.join(" "), span))
}
