//! The one executable.
//!
//! Exit codes: 0 done, 1 it could not be done (one line on stderr says why), 2 the command line is
//! wrong. Only what a command is asked for goes to stdout; logs go to stderr.

mod alternatives;
mod archive;
mod document;
mod evaluate;
mod export;
mod flag;
mod import;
mod logging;
mod notify;
mod options;
mod owner_link;
mod process;
mod relay;
mod remote;
mod serve;
mod upkeep;

use std::io::Write as _;
use std::process::ExitCode;

use clap::builder::Resettable;
use clap::{CommandFactory, FromArgMatches as _, Parser, Subcommand};

/// Feature flags you host yourself
#[derive(Debug, Parser)]
#[command(name = "flagstaff", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service
    Serve(options::Serve),
    /// Serve environments of another service on, and forward what SDKs report
    Relay(Box<relay::Options>),
    /// Write what a service has to a file that relays serve without one
    Archive(archive::Archive),
    /// Make a one-time link with which the owner signs in and sets a password
    OwnerLink(options::OwnerLink),
    /// Write everything the service keeps to one file, also while it runs
    Backup(options::Backup),
    /// Restore such a file into an empty data folder or database, of either engine
    Restore(options::Backup),
    /// Look for damage in what the service keeps, also while it runs
    Check(options::Check),
    /// Bring the database up to date, which a start does by itself, too
    Migrate(options::Kept),
    /// List, make, switch and delete flags of a running service
    Flag(flag::Flag),
    /// Say what a context gets of a flag, and which clause decided
    Evaluate(evaluate::Evaluate),
    /// Take flags and segments in: from a file, or from another service
    Import(Box<import::Import>),
    /// Write flags and segments to one file, for import, for SDKs and for evaluate
    Export(export::Export),
    /// Print the version
    Version,
    /// Print a script that completes commands in a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// Why a command failed, with everything behind it, in one line.
type Failure = String;

fn main() -> ExitCode {
    let done = match parse().command {
        Command::Serve(options) => serve::run(options),
        Command::Relay(options) => relay::run(*options),
        Command::Archive(options) => archive::run(options),
        Command::OwnerLink(options) => owner_link::run(options),
        Command::Backup(options) => upkeep::backup(options),
        Command::Restore(options) => upkeep::restore(options),
        Command::Check(options) => upkeep::check(options),
        Command::Migrate(options) => upkeep::migrate(options),
        Command::Flag(options) => flag::run(options),
        Command::Evaluate(options) => evaluate::run(options),
        Command::Import(options) => import::run(*options),
        Command::Export(options) => export::run(options),
        Command::Version => print(&format!("flagstaff {}\n", env!("CARGO_PKG_VERSION"))),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "flagstaff", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "flagstaff: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Reads the command line and the environment. A variable that is empty is as good as none: so it can be unset where
/// others have set it, as templates of containers and units do.
fn parse() -> Cli {
    let command = without_empty_variables(Cli::command());
    let matches = alternatives::without_outdone_variables(command).get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

fn without_empty_variables(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|option| {
        let is_empty = option.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
        if is_empty { option.env(Resettable::Reset) } else { option }
    });
    command.mut_subcommands(without_empty_variables)
}

/// Does what waits for others, on this thread.
fn one_thread<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("could not start: {error}"))?;
    let done = runtime.block_on(work);
    // A look-up of a name that never ends is not waited for.
    runtime.shutdown_background();
    done
}

/// Prints to stdout; a reader that is gone is no failure of ours.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(format!("could not print: {error}"))
        }
        _ => Ok(()),
    }
}
