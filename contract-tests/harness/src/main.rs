//! Our own conformance suite for SDKs behind the contract-test interface.
//!
//! It stands in for the public harness where that cannot be installed, and its last line says so. It
//! speaks to an adapter over HTTP, as section 8 of the protocol reference says, so it does not matter
//! which language the SDK is in. What it expects are that reference's facts, and nothing else.
//!
//! | Room | What stands there |
//! |---|---|
//! | `options`, `report` | the command line, and what is printed |
//! | `suite` | groups of tests, which of them run, several at a time |
//! | `adapter` | the program under test: starting it, creating clients, giving commands |
//! | `scene` | what one test has in its hands |
//! | `mock` | services, sinks, callbacks and proxies for the SDK to talk to |
//! | `flags`, `expect` | flags in one line, and comparing what came |
//! | `stores` | databases as seen without any SDK |
//! | `sections` | the tests, in the order of the protocol reference |

mod adapter;
mod expect;
mod flags;
mod mock;
mod options;
mod report;
mod scene;
mod sections;
mod stores;
mod suite;

use std::process::ExitCode;

use clap::Parser;

use adapter::Adapter;
use options::Options;
use suite::Suite;

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&error.to_string()),
    };
    runtime.block_on(async {
        let mut suite = Suite::default();
        if let Err(error) = sections::add_all(&mut suite) {
            return refuse(&error);
        }
        if options.list {
            report::list(&suite);
            return ExitCode::SUCCESS;
        }
        stores::listen_at(&options);
        let adapter = match Adapter::start(&options).await {
            Ok(adapter) => adapter,
            Err(error) => return refuse(&error),
        };
        report::introduce(&adapter);
        let outcomes = suite.run(&adapter, &options).await;
        adapter.quit().await;
        if report::summary(&outcomes, &options.stand_in) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    })
}

fn refuse(why: &str) -> ExitCode {
    report::problem(why);
    ExitCode::from(2)
}
