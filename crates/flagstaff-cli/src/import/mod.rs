//! `flagstaff import`: from a file, from what an SDK gets elsewhere, or from a REST API, into a service that
//! runs or into what one keeps.

mod rest;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};
use flagstaff_service::auth::Actor;
use flagstaff_service::error::chain;
use flagstaff_service::management::transfer::{
    self, Document, Import as How, Kept, OnConflict, Outcome, Report, ReportItem,
};
use flagstaff_wire::paths;
use reqwest::Method;

use crate::export::WHERE_FROM;
use crate::remote::{Remote, part, stream_once};
use crate::{Failure, document, one_thread, options, print};

/// How long a service may take to take everything in.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// Options of `flagstaff import`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("source").required(true).args(["file", "from_sdk_key", "from_token"])))]
pub(crate) struct Import {
    /// A file: what `flagstaff export` or `flagstaff archive` wrote, or any that the SDK's file source reads, in JSON
    /// or YAML; `-` is standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The SDK key of an environment elsewhere: everything that decides evaluations, to the last salt
    #[arg(long, env = "FLAGSTAFF_FROM_SDK_KEY", hide_env_values = true, value_name = "KEY")]
    from_sdk_key: Option<String>,
    /// An access token elsewhere: projects and environments too, and what people called everything
    #[arg(long, env = "FLAGSTAFF_FROM_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    from_token: Option<String>,
    /// The service elsewhere [default: LaunchDarkly's]
    #[arg(long, env = "FLAGSTAFF_FROM", value_name = "URL")]
    from: Option<String>,
    /// Where its streams are, if elsewhere [default: that of --from, or LaunchDarkly's]
    #[arg(long, value_name = "URL")]
    stream_url: Option<String>,
    /// With --from-token: only this project
    #[arg(long, value_name = "KEY", requires = "from_token")]
    from_project: Option<String>,
    /// With --from-token: only this environment
    #[arg(long, value_name = "KEY", requires = "from_token")]
    from_environment: Option<String>,
    /// With --from-token or an archive: take over the keys that SDKs come with, for environments that are made
    #[arg(long)]
    keys: bool,
    /// The project everything goes into [default: the one it comes from]
    #[arg(long, value_name = "KEY", requires = "environment")]
    project: Option<String>,
    /// The environment everything goes into [default: the one it comes from]
    #[arg(long, value_name = "KEY", requires = "project")]
    environment: Option<String>,
    /// What happens to what is here already and is not the same
    #[arg(long, value_enum, default_value_t = Conflict::Fail, value_name = "WHAT")]
    on_conflict: Conflict,
    /// Say what would happen, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Take the rest when some of it is refused; otherwise nothing is saved then
    #[arg(long)]
    partial: bool,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    kept: options::Kept,
}

/// As [`OnConflict`].
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Conflict {
    /// It is refused
    Fail,
    /// What is here stays
    Skip,
    /// What comes takes its place, at a greater version
    Replace,
}

impl Conflict {
    fn as_rule(self) -> OnConflict {
        match self {
            Conflict::Fail => OnConflict::Fail,
            Conflict::Skip => OnConflict::Skip,
            Conflict::Replace => OnConflict::Replace,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Conflict::Fail => "fail",
            Conflict::Skip => "skip",
            Conflict::Replace => "replace",
        }
    }
}

pub(crate) fn run(options: Import) -> Result<(), Failure> {
    let (report, notes) = one_thread(import(&options))?;
    let mut text = String::new();
    for note in notes.iter().chain(&report.notes) {
        text.push_str(&format!("note: {note}\n"));
    }
    let shown = |item: &&ReportItem| {
        item.outcome == Outcome::Refused
            || (options.dry_run && matches!(item.outcome, Outcome::Created | Outcome::Replaced))
    };
    for item in report.items.iter().filter(shown) {
        text.push_str(&line(item, options.dry_run));
    }
    text.push_str(&summary(&report, options.dry_run));
    print(&text)?;
    match report.count(Outcome::Refused) {
        0 => Ok(()),
        count if report.saved => Err(format!("{count} refused, the rest is saved")),
        count if options.dry_run => Err(format!("{count} would be refused")),
        count => Err(format!("{count} refused, so nothing is saved; with --partial the rest would be")),
    }
}

