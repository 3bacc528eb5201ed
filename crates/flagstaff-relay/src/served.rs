//! Environments that a relay is told of while it runs, as it serves them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use flagstaff_sdk::DataSource;
use flagstaff_service::config::Origin;
use flagstaff_service::store::environment::ExpiringKey;
use flagstaff_wire::relay::{Configuration, ConfigurationMessage, RelayedEnvironment};

use crate::config::{Environment, Names};

/// What stands for an environment's ID in a template.
const ID: &str = "$CID";

/// How environments are served that the relay is told of while it runs.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Template {
    /// What their keys in the database begin with; `$CID` stands for the environment's ID.
    pub prefix: Option<String>,
    /// Their tables in DynamoDB, in the same way.
    pub table: Option<String>,
    /// The origins whose pages may read what browsers ask for, if not those of the whole relay.
    pub allowed_origins: Vec<Origin>,
    /// Headers that pages may send, beside those of SDKs.
    pub allowed_headers: Vec<String>,
}

/// The environments that a relay was told of.
pub(crate) struct Served {
    template: Template,
    now: Configuration,
    /// Where their flags come from, if not from upstream.
    sources: HashMap<String, Arc<dyn DataSource>>,
    /// The versions at which environments and filters went, so that older news of them stays dead.
    gone: HashMap<String, u64>,
}

/// Without secrets.
impl fmt::Debug for Served {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Served")
            .field("environments", &self.now.environments.len())
            .finish_non_exhaustive()
    }
}

impl Served {
    /// None, so far.
    pub(crate) fn by(template: Template) -> Self {
        Self { template, now: Configuration::default(), sources: HashMap::new(), gone: HashMap::new() }
    }

    /// What it was told.
    pub(crate) fn configuration(&self) -> &Configuration {
        &self.now
    }

    /// From now on there are these, whatever was said before.
    pub(crate) fn replace(&mut self, configuration: Configuration) {
        self.gone.clear();
        self.now = configuration;
    }

    /// From now on there are these, with flags from elsewhere.
    pub(crate) fn replace_all(
        &mut self,
        environments: Vec<RelayedEnvironment>,
        source: impl Fn(&str) -> Option<Arc<dyn DataSource>>,
    ) {
        let environments = environments.into_iter().map(|environment| (environment.id.clone(), environment));
        let environments: BTreeMap<_, _> = environments.collect();
        self.sources = environments.keys().filter_map(|id| Some((id.clone(), source(id)?))).collect();
        self.replace(Configuration { environments, filters: BTreeMap::new() });
    }

    /// Takes over what is newer. Gives whether anything is.
    pub(crate) fn apply(&mut self, message: ConfigurationMessage) -> bool {
        match message {
            ConfigurationMessage::Put(configuration) => {
                self.replace(configuration);
                true
            }
            ConfigurationMessage::Environment(id, environment) => {
                let known = self.now.environments.get(&id).map(|known| known.version);
                let is_newer = self.is_newer(&id, known, environment.version);
                if is_newer {
                    self.now.environments.insert(id, environment);
                }
                is_newer
            }
            ConfigurationMessage::Filter(id, filter) => {
                let known = self.now.filters.get(&id).map(|known| known.version);
                let is_newer = self.is_newer(&id, known, filter.version);
                if is_newer {
                    self.now.filters.insert(id, filter);
                }
                is_newer
            }
            ConfigurationMessage::EnvironmentGone(id, version) => {
                let known = self.now.environments.get(&id).map(|known| known.version);
                let is_newer = self.is_newer(&id, known, version);
                if is_newer {
                    self.now.environments.remove(&id);
                    self.gone.insert(id, version);
                }
                is_newer && known.is_some()
            }
            ConfigurationMessage::FilterGone(id, version) => {
                let known = self.now.filters.get(&id).map(|known| known.version);
                let is_newer = self.is_newer(&id, known, version);
                if is_newer {
                    self.now.filters.remove(&id);
                    self.gone.insert(id, version);
                }
                is_newer && known.is_some()
            }
            _ => false,
        }
    }

    fn is_newer(&self, id: &str, known: Option<u64>, version: u64) -> bool {
        known.or(self.gone.get(id).copied()).is_none_or(|known| version > known)
    }

    /// All that can be served. What cannot is left out, and said.
    pub(crate) fn environments(&self) -> Vec<Environment> {
        let mut taken = HashSet::new();
        let mut environments = Vec::new();
        for (id, relayed) in &self.now.environments {
            let environment = self.environment(id, relayed);
            let has_own = |key: &Option<String>| key.as_ref().is_none_or(|key| !taken.contains(key));
            if let Err(error) = environment.check() {
                tracing::error!(
                    "upstream names an environment that cannot be served, it is left out: {error}"
                );
            } else if taken.contains(&environment.sdk_key) || !has_own(&environment.mobile_key) {
                tracing::error!("upstream names an environment with the keys of another, `{id}` is left out");
            } else {
                taken.insert(environment.sdk_key.clone());
                taken.extend(environment.mobile_key.clone());
                environments.push(environment);
            }
        }
        environments
    }

