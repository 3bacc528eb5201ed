//! The command line.

use clap::Parser;

/// Runs Flagstaff's own conformance suite against an SDK's contract-test service.
///
/// It stands in for the public contract-test harness where that cannot be installed.
#[derive(Parser)]
#[command(name = "conformance", max_term_width = 110)]
pub(crate) struct Options {
    /// Where the contract-test service listens
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9000", conflicts_with = "command")]
    pub(crate) url: String,

    /// Starts the contract-test service with this command (by `sh -c`, with PORT=0 in its environment);
    /// the first line it prints must be `listening on URL`
    #[arg(long, value_name = "COMMAND")]
    pub(crate) command: Option<String>,

    /// Runs only the tests whose group and name contain this
    #[arg(long, value_name = "PATTERN")]
    pub(crate) run: Option<String>,

    /// Runs the tests that need Redis, Consul and DynamoDB
    #[arg(long)]
    pub(crate) enable_persistence_tests: bool,

    /// Where Redis listens
    #[arg(long, value_name = "URL", default_value = "redis://localhost:6379")]
    pub(crate) redis: String,

    /// Where Consul listens
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:8500")]
    pub(crate) consul: String,

    /// Where DynamoDB listens
    #[arg(long, value_name = "URL", default_value = "http://localhost:8000")]
    pub(crate) dynamodb: String,

    /// Runs the tests that wait for more than ten seconds
    #[arg(long)]
    pub(crate) enable_long_running_tests: bool,

    /// Names a database that is not the real thing, for the summary; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) stand_in: Vec<String>,

    /// How many tests run at a time
    #[arg(long, value_name = "NUMBER", default_value_t = 16)]
    pub(crate) parallel: usize,

    /// Lists the tests and runs none
    #[arg(long)]
    pub(crate) list: bool,

    /// Names each test as it ends
    #[arg(long, short)]
    pub(crate) verbose: bool,
}
