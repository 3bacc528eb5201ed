//! Which environments a policy lets a relay serve.
//!
//! A statement names environments as `proj/KEY:env/KEY`. A `*` stands for anything; after a `;` come tags, all of
//! which it needs: `proj/*:env/production;critical,eu`. Whatever one statement denies is not served, whatever the
//! others say.

use super::super::ChangeError;
use crate::store::environment::Environment;
use crate::store::project::Project;
use crate::store::relay_auto_config::{Effect, Statement};

/// Refuses what cannot be understood.
pub(super) fn check(policy: &[Statement]) -> Result<(), ChangeError> {
    if policy.is_empty() {
        let problem = "at least one statement is needed, \
             like {\"effect\": \"allow\", \"actions\": [\"*\"], \"resources\": [\"proj/*:env/*\"]}";
        return Err(ChangeError::invalid("policy", problem));
    }
    for (place, statement) in policy.iter().enumerate() {
        check_statement(&format!("policy[{place}]"), statement)?;
    }
    Ok(())
}

/// Whether a relay serves this environment.
pub(crate) fn allows(policy: &[Statement], project: &Project, environment: &Environment) -> bool {
    let says = |effect| {
        let mut statements = policy.iter().filter(|statement| statement.effect == effect);
        statements.any(|statement| is_about(statement, project, environment))
    };
    says(Effect::Allow) && !says(Effect::Deny)
}

fn is_about(statement: &Statement, project: &Project, environment: &Environment) -> bool {
    let names = |resource: &String| {
        resource.split_once(':').is_some_and(|(of_project, of_environment)| {
            is_named(of_project, "proj/", &project.key, &project.tags)
                && is_named(of_environment, "env/", &environment.key, &environment.tags)
        })
    };
    if statement.not_resources.is_empty() {
        statement.resources.iter().any(names)
    } else {
        !statement.not_resources.iter().any(names)
    }
}

fn is_named(specifier: &str, prefix: &str, key: &str, tags: &[String]) -> bool {
    let Some(specifier) = specifier.strip_prefix(prefix) else { return false };
    let (pattern, needed) = specifier.split_once(';').unwrap_or((specifier, ""));
    let mut needed = needed.split(',').filter(|tag| !tag.is_empty());
    matches(pattern, key) && needed.all(|pattern| tags.iter().any(|tag| matches(pattern, tag)))
}

/// Whether a text is what a pattern says, where `*` stands for any characters.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        let Some(place) = rest.find(piece) else { return false };
        rest = &rest[place + piece.len()..];
    }
    rest.ends_with(last)
}

fn check_statement(place: &str, statement: &Statement) -> Result<(), ChangeError> {
    let Statement { actions, not_actions, resources, not_resources, .. } = statement;
    if !not_actions.is_empty() || actions.iter().any(|action| action != "*") {
        let problem = "a relay is let in on an environment whole or not at all; give \"actions\": [\"*\"]";
        return Err(ChangeError::invalid(format!("{place}.actions"), problem));
    }
    if resources.is_empty() == not_resources.is_empty() {
        let problem = "give either `resources` or `notResources`, like [\"proj/*:env/*\"]";
        return Err(ChangeError::invalid(format!("{place}.resources"), problem));
    }
    for resource in resources.iter().chain(not_resources) {
        let understood = resource.split_once(':').is_some_and(|(of_project, of_environment)| {
            is_specifier(of_project, "proj/") && is_specifier(of_environment, "env/")
        });
        if !understood {
            let shown = resource.escape_debug();
            let problem = format!(
                "`{shown}` names no environments; write `proj/KEY:env/KEY`, with `*` for anything and tags after a `;`"
            );
            return Err(ChangeError::invalid(format!("{place}.resources"), problem));
        }
    }
    Ok(())
}

fn is_specifier(text: &str, prefix: &str) -> bool {
    let plain = |text: &str| {
        let mut bytes = text.bytes();
        bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'*'))
    };
    let Some(specifier) = text.strip_prefix(prefix) else { return false };
    let (pattern, tags) = specifier.split_once(';').unwrap_or((specifier, "*"));
    let is_tag = |tag: &str| !tag.is_empty() && !tag.contains(['{', '}', ';', ':', '/', '$']);
    !pattern.is_empty() && plain(pattern) && tags.split(',').all(is_tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("*", "production", true),
            ("production", "production", true),
            ("production", "production-2", false),
            ("prod*", "production", true),
            ("*tion", "production", true),
            ("p*d*n", "production", true),
            ("*a*", "banana", true),
            ("ana*ana", "ana", false),
            ("ana*ana", "anana", false),
            ("ana*ana", "anaana", true),
            ("a**b", "ab", true),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn tags_are_needed_all_of_them() {
        let tags = ["eu".to_owned(), "team:web".to_owned()];
        for (specifier, named) in [
            ("env/*", true),
            ("env/*;eu", true),
            ("env/*;eu,team*", true),
            ("env/*;us", false),
            ("env/*;eu,us", false),
            ("env/other;eu", false),
            ("proj/*", false),
        ] {
            assert_eq!(is_named(specifier, "env/", "production", &tags), named, "{specifier}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        let statement =
            |resource: &str| Statement { resources: vec![resource.to_owned()], ..Statement::default() };
        for fine in ["proj/*:env/*", "proj/demo:env/production", "proj/a*;x:env/*;y,z"] {
            assert!(check(&[statement(fine)]).is_ok(), "{fine}");
        }
        for other in [
            "",
            "*",
            "proj/*",
            "proj/*:flag/*",
            "env/*:proj/*",
            "proj/:env/*",
            "proj/*:env/*:flag/*",
            "proj/*:env/*;",
            "proj/*:env/*;{critical:true}",
        ] {
            let said = check(&[statement(other)]).expect_err(other).to_string();
            assert!(said.contains("policy[0].resources: "), "{said}");
        }
        assert!(check(&[]).is_err());
        let both = Statement { not_resources: vec!["proj/*:env/x".to_owned()], ..statement("proj/*:env/*") };
        assert!(check(&[both]).is_err());
        let part = Statement { actions: vec!["read".to_owned()], ..statement("proj/*:env/*") };
        assert!(check(&[part]).is_err());
    }
}
