//! Options that stand for each other. What is said on the command line counts, whatever the environment says of the
//! others: `evaluate --file` reads the file, also where `FLAGSTAFF_URL` names a service.

use clap::Command;
use clap::builder::Resettable;
use clap::parser::ValueSource;

const KEPT: &[&str] = &["data", "database_url", "config"];

/// Commands, and options of theirs of which only one set can count.
const ALTERNATIVES: [(&str, &[&[&str]]); 5] = [
    ("evaluate", &[&["file"], &["url"], KEPT]),
    ("export", &[&["url"], KEPT]),
    ("export", &[&["token"], &["sdk_key"]]),
    ("import", &[&["file"], &["from_sdk_key"], &["from_token"]]),
    ("import", &[&["url"], KEPT]),
];

/// The command without the variables that the command line has something else for.
pub(crate) fn without_outdone_variables(mut command: Command) -> Command {
    // What is wrong with it is said when it is read for good.
    let Ok(seen) = command.clone().ignore_errors(true).try_get_matches() else { return command };
    let Some((name, said)) = seen.subcommand() else { return command };
    for (_, sets) in ALTERNATIVES.iter().filter(|(of, _)| *of == name) {
        let is_said =
            |set: &&&[&str]| set.iter().any(|id| said.value_source(id) == Some(ValueSource::CommandLine));
        if !sets.iter().any(|set| is_said(&set)) {
            continue;
        }
        for id in sets.iter().filter(|set| !is_said(set)).flat_map(|set| set.iter()) {
            command = command
                .mut_subcommand(name, |command| command.mut_arg(id, |option| option.env(Resettable::Reset)));
        }
    }
    command
}
