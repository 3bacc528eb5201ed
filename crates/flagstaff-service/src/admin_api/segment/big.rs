//! Who is in a big segment: `…/contexts`, `…/users` and `…/imports` of a segment.

use std::time::Duration;

use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{DefaultBodyLimit, Extension, Multipart, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use flagstaff_wire::big_segments::Changes;
use serde_json::{Value, json};

use super::keys_file::KeysFile;
use crate::SharedApp;
use crate::admin_api::body::JsonBody;
use crate::admin_api::link::{link, part};
use crate::arriving::Pace;
use crate::auth::{Action, Caller};
use crate::error::ApiError;
use crate::extract::Keys;
use crate::management::big_segment::{self as rules, Import, Mode, Place};

/// A file has at most so many bytes: ten million keys of UUIDs.
const LARGEST_FILE: usize = 512 * 1024 * 1024;
/// A file of which nothing comes for so long does not come any more.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);
/// Users are contexts of this kind.
const USER: Option<&str> = Some("user");

/// The paths below a segment's own.
pub(super) fn router(segment: &str) -> Router<SharedApp> {
    let under = |path: &str| format!("{segment}/{path}");
    let large = |answers: MethodRouter<SharedApp>| answers.layer(DefaultBodyLimit::disable());
    Router::new()
        .route(&under("contexts"), post(change_contexts))
        .route(&under("contexts/{context}"), get(context))
        .route(&under("users"), post(change_users))
        .route(&under("users/{context}"), get(user))
        .route(&under("imports"), large(post(import)))
        .route(&under("imports/{import}"), get(imported))
}

type Path = Keys<(String, String, String)>;
type PathAndOne = Keys<(String, String, String, String)>;

fn place((project_key, environment_key, segment_key): (String, String, String)) -> Place {
    Place { project_key, environment_key, segment_key }
}

async fn change_contexts(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys(path): Path,
    body: JsonBody,
) -> Result<StatusCode, ApiError> {
    change(&app, &caller, path, None, &body).await
}

async fn change_users(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys(path): Path,
    body: JsonBody,
) -> Result<StatusCode, ApiError> {
    change(&app, &caller, path, USER, &body).await
}

async fn change(
    app: &SharedApp,
    caller: &Caller,
    path: (String, String, String),
    of_kind: Option<&str>,
    body: &JsonBody,
) -> Result<StatusCode, ApiError> {
    caller.actor.may(Action::ChangeFlags)?;
    let changes: Changes = body.read()?;
    rules::change(app, &caller.actor, &place(path), of_kind, &changes).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn context(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys((project, environment, segment, context)): PathAndOne,
) -> Result<Json<Value>, ApiError> {
    listed(&app, &caller, (project, environment, segment), None, &context).await
}

async fn user(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys((project, environment, segment, user)): PathAndOne,
) -> Result<Json<Value>, ApiError> {
    listed(&app, &caller, (project, environment, segment), USER, &user).await
}

async fn listed(
    app: &SharedApp,
    caller: &Caller,
    path: (String, String, String),
    of_kind: Option<&str>,
    context_key: &str,
) -> Result<Json<Value>, ApiError> {
    caller.actor.may(Action::Read)?;
    let listed = rules::listed(app, &place(path), of_kind, context_key).await?;
    Ok(Json(json!({"userKey": context_key, "included": listed.included, "excluded": listed.excluded})))
}

/// What a form says of its file.
#[derive(Default)]
struct Form {
    mode: Option<Mode>,
    file_name: Option<String>,
}

async fn import(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys(path): Path,
    pace: Option<Extension<Pace>>,
    form: Multipart,
) -> Result<Response, ApiError> {
    caller.actor.may(Action::ChangeFlags)?;
    let place = place(path);
    let own = format!(
        "/api/v2/segments/{}/{}/{}/imports",
        part(&place.project_key),
        part(&place.environment_key),
        part(&place.segment_key)
    );
    let import = Import::begin(&app, &caller.actor, place).await?;
    if let Some(Extension(pace)) = pace {
        pace.by_the_piece();
    }
    // On its own: whoever sent the file may be gone before its end is seen to.
    let imported = app.serving.tasks.spawn(take_whole(form, import));
    let id = imported.await.map_err(ApiError::internal)??;
    let location = HeaderValue::try_from(format!("{own}/{id}")).map_err(ApiError::internal)?;
    Ok((StatusCode::NO_CONTENT, [(header::LOCATION, location)]).into_response())
}

/// Takes the file, and writes down how that ended. Gives the import's id.
async fn take_whole(form: Multipart, mut import: Import) -> Result<String, ApiError> {
    let mut said = Form::default();
    let taken = take(form, &mut import, &mut said).await;
    let (mode, name) = (said.mode.unwrap_or_default(), said.file_name.unwrap_or_default());
    if let Err(error) = taken {
        import.stop(mode, &name).await?;
        return Err(error);
    }
    Ok(import.complete(mode, &name).await?)
}

/// Reads the form to its end.
async fn take(mut form: Multipart, import: &mut Import, said: &mut Form) -> Result<(), ApiError> {
    while let Some(field) = in_time(form.next_field()).await? {
        match field.name().unwrap_or_default() {
            "file" if said.file_name.is_some() => {
                return Err(ApiError::bad_request("file: there is a second one; send one at a time"));
            }
            "file" => {
                said.file_name = Some(short(field.file_name().unwrap_or_default()));
                take_keys(field, import).await?;
            }
            "mode" => said.mode = Some(mode(&text(field).await?)?),
            "waitOnApprovals" => no_approvals(&text(field).await?)?,
            _ => {}
        }
    }
    match said.file_name {
        Some(_) => Ok(()),
        None => {
            Err(ApiError::bad_request("file: the form has none; send the keys as a file, one on each line"))
        }
    }
}

fn no_approvals(wait_for_them: &str) -> Result<(), ApiError> {
    if wait_for_them == "true" {
        return Err(ApiError::bad_request("waitOnApprovals: there are no approvals here; leave it out"));
    }
    Ok(())
}

async fn take_keys(mut field: Field<'_>, import: &mut Import) -> Result<(), ApiError> {
    let mut file = KeysFile::default();
    let mut size = 0;
    while let Some(bytes) = in_time(field.chunk()).await? {
        size += bytes.len();
        if size > LARGEST_FILE {
            return Err(ApiError::too_large(LARGEST_FILE));
        }
        file.feed(&bytes);
        take_lines(&mut file, import, false).await?;
    }
    take_lines(&mut file, import, true).await
}

async fn take_lines(file: &mut KeysFile, import: &mut Import, at_end: bool) -> Result<(), ApiError> {
    while let Some((line, key)) = file.next(at_end).map_err(ApiError::bad_request)? {
        import.take(&format!("line {line}"), &key).await?;
    }
    Ok(())
}

/// Waits for more of the body, for so long.
async fn in_time<T>(more: impl Future<Output = Result<T, MultipartError>>) -> Result<T, ApiError> {
    let read = tokio::time::timeout(LONGEST_SILENCE, more).await.map_err(|_| {
        let message =
            format!("nothing of the file came for {} seconds; send it again", LONGEST_SILENCE.as_secs());
        ApiError::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", message)
    })?;
    read.map_err(|error| ApiError::bad_request(format!("the form cannot be read: {}", error.body_text())))
}

/// A field that is not the file.
async fn text(mut field: Field<'_>) -> Result<String, ApiError> {
    const LONGEST: usize = 100;
    let mut text = Vec::new();
    while let Some(bytes) = in_time(field.chunk()).await? {
        text.extend_from_slice(&bytes);
        if text.len() > LONGEST {
            return Err(ApiError::bad_request("a field beside the file is too long"));
        }
    }
    Ok(String::from_utf8_lossy(&text).trim().to_owned())
}

fn mode(text: &str) -> Result<Mode, ApiError> {
    match text {
        "merge" => Ok(Mode::Merge),
        "replace" => Ok(Mode::Replace),
        other => {
            let shown = other.escape_debug();
            Err(ApiError::bad_request(format!("mode: `merge` or `replace`, not `{shown}`")))
        }
    }
}

/// A file's name as it is kept: what somebody else chose.
fn short(name: &str) -> String {
    name.chars().filter(|character| !character.is_control()).take(200).collect()
}

async fn imported(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys((project, environment, segment, id)): PathAndOne,
) -> Result<Json<Value>, ApiError> {
    caller.actor.may(Action::Read)?;
    let place = place((project, environment, segment));
    let import = rules::get_import(&app, &place, &id).await?;
    let (project, environment) = (part(&place.project_key), part(&place.environment_key));
    let parent = format!("/api/v2/segments/{project}/{environment}/{}", part(&place.segment_key));
    Ok(Json(json!({
        "id": import.public_id,
        "segmentKey": place.segment_key,
        "creationTime": import.created_at,
        "mode": import.mode,
        "status": import.status.as_str(),
        "files": [{"filename": import.file_name, "status": import.status.as_str()}],
        "_links": {"parent": link(&parent), "self": link(format!("{parent}/imports/{}", part(&id)))},
    })))
}
