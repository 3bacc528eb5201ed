//! Watches one flag with Flagstaff's Rust SDK.
//!
//! Prints `value <JSON>` at the start and each time the value changes, and `evaluated <count>` at the
//! end. Stops after RUN_SECONDS, or at Ctrl-C. The flag is named by the first argument or FLAG_KEY,
//! the service by FLAGSTAFF_URL, its key by FLAGSTAFF_SDK_KEY.

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use flagstaff_sdk::{Client, Config, Context, Value};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until, timeout};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let setting = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let url = setting("FLAGSTAFF_URL", "http://127.0.0.1:8030");
    let sdk_key = setting("FLAGSTAFF_SDK_KEY", "sdk-demo-production");
    let flag_key = std::env::args().nth(1).unwrap_or_else(|| setting("FLAG_KEY", "checkout-redesign"));
    let ends = match std::env::var("RUN_SECONDS") {
        Ok(seconds) => Some(Instant::now() + Duration::try_from_secs_f64(seconds.parse()?)?),
        Err(_) => None,
    };

    // Before anything is printed: who reads it may end the program at once, and what was counted is sent.
    let stop = told_to_end(ends)?;

    let client = Client::start(Config::new(sdk_key).base_uri(&url))?;
    if !timeout(Duration::from_secs(5), client.ready()).await.unwrap_or(false) {
        eprintln!("no flags from {url} yet: is the service running? Still trying.");
    }
    let user = Context::builder("rust-sdk-user")
        .set("email", "rust-sdk@example.com")
        .name("Rust Example")
        .build()?;

    let mut evaluated = 0;
    tokio::select! {
        () = watch(&client, &flag_key, &user, &mut evaluated) => {}
        () = stop => {}
    }

    client.close(); // Sends what has been counted.
    println!("evaluated {evaluated}");
    Ok(())
}

/// Evaluates afresh each time, as a program does on every request.
async fn watch(client: &Client, flag_key: &str, user: &Context, evaluated: &mut u64) {
    let mut shown = None;
    loop {
        let value = client.variation(flag_key, user, Value::from("no value"));
        *evaluated += 1;
        if shown.as_ref() != Some(&value) {
            // Without a reader there is nobody to show it to.
            if writeln!(std::io::stdout(), "value {value}").is_err() {
                return;
            }
            shown = Some(value);
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// Until the time is up, or the program is told to end; signals count from this call on.
fn told_to_end(ends: Option<Instant>) -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let time_is_up = async move {
        match ends {
            Some(ends) => sleep_until(ends).await,
            None => std::future::pending().await,
        }
    };
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
            () = time_is_up => {}
        }
    })
}
