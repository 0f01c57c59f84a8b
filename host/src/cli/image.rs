//! What `load` finds in a registry: a plugin or a tool as an image.

use apflow_model::plugin::DefinitionText;

use super::error::CliError;
use super::found::{self, Found};
use super::output::Output;
use crate::config::Config;
use crate::remote::{Image, ImageName, Pulled, RegistryError};

/// The image that is meant by what was typed. None when that is a path, or the name of a plugin.
///
/// # Errors
///
/// [`CliError::Usage`] when it can only be an image and is none, [`CliError::NotFound`] when it is
/// neither that nor a path.
pub(crate) fn meant(typed: &str) -> Result<Option<ImageName>, CliError> {
    let is_explicit = ImageName::is_meant_by(typed);
    // What is there wins; and no name of a plugin has a slash.
    if !is_explicit && (found::is_there(typed) || !typed.contains('/')) {
        return Ok(None);
    }
    match typed.parse() {
        Ok(name) => Ok(Some(name)),
        Err(fault) if is_explicit => Err(CliError::Usage(format!(
            "`{typed}` names no image in a registry: {fault}; expected {}",
            ImageName::EXPECTED
        ))),
        Err(fault) => Err(nothing(typed, &format!("nor an image in a registry: {fault}"))),
    }
}

/// That what was typed is no path, `nor` something else.
pub(crate) fn nothing(typed: &str, nor: &str) -> CliError {
    CliError::NotFound(format!(
        "`{typed}` is not there: it is no file and no folder, {nor}; expected a path, or an image: {}",
        ImageName::EXPECTED
    ))
}

/// Pulls a plugin or a tool.
pub(crate) async fn pull(
    config: &Config,
    name: ImageName,
    output: &Output,
) -> Result<Found, CliError> {
    let typed = name.to_string();
    let pulling = Image::find(name, &config.gateway, &config.environment);
    let mut image = Box::pin(pulling).await?;
    // To be typed again: its tag may be another image then.
    let pinned = image.pinned();
    if pinned != typed {
        output.note(&format!("{typed} is {pinned}"));
    }
    let file = |title: &str| format!("{typed}/{title}");
    let definition = Box::pin(image.definition()).await?;
    let manifest_file = file(definition.as_ref().map_or("plugin.yaml", |found| &found.title));
    let manifest = definition.map(|found| text(found, &typed)).transpose()?;
    let read = manifest.as_ref().map(DefinitionText::read);
    let (component, component_file) = match &read {
        // A request has none of its own; and of one with faults, the verb reports them.
        Some(Ok(definition)) if found::is_request(definition) => {
            (Vec::new(), manifest_file.clone())
        }
        Some(Err(_)) => (Vec::new(), manifest_file.clone()),
        Some(Ok(definition)) => {
            component(&mut image, Some(&definition.manifest.component), file).await?
        }
        None => component(&mut image, None, file).await?,
    };
    Ok(Found { component, component_file, manifest, manifest_file, typed: pinned })
}

/// The bytes of a component, and what to call it.
async fn component(
    image: &mut Image<'_>,
    name: Option<&str>,
    file: impl FnOnce(&str) -> String,
) -> Result<(Vec<u8>, String), CliError> {
    let Pulled { title, bytes } = Box::pin(image.component(name)).await?;
    let called = file(&title);
    Ok((bytes, called))
}

fn text(found: Pulled, image: &str) -> Result<DefinitionText, RegistryError> {
    let Pulled { title, bytes } = found;
    let text = String::from_utf8(bytes).map_err(|_| RegistryError::Invalid {
        image: image.to_owned(),
        why: format!("its `{title}` is not UTF-8 text"),
    })?;
    Ok(match title.as_str() {
        "tool.yaml" => DefinitionText::Tool { text, folder: None },
        _ => DefinitionText::Plugin(text),
    })
}
