//! `flagstaff evaluate`: what a context gets of a flag, and which clause decided.

mod words;

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use flagstaff_eval::Context;
use flagstaff_eval::explain::{Explainer, Explanation};
use flagstaff_eval::model::FlagData;
use flagstaff_service::auth::Actor;
use flagstaff_service::error::chain;
use flagstaff_service::management::transfer::{self, Document, Kept, Scope};

use crate::export::WHERE_FROM;
use crate::remote::{Network, stream_once};
use crate::{Failure, document, one_thread, options, print};

/// So many flags are named where another is asked for.
const FEW: usize = 20;

/// Options of `flagstaff evaluate`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("flags").args(["file", "url"])))]
pub(crate) struct Evaluate {
    /// The flag
    #[arg(value_name = "FLAG")]
    flag: String,
    /// The context, as JSON: {"kind": "user", "key": "ann", "plan": "pro"}; @FILE reads it from a file
    #[arg(long, short, value_name = "JSON")]
    context: String,
    /// A file of flags: what `flagstaff export` wrote, or any that the SDK's file source reads
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// A running service, like https://flags.example; with --sdk-key
    #[arg(long, env = "FLAGSTAFF_URL", value_name = "URL", requires = "sdk_key")]
    url: Option<String>,
    /// The SDK key of the environment; others see command lines, so say it in the environment
    #[arg(long, env = "FLAGSTAFF_SDK_KEY", hide_env_values = true, value_name = "KEY")]
    sdk_key: Option<String>,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    kept: options::Kept,
    /// The project, in a file or a database that holds several
    #[arg(long, value_name = "KEY")]
    project: Option<String>,
    /// The environment, in a file or a database that holds several
    #[arg(long, value_name = "KEY")]
    environment: Option<String>,
    /// Print everything as JSON, for programs
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: Evaluate) -> Result<(), Failure> {
    let context = context(&options.context)?;
    let explainer = Explainer::new(one_thread(data(&options))?);
    let explanation =
        explainer.explain(&options.flag, &context).ok_or_else(|| unknown(&options.flag, &explainer))?;
    print(&if options.json { json(&explanation) } else { words::tell(&explanation) })
}

fn json(explanation: &Explanation) -> String {
    let mut text = serde_json::to_string_pretty(explanation)
        .unwrap_or_else(|error| unreachable!("an explanation has JSON: {error}"));
    text.push('\n');
    text
}

fn context(said: &str) -> Result<Context, Failure> {
    let text = match said.strip_prefix('@') {
        None => said.to_owned(),
        Some(path) => {
            std::fs::read_to_string(path).map_err(|error| format!("could not read `{path}`: {error}"))?
        }
    };
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|error| {
        format!(r#"the context is not JSON, like {{"kind": "user", "key": "ann"}}: {error}"#)
    })?;
    Context::from_json(&json).map_err(|error| format!("this is not a context: {error}"))
}

async fn data(options: &Evaluate) -> Result<FlagData, Failure> {
    if let Some(path) = &options.file {
        return chosen(options, document::read(path, false)?);
    }
    if let (Some(url), Some(sdk_key)) = (&options.url, &options.sdk_key) {
        if options.kept.is_named() {
            return Err(WHERE_FROM.to_owned());
        }
        if options.project.is_some() || options.environment.is_some() {
            return Err("an SDK key is of one environment; leave --project and --environment out".to_owned());
        }
        return stream_once(url, sdk_key, &options.network).await;
    }
    let (config, _) = options.kept.clone().resolve()?;
    let kept = Kept::to_read(&config).await.map_err(|error| chain(&error))?;
    let scope = Scope {
        project_key: options.project.as_deref(),
        environment_key: options.environment.as_deref(),
        with_keys: false,
    };
    let document = transfer::export(&kept.store, &Actor::system(), scope).await;
    kept.store.close().await;
    chosen(options, document.map_err(|error| chain(&error))?)
}

/// The flags of the environment that is meant, of those in a document.
fn chosen(options: &Evaluate, document: Document) -> Result<FlagData, Failure> {
    let Some(known) = document.environments() else {
        return match options.project.as_ref().or(options.environment.as_ref()) {
            None => Ok(document::data(document.data)),
            Some(_) => Err("the file does not say of which environment its flags are; leave --project and \
                            --environment out"
                .to_owned()),
        };
    };
    let is_meant = |wanted: &Option<String>, key: &str| wanted.as_deref().is_none_or(|wanted| wanted == key);
    let names: Vec<_> = known.iter().map(|(project, part, _)| format!("{project}/{}", part.key)).collect();
    let meant: Vec<_> = known
        .iter()
        .filter(|(project, part, _)| {
            is_meant(&options.project, project) && is_meant(&options.environment, &part.key)
        })
        .collect();
    match meant[..] {
        [(_, _, items)] => Ok(document::data((*items).clone())),
        [] => Err(format!("there is no such environment; there are {}", names.join(", "))),
        _ => Err(format!(
            "there are several environments: {}; name one with --project and --environment",
            names.join(", ")
        )),
    }
}

fn unknown(key: &str, explainer: &Explainer) -> Failure {
    let mut known: Vec<_> = explainer.data().flags().map(|flag| flag.key()).collect();
    known.sort_unstable();
    let shown = key.escape_debug();
    // What was meant is most likely misspelt a little.
    let lower = key.to_lowercase();
    let near = known.iter().find(|known| {
        let known = known.to_lowercase();
        known.contains(&lower) || lower.contains(&known)
    });
    match (near, known.len()) {
        (Some(near), _) => format!("there is no flag `{shown}`; there is `{near}`"),
        (None, 1..=FEW) => format!("there is no flag `{shown}`; there are {}", known.join(", ")),
        (None, count) => format!("there is no flag `{shown}` among the {count} of this environment"),
    }
}
