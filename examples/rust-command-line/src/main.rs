//! Evaluates one flag for one context with Flagstaff's Rust SDK, for scripts.
//!
//! Prints the value as JSON, and the reason on the line after it. Ends with 0; with 1 if there is no
//! answer, which it explains on standard error; with 2 if the arguments cannot be read. The service is
//! named by FLAGSTAFF_URL, its key by FLAGSTAFF_SDK_KEY.

use std::process::ExitCode;
use std::time::Duration;

use flagstaff_sdk::{Client, Config, Context, ErrorKind, Value};

const USAGE: &str = r#"usage: flagstaff-example-command-line FLAG CONTEXT
CONTEXT is JSON, as {"kind":"user","key":"maria","plan":"pro"}, or a user's key alone"#;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [flag, context] = arguments.as_slice() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let context = match read_context(context) {
        Ok(context) => context,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match evaluate(flag, &context) {
        Ok((value, reason)) => {
            println!("{value}\n{reason}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(1)
        }
    }
}

fn read_context(text: &str) -> Result<Context, String> {
    let read = if text.trim_start().starts_with('{') { text.parse() } else { Context::from_key(text) };
    read.map_err(|error| format!("`{text}` is no context: {error}"))
}

/// The value and the reason, or why there is no answer.
fn evaluate(flag: &str, context: &Context) -> Result<(Value, String), String> {
    let setting = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let url = setting("FLAGSTAFF_URL", "http://127.0.0.1:8030");
    // Whoever looks a value up is no user who got it: nothing is counted.
    let config =
        Config::new(setting("FLAGSTAFF_SDK_KEY", "sdk-demo-production")).base_uri(&url).send_events(false);
    let client = Client::start(config).map_err(|error| error.to_string())?;
    if !client.wait_until_ready(Duration::from_secs(5)) {
        let error = client.data_source_status().last_error;
        let why = error.map_or("no answer within 5 seconds".to_owned(), |error| error.message);
        return Err(format!("no flags from {url}: {why}"));
    }

    let detail = client.variation_detail(flag, context, Value::Null);
    match detail.reason.error_kind() {
        Some(ErrorKind::FlagNotFound) => Err(format!("there is no flag `{flag}`")),
        Some(kind) => Err(format!("flag `{flag}` has no answer: {}", kind.as_str())),
        None => {
            let reason = serde_json::to_string(&detail.reason).map_err(|error| error.to_string())?;
            Ok((detail.value, reason))
        }
    }
}
