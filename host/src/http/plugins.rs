//! Plugins and tools that are loaded: their component and manifest come as the fields of a form.
//!
//! A component is compiled as a whole, so it is held as a whole: few at once, each of a size that is
//! limited.

use apflow_api::{ApiError, LoadPlugin, LoadedPlugin, Operation, PluginForm, UploadPlugin};
use apflow_model::plugin::DefinitionText;
use axum::Json;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use super::problem::Problem;
use super::{Door, RequestId};

/// Lets so many forms be read at once.
static READING: Semaphore = Semaphore::const_new(2);

/// Installs a plugin or a tool.
pub(super) async fn load(State(door): State<Door>, request: Request) -> Response {
    let id = RequestId::of(&request);
    match receive(&door, request, &id).await {
        Ok(loaded) => {
            let place = format!("{}/{}", UploadPlugin::PATH, loaded.plugin.plugin.manifest.name);
            let place = HeaderValue::try_from(place).unwrap_or(HeaderValue::from_static("/"));
            (StatusCode::CREATED, [(LOCATION, place)], Json(loaded)).into_response()
        }
        Err(problem) => problem.in_request(id).into_response(),
    }
}

async fn receive(door: &Door, request: Request, id: &str) -> Result<LoadedPlugin, Problem> {
    let (parts, body) = request.into_parts();
    let caller = door.caller(LoadPlugin::NAME, &parts).await?;
    let request = Request::from_parts(parts, body);
    let form = async {
        // It is never closed.
        let _turn = READING.acquire().await;
        read(request).await
    };
    let loaded = door.api.invoke(UploadPlugin { form }, &caller).await;
    loaded.map_err(|error| Problem::of(&error, id))
}

async fn read(request: Request) -> Result<PluginForm, ApiError> {
    let form = Multipart::from_request(request, &()).await;
    let mut fields = form.map_err(|error| invalid(error.body_text()))?;
    let mut form = PluginForm::default();
    while let Some(field) = fields.next_field().await.map_err(broken)? {
        let name = field.name().unwrap_or_default().to_owned();
        match name.as_str() {
            "component" => {
                form.component_file = file_name(&field);
                once(&name, &mut form.component, bytes(field).await?)?;
            }
            "plugin.yaml" => {
                form.manifest_file = file_name(&field);
                once(&name, &mut form.manifest, DefinitionText::Plugin(text(field).await?))?;
            }
            "tool.yaml" => {
                form.manifest_file = file_name(&field);
                let tool = DefinitionText::Tool { text: text(field).await?, folder: None };
                once(&name, &mut form.manifest, tool)?;
            }
            "lock" => {
                form.lock_file = file_name(&field);
                once(&name, &mut form.lock, text(field).await?)?;
            }
            "typed" => once(&name, &mut form.typed, text(field).await?)?,
            "grant" => form.grants.push(text(field).await?),
            "yes" => match text(field).await?.as_str() {
                "true" => form.is_all = true,
                "false" => {}
                other => return Err(invalid(format!("`yes` is `{other}`: expected true"))),
            },
            _ => {
                return Err(invalid(format!(
                    "the field `{name}` is not known here: expected `component`, `plugin.yaml` or \
                     `tool.yaml`, `grant`, `yes`, `lock` and `typed`"
                )));
            }
        }
    }
    Ok(form)
}

fn once<T>(name: &str, place: &mut Option<T>, value: T) -> Result<(), ApiError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(invalid(format!("`{name}` is one manifest or component too many"))),
    }
}

/// What a client calls the file of a field.
fn file_name(field: &Field<'_>) -> Option<String> {
    field.file_name().map(str::to_owned)
}

/// The bytes of a field. The form as a whole is limited, so they are.
async fn bytes(mut field: Field<'_>) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    while let Some(piece) = field.chunk().await.map_err(broken)? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

async fn text(field: Field<'_>) -> Result<String, ApiError> {
    let name = field.name().unwrap_or_default().to_owned();
    let bytes = bytes(field).await?;
    String::from_utf8(bytes).map_err(|_| invalid(format!("the field `{name}` is not UTF-8 text")))
}

fn invalid(message: String) -> ApiError {
    ApiError::InvalidRequest(message)
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` passes it so")]
fn broken(error: MultipartError) -> ApiError {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return ApiError::TooLarge(UploadPlugin::FORM_BYTES_MAX);
    }
    invalid(format!("the form cannot be read: {}", error.body_text()))
}
