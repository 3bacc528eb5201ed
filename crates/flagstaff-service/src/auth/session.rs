//! Sign-in to the dashboard: passwords, one-time links, sessions, and the form token.
//!
//! A session is a cookie of 256 random bits, of which the store holds the SHA-256. The form token that
//! every changing request has to carry is derived from the cookie, so that it needs no storage, and
//! only who can read the cookie can make it.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};

use super::{Actor, ActorKind, password, secret};
use crate::error::ApiError;
use crate::store::connection::Connection;
use crate::store::member::Member;
use crate::store::{self, StoreError};
use crate::{App, SharedApp, now_ms};

/// Where people sign in; the dashboard serves it.
pub const SIGN_IN_PATH: &str = "/ui/sign-in";
/// Where a one-time link leads, before its token; the dashboard serves it. A GET shows a form whose
/// POST calls [`use_link`], because programs that look into links in advance must not use them up.
pub const SIGN_IN_LINK_PATH: &str = "/ui/sign-in/link/";
/// The header in which script sends the form token.
pub const FORM_TOKEN_HEADER: HeaderName = HeaderName::from_static("x-flagstaff-form-token");
/// The form field in which a form sends it.
pub const FORM_TOKEN_FIELD: &str = "form_token";

const COOKIE: &str = "flagstaff_session";
/// How long a session lasts.
const SESSION_MS: i64 = 14 * 24 * 3600 * 1000;
/// How long a one-time link can be used.
const LINK_MS: i64 = 24 * 3600 * 1000;
/// What would end later than if it were begun now, by more than this, was begun while the clock was ahead: once it is
/// set back that does not count, or it would for as long as the clock was ahead.
const CLOCK_PLAY_MS: i64 = 24 * 3600 * 1000;
/// The shortest password that is taken.
pub const SHORTEST_PASSWORD: usize = 8;

/// Somebody who is signed in. As an extractor: whoever is not, is sent to [`SIGN_IN_PATH`].
#[derive(Clone, Debug)]
pub struct Session {
    /// Who.
    pub member: Member,
    /// What every form carries in [`FORM_TOKEN_FIELD`], or script in [`FORM_TOKEN_HEADER`].
    pub form_token: String,
    token: String,
}

/// Why somebody could not sign in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignInError {
    /// Not said which of the two, on purpose.
    #[error("the e-mail address or the password is wrong")]
    Wrong,
    /// Too many failures.
    #[error("too many failed sign-ins; try again in {seconds} seconds")]
    TooMany {
        /// How long to wait.
        seconds: u64,
    },
    /// The one-time link was used, or is too old.
    #[error("this sign-in link was used already or is too old; make a new one with `flagstaff owner-link`")]
    LinkGone,
    /// The chosen password is too short.
    #[error("the password is too short; it takes at least {SHORTEST_PASSWORD} characters")]
    ShortPassword,
    /// The chosen e-mail address is none.
    #[error("`{email}` is not an e-mail address")]
    NoEmail {
        /// What was typed.
        email: String,
    },
    /// Somebody else has the chosen e-mail address.
    #[error("another member has the e-mail address `{email}`")]
    EmailTaken {
        /// What was typed.
        email: String,
    },
    /// The database.
    #[error("could not sign in")]
    Store(#[from] StoreError),
}

impl Session {
    /// Who it is to the rest of the house.
    pub fn actor(&self) -> Actor {
        Actor {
            kind: ActorKind::Member,
            id: self.member.public_id.clone(),
            name: self.member.display_name(),
            role: self.member.role,
            member_id: Some(self.member.id),
        }
    }

    /// Whether a changing request comes from our own pages: it has to carry this session's form
    /// token, and a browser that says where the request comes from has to say: from here.
    pub fn check_form(&self, headers: &HeaderMap, form_token: Option<&str>) -> Result<(), ApiError> {
        check_origin(headers)?;
        let sent = form_token.or_else(|| headers.get(FORM_TOKEN_HEADER)?.to_str().ok());
        if sent.is_some_and(|sent| secret::equal(sent, &self.form_token)) {
            return Ok(());
        }
        Err(ApiError::forbidden("this form does not belong to your session; load the page again and retry"))
    }

