//! Where somebody is: signed in, in a project and an environment, on a section of the dashboard.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use super::answer::{Trouble, is_fragment};
use super::assets::{self, FILES, colour_class};
use super::theme::Theme;
use super::words::segment;
use crate::auth::{Action, Session};
use crate::live_environment::{About, LiveEnvironment};
use crate::peer::Peer;
use crate::store::environment::Environment;
use crate::store::project::Project;
use crate::{SharedApp, now_ms};

/// Who asks, and for which environment: an extractor for every path below
/// `/ui/{project}/{environment}`.
pub(super) struct Place {
    /// Who.
    pub(super) session: Session,
    /// The environment as it is now.
    pub(super) live: Arc<LiveEnvironment>,
    /// Whether script asks for a part of a page.
    pub(super) fragment: bool,
    /// The instant that times on the page are relative to.
    pub(super) now_ms: i64,
    /// Scheme and host as the browser has them, for snippets to copy.
    pub(super) origin: String,
    about: Arc<About>,
    theme: Theme,
    /// Path and query, to come back to.
    here: String,
    switcher: Vec<ProjectChoice>,
    colours: String,
}

/// A section of the dashboard, one link in the rail each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// Flags.
    Flags,
    /// Users.
    Users,
    /// Events as they come in.
    Events,
    /// What SDKs come with.
    Keys,
    /// Access tokens.
    Tokens,
}

/// What surrounds a page.
pub(super) struct Frame {
    pub(super) title: String,
    pub(super) theme: Theme,
    pub(super) section: Section,
    pub(super) base: String,
    pub(super) crumbs: Vec<Crumb>,
    pub(super) search: Search,
    pub(super) project_name: String,
    pub(super) environment_name: String,
    pub(super) colour_class: String,
    pub(super) switcher: Vec<ProjectChoice>,
    pub(super) member_name: String,
    pub(super) member_email: String,
    pub(super) role: &'static str,
    pub(super) form_token: String,
    pub(super) may_see_keys: bool,
    pub(super) may_make_tokens: bool,
    pub(super) here: String,
    pub(super) files: &'static assets::Files,
    pub(super) colours: String,
}

/// A step of the breadcrumb; the last one has no link.
#[derive(Clone, Debug)]
pub(super) struct Crumb {
    pub(super) text: String,
    pub(super) url: Option<String>,
}

/// The search in the top bar.
#[derive(Clone, Debug)]
pub(super) struct Search {
    pub(super) action: String,
    pub(super) label: &'static str,
    pub(super) query: String,
    /// Whether the page shows what is found while it is typed.
    pub(super) live: bool,
}

/// A project in the switcher.
#[derive(Clone, Debug)]
pub(super) struct ProjectChoice {
    pub(super) name: String,
    pub(super) environments: Vec<EnvironmentChoice>,
}

/// An environment in the switcher.
#[derive(Clone, Debug)]
pub(super) struct EnvironmentChoice {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) colour_class: String,
    pub(super) current: bool,
}

impl Place {
    /// The project.
    pub(super) fn project(&self) -> &Project {
        &self.about.project
    }

    /// The environment's names and settings.
    pub(super) fn environment(&self) -> &Environment {
        &self.about.environment
    }

    /// `/ui/{project}/{environment}`.
    pub(super) fn base(&self) -> String {
        base(&self.about)
    }

    /// Whether a change here takes one more step: to confirm it, or to say why.
    pub(super) fn asks_before_changes(&self) -> bool {
        self.environment().confirm_changes || self.environment().require_comments
    }

    /// What surrounds a page of a section. `inner` is the name of the thing the page is about, if it is
    /// about one; `query` is what was searched for, if the page is a list.
    pub(super) fn frame(&self, section: Section, inner: Option<&str>, query: Option<&str>) -> Frame {
        let environment = self.environment();
        let list = format!("{}/{}", self.base(), section.path());
        let crumb = |text: &str, url: Option<String>| Crumb { text: text.to_owned(), url };
        let mut crumbs = vec![crumb(section.name(), inner.map(|_| list.clone()))];
        crumbs.extend(inner.map(|name| crumb(name, None)));
        let subject = inner.unwrap_or(section.name());
        Frame {
            title: format!("{subject} · {} · {} · Flagstaff", environment.name, self.project().name),
            theme: self.theme,
            section,
            base: self.base(),
            crumbs,
            search: Search {
                action: format!("{}/{}", self.base(), section.searched().path()),
                label: section.search_label(),
                query: query.unwrap_or_default().to_owned(),
                live: query.is_some(),
            },
            project_name: self.project().name.clone(),
            environment_name: environment.name.clone(),
            colour_class: colour_class(&environment.colour),
            switcher: self.switcher.clone(),
            member_name: self.session.member.display_name(),
            member_email: self.session.member.email.clone(),
            role: self.session.member.role.as_str(),
            form_token: self.session.form_token.clone(),
            may_see_keys: self.session.actor().may(Action::SeeKeys).is_ok(),
            may_make_tokens: self.session.actor().may(Action::OwnTokens).is_ok(),
            here: self.here.clone(),
            files: &FILES,
            colours: self.colours.clone(),
        }
    }

