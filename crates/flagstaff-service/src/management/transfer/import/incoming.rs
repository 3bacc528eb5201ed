//! What a document wants to be where.

use super::super::document::{Document, EnvironmentPart, FORMAT, Items, ProjectPart};
use super::Import;
use crate::management::ChangeError;

/// A project that something goes into.
#[derive(Debug)]
pub(super) struct Incoming<'d> {
    pub(super) key: &'d str,
    pub(super) part: Option<&'d ProjectPart>,
    /// Whether names and settings in the document are those of another place, or not all of them: they only serve to
    /// make one.
    pub(super) elsewhere: bool,
    pub(super) environments: Vec<IncomingEnvironment<'d>>,
}

/// An environment that something goes into.
#[derive(Clone, Copy, Debug)]
pub(super) struct IncomingEnvironment<'d> {
    pub(super) key: &'d str,
    pub(super) part: Option<&'d EnvironmentPart>,
    pub(super) items: &'d Items,
}

/// The projects and environments of a document, or the one place it is sent to.
pub(super) fn read<'d>(document: &'d Document, how: &'d Import) -> Result<Vec<Incoming<'d>>, ChangeError> {
    if let Some(section) = document.section.as_ref().filter(|section| section.format > FORMAT) {
        let problem = format!(
            "the file is of form {}, and this version reads form {FORMAT} at most; use a newer one",
            section.format
        );
        return Err(ChangeError::invalid("flagstaff.format", problem));
    }
    match (&how.target, &document.section) {
        (Some((project, environment)), _) => sent_to(document, project, environment),
        (None, Some(section)) => Ok(section
            .projects
            .iter()
            .map(|(key, part)| {
                let environments = part.environments.iter().map(|part| IncomingEnvironment {
                    key: &part.key,
                    part: Some(part),
                    items: part.data.as_ref().unwrap_or(&document.data),
                });
                Incoming {
                    key,
                    part: Some(part),
                    elsewhere: section.is_partial,
                    environments: environments.collect(),
                }
            })
            .collect()),
        (None, None) => {
            let problem = "the file does not say where it belongs; name a project and an environment";
            Err(ChangeError::invalid("environment", problem))
        }
    }
}

fn sent_to<'d>(
    document: &'d Document,
    project: &'d str,
    environment: &'d str,
) -> Result<Vec<Incoming<'d>>, ChangeError> {
    let known = document.environments().unwrap_or_default();
    if known.len() > 1 {
        let names: Vec<_> =
            known.iter().map(|(project, part, _)| format!("{project}/{}", part.key)).collect();
        let problem = format!(
            "the file holds {} environments ({}), which cannot all go into one; leave the target out to bring back \
             each, or export one of them alone",
            names.len(),
            names.join(", ")
        );
        return Err(ChangeError::invalid("environment", problem));
    }
    let part = document.section.as_ref().and_then(|section| section.projects.values().next());
    let (own, items) = match known.first() {
        Some((_, own, items)) => (Some(*own), *items),
        None => (None, &document.data),
    };
    let environments = vec![IncomingEnvironment { key: environment, part: own, items }];
    Ok(vec![Incoming { key: project, part, elsewhere: true, environments }])
}