    /// The session that a request carries, if any.
    pub async fn of(app: &App, headers: &HeaderMap) -> Result<Option<Self>, StoreError> {
        let Some(token) = cookie(headers) else {
            return Ok(None);
        };
        let mut connection = app.store.read().await?;
        let member =
            store::session::member(&mut connection, &secret::hash(token), ends_of(SESSION_MS)).await?;
        Ok(member.map(|member| Self::new(member, token.to_owned())))
    }

    /// Ends the session, and gives the header that removes the cookie.
    pub async fn end(&self, app: &App) -> Result<HeaderValue, StoreError> {
        let mut write = app.store.write_apart().await?;
        store::session::delete(&mut write, &secret::hash(&self.token)).await?;
        write.commit().await?;
        Ok(HeaderValue::from_static("flagstaff_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"))
    }

    /// The `Set-Cookie` header that carries the session; if this one is encrypted, for encrypted connections alone.
    pub fn set_cookie(&self, encrypted: bool) -> HeaderValue {
        let seconds = SESSION_MS / 1000;
        let secure = if encrypted { "; Secure" } else { "" };
        let cookie =
            format!("{COOKIE}={}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}", self.token);
        HeaderValue::try_from(cookie).unwrap_or_else(|_| unreachable!("hex digits are fit for a header"))
    }

    fn new(member: Member, token: String) -> Self {
        let form_token = secret::hash(&format!("form token of {token}"));
        Self { member, form_token, token }
    }

    async fn begin(connection: &mut Connection, member: Member) -> Result<Self, StoreError> {
        let token = secret::random_token();
        let now = now_ms();
        store::session::insert(connection, &secret::hash(&token), member.id, now, now + SESSION_MS).await?;
        Ok(Self::new(member, token))
    }
}

impl FromRequestParts<SharedApp> for Session {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, Response> {
        match Session::of(app, &parts.headers).await {
            Ok(Some(session)) => Ok(session),
            Ok(None) => Err(to_sign_in(parts)),
            Err(error) => Err(ApiError::from(error).into_response()),
        }
    }
}

/// Whether a changing request comes from a page of ours, as far as the browser says: in `Sec-Fetch-Site`,
/// or, where it does not send that, in `Origin`.
pub fn check_origin(headers: &HeaderMap) -> Result<(), ApiError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let from_here = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let host = origin.split_once("://").map(|(_, host)| host);
            host.is_some() && host == text("host")
        }
        (None, None) => true,
    };
    if from_here {
        return Ok(());
    }
    Err(ApiError::forbidden(
        "this form comes from another site; open the page itself, and if a proxy is in between, have it pass the \
         `Host` header on",
    ))
}

/// Signs in with a password. Send [`Session::set_cookie`] with the answer.
pub async fn sign_in(app: &App, from: IpAddr, email: &str, typed: String) -> Result<Session, SignInError> {
    let begun = app.sign_in_limit.begin(from, email);
    begun.map_err(|wait| SignInError::TooMany { seconds: wait.as_secs() + 1 })?;
    let member = store::member::by_email(&mut *app.store.read().await?, email).await?;
    let hash = member.as_ref().and_then(|member| member.password_hash.clone());
    if !password::verify(typed, hash).await {
        return Err(SignInError::Wrong);
    }
    let Some(member) = member else {
        return Err(SignInError::Wrong);
    };
    app.sign_in_limit.succeeded(from, email);
    let mut write = app.store.write_apart().await?;
    let session = Session::begin(&mut write, member).await?;
    write.commit().await?;
    Ok(session)
}