    async fn find(parts: &mut Parts, app: &SharedApp) -> Result<Self, Response> {
        let session = Session::from_request_parts(parts, app).await?;
        let path = Path::<HashMap<String, String>>::from_request_parts(parts, app)
            .await
            .map_err(|_| Trouble::not_found("this address cannot be read").into_response())?;
        let key = |name: &str| path.get(name).map(String::as_str).unwrap_or_default();
        let (project_key, environment_key) = (key("project"), key("environment"));
        let everywhere = app.live.all();
        let found = everywhere.iter().find(|live| {
            let about = live.about();
            about.project.key == project_key && about.environment.key == environment_key
        });
        let live = found.cloned().ok_or_else(|| {
            let message = format!("there is no environment `{environment_key}` in a project `{project_key}`");
            Trouble::not_found(message).into_response()
        })?;
        let about = live.about();
        // The same page in the other environment, as far as it can have one: flags are the project's.
        let rest = parts.uri.path().strip_prefix(&base(&about)).unwrap_or("/flags");
        let section = ["/users", "/keys"].into_iter().find(|section| rest.starts_with(section));
        let rest = section.unwrap_or(rest.trim_end_matches("/switch"));
        let switcher = choices(&everywhere, &about, rest);
        let peer = Peer::from_request_parts(parts, app).await.map_err(IntoResponse::into_response)?;
        let scheme = if peer.encrypted { "https" } else { "http" };
        Ok(Self {
            session,
            about,
            live,
            fragment: is_fragment(&parts.headers),
            now_ms: now_ms(),
            origin: format!("{scheme}://{}", host(parts)),
            theme: Theme::of(&parts.headers),
            here: parts
                .uri
                .path_and_query()
                .map_or_else(|| "/ui/".to_owned(), |here| here.as_str().to_owned()),
            switcher,
            colours: assets::colours_path(app),
        })
    }
}

fn choices(everywhere: &[Arc<LiveEnvironment>], here: &About, rest: &str) -> Vec<ProjectChoice> {
    let mut projects: Vec<(String, ProjectChoice)> = Vec::new();
    for live in everywhere {
        let about = live.about();
        let same_project = about.project.id == here.project.id;
        let choice = EnvironmentChoice {
            name: about.environment.name.clone(),
            url: format!("{}{}", base(&about), if same_project { rest } else { "/flags" }),
            colour_class: colour_class(&about.environment.colour),
            current: about.environment.id == here.environment.id,
        };
        match projects.iter_mut().find(|(key, _)| *key == about.project.key) {
            Some((_, project)) => project.environments.push(choice),
            None => {
                let project = ProjectChoice { name: about.project.name.clone(), environments: vec![choice] };
                projects.push((about.project.key.clone(), project));
            }
        }
    }
    projects.sort_by_key(|(_, project)| project.name.to_lowercase());
    projects.into_iter().map(|(_, project)| project).collect()
}

fn host(parts: &Parts) -> &str {
    parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost")
}

/// `/ui/{project}/{environment}`.
pub(super) fn base(about: &About) -> String {
    format!("/ui/{}/{}", segment(&about.project.key), segment(&about.environment.key))
}

impl Section {
    fn path(self) -> &'static str {
        match self {
            Section::Flags => "flags",
            Section::Users => "users",
            Section::Events => "events",
            Section::Keys => "keys",
            Section::Tokens => "tokens",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Section::Flags => "Flags",
            Section::Users => "Users",
            Section::Events => "Live events",
            Section::Keys => "SDK keys",
            Section::Tokens => "Access tokens",
        }
    }

    /// The section that the search in the top bar leads to.
    fn searched(self) -> Self {
        match self {
            Section::Events | Section::Keys | Section::Tokens => Section::Flags,
            other => other,
        }
    }

    fn search_label(self) -> &'static str {
        match self {
            Section::Flags | Section::Events | Section::Keys | Section::Tokens => {
                "Search flags by name, key or tag"
            }
            Section::Users => "Search users by name, e-mail or key",
        }
    }
}

impl FromRequestParts<SharedApp> for Place {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, Response> {
        Self::find(parts, app).await
    }
}
