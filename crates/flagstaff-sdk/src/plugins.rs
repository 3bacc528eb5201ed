//! What a program plugs into a client: hooks, and code that runs once the client exists.

use std::fmt;
use std::sync::Arc;

use crate::callbacks::contained;
use crate::client::Client;
use crate::config::{Config, end_of};
use crate::hooks::Hook;
use crate::log::Log;
use crate::shared::Shared;

/// Something that is plugged into a client by [`Config::plugin`]. Implement it freely.
///
/// All plugins are asked for their hooks first, then all are registered, in the order in which they
/// were given; both before the client connects, so that nothing is missed. A panic is logged, and the
/// client goes on.
pub trait Plugin: Send + Sync {
    /// What the plugin is called in log lines.
    fn name(&self) -> &str;

    /// The hooks it brings. They come after those of the configuration.
    fn hooks(&self, environment: &EnvironmentMetadata) -> Vec<Arc<dyn Hook>> {
        let _ = environment;
        Vec::new()
    }

    /// Called with the client, within [`Client::start`]: there are no flags yet, and none come before
    /// this returns.
    ///
    /// The client keeps no plugin. A plugin that keeps the client keeps it from ending when it is
    /// dropped: it then lasts until [`Client::close`].
    fn register(&self, client: &Client, environment: &EnvironmentMetadata);
}

/// Where a plugin finds itself.
#[derive(Clone)]
#[non_exhaustive]
pub struct EnvironmentMetadata {
    /// The SDK that the client is of.
    pub sdk: SdkMetadata,
    /// The client's SDK key: a secret.
    pub sdk_key: String,
    /// The application, if it says what it is.
    pub application: Option<ApplicationMetadata>,
}

/// Which SDK a client is of, and what wraps it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SdkMetadata {
    /// The SDK's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What wraps it: see [`Config::wrapper`].
    pub wrapper_name: Option<String>,
    /// The version of that.
    pub wrapper_version: Option<String>,
}

/// What an application says it is: see [`Config::application_id`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApplicationMetadata {
    /// Its id.
    pub id: Option<String>,
    /// Its version.
    pub version: Option<String>,
}

impl Config {
    /// Adds a [`Plugin`], after those that were added before.
    pub fn plugin(mut self, plugin: Arc<dyn Plugin>) -> Self {
        self.plugins.push(plugin);
        self
    }

    fn environment_metadata(&self) -> EnvironmentMetadata {
        let (id, version) = (self.application_id.clone(), self.application_version.clone());
        EnvironmentMetadata {
            sdk: SdkMetadata {
                name: self.sdk.name.clone(),
                version: self.sdk.version.clone(),
                wrapper_name: self.wrapper_name.clone(),
                wrapper_version: self.wrapper_version.clone(),
            },
            sdk_key: self.sdk_key.clone(),
            application: (id.is_some() || version.is_some()).then_some(ApplicationMetadata { id, version }),
        }
    }
}

/// Adds the hooks of all plugins to a client that is not connected yet, then registers them all.
pub(crate) fn plug_in(plugins: &[Arc<dyn Plugin>], client: &Client, shared: &Shared) {
    if plugins.is_empty() {
        return;
    }
    let (log, environment) = (&shared.log, shared.config.environment_metadata());
    for plugin in plugins {
        let hooks = called(log, &**plugin, "when asked for its hooks", || plugin.hooks(&environment));
        hooks.into_iter().flatten().for_each(|hook| client.add_hook(hook));
    }
    for plugin in plugins {
        called(log, &**plugin, "while it was registered", || plugin.register(client, &environment));
    }
}

fn called<R>(log: &Log, plugin: &dyn Plugin, when: &str, call: impl FnOnce() -> R) -> Option<R> {
    let name = contained(log, "the name of a plugin", || plugin.name().to_owned());
    let name = name.as_deref().unwrap_or("without a name");
    contained(log, &format!("plugin `{name}`, {when},"), call)
}

/// Without the key.
impl fmt::Debug for EnvironmentMetadata {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EnvironmentMetadata")
            .field("sdk", &self.sdk)
            .field("sdk_key", &format_args!("{}", end_of(&self.sdk_key)))
            .field("application", &self.application)
            .finish()
    }
}
