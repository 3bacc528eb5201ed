//! `flagstaff flag`: flags of a running service, one by one.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use crate::remote::{Api, Remote, SEMANTIC, part};
use crate::{Failure, one_thread, print};

/// How many flags are asked for at a time.
const PAGE: usize = 100;

/// Options of `flagstaff flag`.
#[derive(Debug, Args)]
pub(crate) struct Flag {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the flags of a project
    List {
        #[command(flatten)]
        place: Place,
        /// Only those whose key or name has this in it
        #[arg(long, value_name = "TEXT")]
        query: Option<String>,
    },
    /// Print a flag as JSON, in all environments unless one is named
    Get {
        /// The flag
        flag: String,
        #[command(flatten)]
        place: Place,
    },
    /// Make a flag: true or false unless other values are given
    Create {
        /// Its stable name
        flag: String,
        #[command(flatten)]
        place: Place,
        /// What people call it [default: its key]
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// A tag; may be given several times
        #[arg(long, value_name = "TAG")]
        tag: Vec<String>,
        /// A value it can serve, as JSON, else text; give at least two. The first is served when on, the last
        /// when off
        #[arg(long, value_name = "VALUE")]
        variation: Vec<String>,
    },
    /// Turn a flag on in one environment
    On(Switch),
    /// Turn a flag off in one environment
    Off(Switch),
    /// Delete a flag in all environments
    Delete {
        /// The flag
        flag: String,
        #[command(flatten)]
        place: Place,
        /// Why, for the audit log
        #[arg(long, value_name = "TEXT")]
        comment: Option<String>,
        /// Really do it
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
struct Switch {
    /// The flag
    flag: String,
    #[command(flatten)]
    place: Place,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
}

#[derive(Debug, Args)]
struct Place {
    /// The project
    #[arg(long, env = "FLAGSTAFF_PROJECT", value_name = "KEY", default_value = "default")]
    project: String,
    /// The environment
    #[arg(long, env = "FLAGSTAFF_ENVIRONMENT", value_name = "KEY")]
    environment: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

impl Place {
    fn path(&self, flag: &str) -> String {
        format!("/api/v2/flags/{}/{}", part(&self.project), part(flag))
    }
}

pub(crate) fn run(options: Flag) -> Result<(), Failure> {
    let text = one_thread(async {
        match options.what {
            What::List { place, query } => list(&place, query.as_deref()).await,
            What::Get { flag, place } => {
                let mut path = place.path(&flag);
                path.extend(place.environment.as_ref().map(|key| format!("?env={}", part(key))));
                let shown = place.remote.api()?.get(&path).await?;
                Ok(pretty(&shown))
            }
            What::Create { flag, place, name, description, tag, variation } => {
                let body = new_flag(&flag, name, description, tag, &variation)?;
                create(&place, &flag, &body).await
            }
            What::On(switch) => turn(&switch, true).await,
            What::Off(switch) => turn(&switch, false).await,
            What::Delete { flag, place, comment, yes } => {
                delete(&place, &flag, comment.as_deref(), yes).await
            }
        }
    })?;
    print(&text)
}

async fn list(place: &Place, query: Option<&str>) -> Result<String, Failure> {
    let api = place.remote.api()?;
    let mut text = String::new();
    for flag in all(&api, place, query).await? {
        let [key, name] =
            ["key", "name"].map(|name| flag[name].as_str().unwrap_or_default().escape_debug().to_string());
        let state = match &place.environment {
            None => String::new(),
            Some(environment) => match flag["environments"][environment]["on"].as_bool() {
                Some(true) => "on   ".to_owned(),
                Some(false) => "off  ".to_owned(),
                None => "-    ".to_owned(),
            },
        };
        text.push_str(&format!("{state}{key:<40} {name}\n"));
    }
    Ok(text)
}

async fn all(api: &Api, place: &Place, query: Option<&str>) -> Result<Vec<Value>, Failure> {
    let mut flags = Vec::new();
    loop {
        let mut path =
            format!("/api/v2/flags/{}?sort=key&limit={PAGE}&offset={}", part(&place.project), flags.len());
        path.extend(place.environment.as_ref().map(|key| format!("&env={}", part(key))));
        path.extend(query.map(|query| format!("&filter=query:{}", part(query))));
        let page = api.get(&path).await?;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        let is_last = items.len() < PAGE;
        flags.extend(items);
        if is_last {
            return Ok(flags);
        }
    }
}

fn new_flag(
    key: &str,
    name: Option<String>,
    description: Option<String>,
    tags: Vec<String>,
    variations: &[String],
) -> Result<Value, Failure> {
    if variations.len() == 1 {
        return Err("one value alone decides nothing; give at least two with --variation".to_owned());
    }
    let mut body = json!({"key": key, "name": name.unwrap_or_else(|| key.to_owned()), "tags": tags});
    if let Some(description) = description {
        body["description"] = json!(description);
    }
    if !variations.is_empty() {
        // Whoever writes `--variation blue` means the text.
        let value = |text: &String| serde_json::from_str(text).unwrap_or_else(|_| json!(text));
        let variation = |text: &String| json!({"value": value(text)});
        body["variations"] = variations.iter().map(variation).collect();
    }
    Ok(body)
}

async fn create(place: &Place, key: &str, body: &Value) -> Result<String, Failure> {
    let path = format!("/api/v2/flags/{}", part(&place.project));
    let body = body.to_string().into_bytes();
    place.remote.api()?.send_json(Method::POST, &path, "application/json", body).await?;
    Ok(format!("flag {key} made in project {}, off in every environment\n", place.project))
}

async fn turn(switch: &Switch, on: bool) -> Result<String, Failure> {
    let Switch { flag, place, comment } = switch;
    let environment = place.environment.as_ref().ok_or("name the environment with --environment")?;
    let api = place.remote.api()?;
    let path = place.path(flag);
    let kind = if on { "turnFlagOn" } else { "turnFlagOff" };
    let word = if on { "on" } else { "off" };
    let before = api.get(&format!("{path}?env={}", part(environment))).await?;
    if before["environments"][environment]["on"] == json!(on) {
        return Ok(format!("flag {flag} is {word} in {environment} already\n"));
    }
    let body = json!({
        "environmentKey": environment, "comment": comment.as_deref().unwrap_or_default(),
        "instructions": [{"kind": kind}],
    });
    let after = api.send_json(Method::PATCH, &path, SEMANTIC, body.to_string().into_bytes()).await?;
    if after["environments"][environment]["on"] != json!(on) {
        return Err(format!("the service took the change, but flag {flag} is not {word} in {environment}"));
    }
    Ok(format!("flag {flag} is {word} in {environment}\n"))
}

async fn delete(place: &Place, flag: &str, comment: Option<&str>, yes: bool) -> Result<String, Failure> {
    if !yes {
        return Err(format!(
            "this deletes flag `{}` in every environment of project `{}`; say so with --yes",
            flag.escape_debug(),
            place.project.escape_debug()
        ));
    }
    let mut path = place.path(flag);
    path.extend(comment.map(|comment| format!("?comment={}", part(comment))));
    place.remote.api()?.delete(&path).await?;
    Ok(format!("flag {flag} deleted in project {}\n", place.project))
}

fn pretty(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value)
        .unwrap_or_else(|error| unreachable!("a value is JSON already: {error}"));
    text.push('\n');
    text
}