async fn import(options: &Import) -> Result<(Report, Vec<String>), Failure> {
    if options.remote.url.is_some() && options.kept.is_named() {
        return Err(WHERE_FROM.to_owned());
    }
    let (document, notes) = source(options).await?;
    let how = How {
        target: options.project.clone().zip(options.environment.clone()),
        on_conflict: options.on_conflict.as_rule(),
        dry_run: options.dry_run,
        partial: options.partial,
        comment: options.comment.clone().unwrap_or_else(|| format!("Imported {}", origin(options))),
    };
    if how.target.is_none() && document.section.is_none() {
        return Err(format!(
            "what comes {} does not say where it belongs; name the project and the environment it goes into with --project and \
             --environment",
            origin(options)
        ));
    }
    let report = match options.remote.url {
        Some(_) => into_service(options, &document, &how).await?,
        None => {
            let (config, _) = options.kept.clone().resolve()?;
            let kept = Kept::to_write(&config).await.map_err(|error| chain(&error))?;
            let report = transfer::import(&kept.store, &Actor::system(), &document, &how).await;
            kept.store.close().await;
            report.map_err(|error| chain(&error))?
        }
    };
    Ok((report, notes))
}

/// Where it comes from, in words and without secrets.
fn origin(options: &Import) -> String {
    match (&options.file, &options.from_sdk_key) {
        (Some(file), _) => format!("from the file `{}`", file.display()),
        (None, Some(_)) => format!("from the stream of {}", stream_url(options)),
        (None, None) => format!("from {}", from(options)),
    }
}

fn from(options: &Import) -> &str {
    options.from.as_deref().unwrap_or(paths::DEFAULT_POLL_BASE)
}

fn stream_url(options: &Import) -> &str {
    options.stream_url.as_deref().or(options.from.as_deref()).unwrap_or(paths::DEFAULT_STREAM_BASE)
}

async fn source(options: &Import) -> Result<(Document, Vec<String>), Failure> {
    if let Some(file) = &options.file {
        return Ok((document::read(file, options.keys)?, Vec::new()));
    }
    if let Some(sdk_key) = &options.from_sdk_key {
        let data = stream_once(stream_url(options), sdk_key, &options.remote.network).await?;
        return Ok((Document { data: document::items(data), section: None }, Vec::new()));
    }
    let source = rest::Source {
        url: from(options),
        stream_url: stream_url(options),
        token: options.from_token.as_deref().unwrap_or_default(),
        project: options.from_project.as_deref(),
        environment: options.from_environment.as_deref(),
        with_keys: options.keys,
    };
    source.read(&options.remote.network).await
}

async fn into_service(options: &Import, document: &Document, how: &How) -> Result<Report, Failure> {
    let api = options.remote.api()?.with_patience(PATIENCE);
    let mut path = "/api/v2/import".to_owned();
    if let Some((project, environment)) = &how.target {
        path.push_str(&format!("/{}/{}", part(project), part(environment)));
    }
    path.push_str(&format!(
        "?onConflict={}&dryRun={}&partial={}&comment={}",
        options.on_conflict.as_str(),
        how.dry_run,
        how.partial,
        part(&how.comment)
    ));
    let body = document.to_text().into_bytes();
    let answer = api.send_json(Method::POST, &path, "application/json", body).await.map_err(|refused| {
        let doubt = match refused.status {
            None if !how.dry_run => {
                "; whether it was saved is not known: --dry-run says what is there already"
            }
            _ => "",
        };
        refused.message + doubt
    })?;
    serde_json::from_value(answer).map_err(|error| format!("the service did not answer as expected: {error}"))
}

fn line(item: &ReportItem, dry_run: bool) -> String {
    let place = match &item.environment {
        Some(environment) => format!("{}/{environment}", item.project),
        None => item.project.clone(),
    };
    let done = match item.outcome {
        Outcome::Created if dry_run => "would be made",
        Outcome::Replaced if dry_run => "would be replaced",
        Outcome::Created => "made",
        Outcome::Replaced => "replaced",
        Outcome::Unchanged => "unchanged",
        Outcome::Skipped => "skipped",
        Outcome::Refused => "refused",
    };
    let reason = item.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{} {} in {place} {done}{reason}\n", item.kind, item.key.escape_debug())
}

fn summary(report: &Report, dry_run: bool) -> String {
    let outcomes = [
        (Outcome::Created, "made"),
        (Outcome::Replaced, "replaced"),
        (Outcome::Unchanged, "unchanged"),
        (Outcome::Skipped, "skipped"),
        (Outcome::Refused, "refused"),
    ];
    let counts = outcomes.map(|(outcome, word)| {
        let of = |kind: &str| {
            let items = report.items.iter();
            items.filter(|item| item.outcome == outcome && item.kind == kind).count()
        };
        let (flags, segments) = (of("flag"), of("segment"));
        let others = report.count(outcome) - flags - segments;
        format!("{word} {flags} flags, {segments} segments, {others} others")
    });
    let saved = match (report.saved, dry_run) {
        (true, _) => "saved",
        (false, true) => "tried, not saved",
        (false, false) => "not saved",
    };
    format!("{saved}: {}\n", counts.join("; "))
}