/// Makes a one-time link for a member and gives its path.
pub async fn make_link(connection: &mut Connection, member_id: i64) -> Result<String, StoreError> {
    let token = secret::random_token();
    store::session::insert_link(connection, &secret::hash(&token), member_id, now_ms() + LINK_MS).await?;
    Ok(format!("{SIGN_IN_LINK_PATH}{token}"))
}

/// Whether a one-time link can still be used, and for whom it is; it stays usable.
pub async fn look_at_link(app: &App, token: &str) -> Result<Member, SignInError> {
    let mut connection = app.store.read().await?;
    let id = store::session::link_member(&mut connection, &secret::hash(token), ends_of(LINK_MS)).await?;
    let id = id.ok_or(SignInError::LinkGone)?;
    store::member::by_id(&mut connection, id).await?.ok_or(SignInError::LinkGone)
}

/// Uses a one-time link up: the member gets this e-mail address and password, is signed in, and
/// every older session of theirs ends.
pub async fn use_link(app: &App, token: &str, email: &str, chosen: String) -> Result<Session, SignInError> {
    // First: nobody has passwords hashed here, which takes its time on purpose, who does not come by a link.
    look_at_link(app, token).await?;
    if chosen.chars().count() < SHORTEST_PASSWORD {
        return Err(SignInError::ShortPassword);
    }
    if !is_email(email) {
        return Err(SignInError::NoEmail { email: email.to_owned() });
    }
    let hash = password::hash(chosen).await;
    let mut write = app.store.write().await?;
    let id = store::session::take_link(&mut write, &secret::hash(token), ends_of(LINK_MS)).await?;
    let id = id.ok_or(SignInError::LinkGone)?;
    store::member::set_credentials(&mut write, id, email, &hash).await.map_err(|error| {
        if error.is_duplicate() { SignInError::EmailTaken { email: email.to_owned() } } else { error.into() }
    })?;
    store::session::delete_of_member(&mut write, id).await?;
    let member = store::member::by_id(&mut write, id).await?.ok_or(SignInError::LinkGone)?;
    let session = Session::begin(&mut write, member).await?;
    write.commit().await?;
    Ok(session)
}

/// When something that counts now ends, of what lasts so long.
fn ends_of(lasts_ms: i64) -> RangeInclusive<i64> {
    let now = now_ms();
    now + 1..=now + lasts_ms + CLOCK_PLAY_MS
}

/// Something before the `@` and a dot after it; the rest only a message sent there could tell.
fn is_email(text: &str) -> bool {
    let parts = text.split_once('@');
    let plain = !text.contains(char::is_whitespace) && !text.contains('\0') && text.len() <= 254;
    plain && parts.is_some_and(|(name, host)| !name.is_empty() && host.contains('.') && !host.contains('@'))
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// A page comes back to where it was asked for; anything else starts at the front.
fn to_sign_in(parts: &Parts) -> Response {
    if parts.headers.contains_key("hx-request") {
        // A redirect would put the sign-in page where a fragment belongs.
        let header = [(HeaderName::from_static("hx-redirect"), SIGN_IN_PATH)];
        return (axum::http::StatusCode::UNAUTHORIZED, header).into_response();
    }
    if parts.method != axum::http::Method::GET {
        return Redirect::to(SIGN_IN_PATH).into_response();
    }
    let wanted = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let next = percent_encoding::utf8_percent_encode(wanted, percent_encoding::NON_ALPHANUMERIC);
    Redirect::to(&format!("{SIGN_IN_PATH}?next={next}")).into_response()
}

impl From<SignInError> for ApiError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Wrong | SignInError::LinkGone => ApiError::unauthorized(error.to_string()),
            SignInError::TooMany { seconds } => ApiError::too_many(error.to_string(), seconds),
            SignInError::Store(error) => error.into(),
            SignInError::ShortPassword | SignInError::NoEmail { .. } => {
                ApiError::bad_request(error.to_string())
            }
            SignInError::EmailTaken { .. } => ApiError::conflict(error.to_string()),
        }
    }
}