    fn environment(&self, id: &str, relayed: &RelayedEnvironment) -> Environment {
        let filled = |template: &Option<String>| template.as_ref().map(|template| template.replace(ID, id));
        let of_project = self.now.filters.values().filter(|filter| filter.project_key == relayed.project_key);
        let old = relayed.sdk_key.expiring.as_ref();
        Environment {
            name: id.to_owned(),
            sdk_key: relayed.sdk_key.value.clone(),
            expiring_sdk_key: old.map(|old| ExpiringKey { key: old.value.clone(), until: old.timestamp }),
            mobile_key: Some(relayed.mobile_key.clone()).filter(|key| !key.is_empty()),
            client_side_id: Some(id.to_owned()),
            secure_mode: relayed.secure_mode,
            names: Names {
                key: relayed.key.clone(),
                name: relayed.name.clone(),
                project_key: relayed.project_key.clone(),
                project_name: relayed.project_name.clone(),
            },
            ttl_minutes: relayed.default_ttl,
            allowed_origins: self.template.allowed_origins.clone(),
            allowed_headers: self.template.allowed_headers.clone(),
            filters: of_project.map(|filter| filter.key.clone()).collect(),
            prefix: filled(&self.template.prefix),
            table: filled(&self.template.table),
            source: self.sources.get(id).cloned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use flagstaff_wire::relay::{ExpiringKey as RelayedExpiring, RelayedFilter, RelayedSdkKey};

    use super::*;

    fn environment(id: &str, version: u64) -> RelayedEnvironment {
        RelayedEnvironment {
            id: id.to_owned(),
            key: "production".to_owned(),
            name: "Production".to_owned(),
            project_key: "demo".to_owned(),
            project_name: "Demo".to_owned(),
            mobile_key: String::new(),
            sdk_key: RelayedSdkKey { value: format!("sdk-{id}-{version}"), expiring: None },
            default_ttl: 5,
            secure_mode: true,
            version,
        }
    }

    fn set(id: &str, version: u64) -> ConfigurationMessage {
        ConfigurationMessage::Environment(id.to_owned(), environment(id, version))
    }

    #[test]
    fn the_greater_version_wins_also_over_what_is_gone() {
        let mut served = Served::by(Template::default());
        let gone = |version| ConfigurationMessage::EnvironmentGone("e".to_owned(), version);
        for (message, counts, version) in [
            (set("e", 3), true, Some(3)),
            (set("e", 3), false, Some(3)),
            (set("e", 2), false, Some(3)),
            (gone(3), false, Some(3)),
            (gone(4), true, None),
            (set("e", 4), false, None),
            (gone(5), false, None),
            (set("e", 5), false, None),
            (set("e", 6), true, Some(6)),
        ] {
            let said = format!("{message:?}");
            assert_eq!(served.apply(message), counts, "{said}");
            let known = served.configuration().environments.get("e").map(|known| known.version);
            assert_eq!(known, version, "{said}");
        }
        // Everything is everything, whatever was known.
        let all = Configuration {
            environments: [("e".to_owned(), environment("e", 1))].into(),
            ..Configuration::default()
        };
        assert!(served.apply(ConfigurationMessage::Put(all)));
        assert_eq!(served.environments()[0].sdk_key, "sdk-e-1");
    }

    #[test]
    fn an_environment_is_served_as_upstream_and_the_template_say() {
        let template = Template {
            prefix: Some("ld-$CID".to_owned()),
            table: Some("flags-$CID".to_owned()),
            allowed_headers: vec!["x-own".to_owned()],
            ..Template::default()
        };
        let mut served = Served::by(template);
        let mut relayed = environment("e1", 1);
        relayed.mobile_key = "mob-1".to_owned();
        relayed.sdk_key.expiring = Some(RelayedExpiring { value: "sdk-old".to_owned(), timestamp: 7 });
        served.apply(ConfigurationMessage::Environment("e1".to_owned(), relayed));
        for (id, project_key, key) in [("f1", "demo", "web"), ("f2", "other", "mobile")] {
            let filter =
                RelayedFilter { project_key: project_key.to_owned(), key: key.to_owned(), version: 1 };
            assert!(served.apply(ConfigurationMessage::Filter(id.to_owned(), filter)));
        }
        let environments = served.environments();
        let [one] = &environments[..] else { panic!("one environment") };
        assert_eq!((&*one.name, one.client_side_id.as_deref()), ("e1", Some("e1")));
        assert_eq!((one.prefix.as_deref(), one.table.as_deref()), (Some("ld-e1"), Some("flags-e1")));
        assert_eq!(one.expiring_sdk_key, Some(ExpiringKey { key: "sdk-old".to_owned(), until: 7 }));
        assert_eq!((one.mobile_key.as_deref(), one.ttl_minutes, one.secure_mode), (Some("mob-1"), 5, true));
        assert_eq!(one.filters.iter().collect::<Vec<_>>(), ["web"]);
        assert_eq!(one.allowed_headers, ["x-own"]);
        assert!(served.apply(ConfigurationMessage::FilterGone("f1".to_owned(), 2)));
        assert!(served.environments()[0].filters.is_empty());
    }

    #[test]
    fn what_cannot_be_served_does_not_keep_the_others_from_it() {
        let mut served = Served::by(Template::default());
        let mut bad = environment("bad", 1);
        bad.sdk_key.value = "sdk with blanks".to_owned();
        let mut twice = environment("twice", 1);
        twice.sdk_key.value = "sdk-fine-1".to_owned();
        for relayed in [bad, environment("fine", 1), twice] {
            served.apply(ConfigurationMessage::Environment(relayed.id.clone(), relayed));
        }
        let names: Vec<_> = served.environments().into_iter().map(|served| served.name).collect();
        assert_eq!(names, ["fine"]);
    }
}
