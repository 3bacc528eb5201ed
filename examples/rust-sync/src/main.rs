//! Decides for a list of customers with Flagstaff's Rust SDK: no async, no runtime, no other crate.
//!
//! The arguments are `CUSTOMER:PLAN`. For each, it prints the banner that the flag `shipping-banner`
//! gives the customer, and why. The service is named by FLAGSTAFF_URL, its key by FLAGSTAFF_SDK_KEY.

use std::error::Error;
use std::time::Duration;

use flagstaff_sdk::{Client, Config, Context, Value};

fn main() -> Result<(), Box<dyn Error>> {
    let setting = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let config = Config::new(setting("FLAGSTAFF_SDK_KEY", "sdk-demo-production"))
        .base_uri(setting("FLAGSTAFF_URL", "http://127.0.0.1:8030"))
        .application_id("shipping-letters");
    let mut customers: Vec<String> = std::env::args().skip(1).collect();
    if customers.is_empty() {
        customers = ["maria:pro", "ola:free", "grace:business"].map(str::to_owned).to_vec();
    }

    let client = Client::start(config)?;
    if !client.wait_until_ready(Duration::from_secs(5)) {
        // No reason to stop: `variation` gives defaults until flags come.
        let status = client.data_source_status();
        let why =
            status.last_error.map_or("the service has not answered yet".to_owned(), |error| error.message);
        eprintln!("no flags, so defaults are printed: {why}");
    }

    for customer in &customers {
        let (key, plan) = customer.split_once(':').unwrap_or((customer, "free"));
        let context = Context::builder(key).set("plan", plan).build()?;
        let banner = client.variation_detail("shipping-banner", &context, "none");
        println!("{key}: {} ({})", banner.value, banner.reason.kind.as_str());
        client.track("letter-printed", &context, Value::Null, None);
    }

    // Without this, what was counted in the last seconds would be lost with the process.
    if !client.flush_and_wait(Duration::from_secs(5)) {
        eprintln!("the last evaluations could not be reported in time");
    }
    client.close();
    Ok(())
}
