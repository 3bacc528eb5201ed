//! Plugins: when they are asked, what they are told, and what happens when they panic.

use std::sync::{Arc, Mutex};

use flagstaff_sdk::{
    Client, Config, EnvironmentMetadata, EvaluationSeriesContext, Hook, HookResult, Plugin, SeriesData, Value,
};
use flagstaff_testkit::{FakeService, flag, user};

use crate::support::{KEY, Lines, config, started};

/// What happened, in order.
type Steps = Arc<Mutex<Vec<String>>>;

fn taken(steps: &Steps) -> Vec<String> {
    std::mem::take(&mut *steps.lock().unwrap())
}

struct Noting(String, Steps);

impl Hook for Noting {
    fn name(&self) -> &str {
        &self.0
    }

    fn before_evaluation(
        &self,
        series: &EvaluationSeriesContext<'_>,
        data: SeriesData,
    ) -> HookResult<SeriesData> {
        self.1.lock().unwrap().push(format!("{} before {}", self.0, series.flag_key()));
        Ok(data)
    }
}

struct Planned {
    name: &'static str,
    steps: Steps,
    panics: bool,
}

impl Planned {
    fn new(name: &'static str, steps: &Steps) -> Arc<Self> {
        Arc::new(Self { name, steps: steps.clone(), panics: false })
    }

    fn step(&self, what: &str) {
        self.steps.lock().unwrap().push(format!("{} {what}", self.name));
        assert!(!self.panics, "on purpose");
    }
}

impl Plugin for Planned {
    fn name(&self) -> &str {
        self.name
    }

    fn hooks(&self, environment: &EnvironmentMetadata) -> Vec<Arc<dyn Hook>> {
        assert_eq!(environment.sdk_key, KEY);
        self.step("asked for hooks");
        let hook = |number: u8| Noting(format!("{}{number}", self.name), self.steps.clone());
        vec![Arc::new(hook(1)), Arc::new(hook(2))]
    }

    fn register(&self, client: &Client, _: &EnvironmentMetadata) {
        self.step(if client.is_initialized() { "registered late" } else { "registered" });
        // The client may be used; it has no flags yet.
        assert!(client.variation("early", &user("u"), true));
    }
}

#[test]
fn plugins_bring_hooks_first_and_are_registered_before_flags_come() {
    let steps = Steps::default();
    let service = FakeService::start([flag("f")]);
    let client = started(
        config(&service)
            .plugin(Planned::new("p", &steps))
            .plugin(Planned::new("q", &steps))
            .hook(Arc::new(Noting("own".to_owned(), steps.clone()))),
    );
    let of_early =
        ["own before early", "p1 before early", "p2 before early", "q1 before early", "q2 before early"];
    let mut expected = vec!["p asked for hooks", "q asked for hooks", "p registered"];
    expected.extend(of_early);
    expected.push("q registered");
    expected.extend(of_early);
    assert_eq!(taken(&steps), expected);

    client.add_hook(Arc::new(Noting("late".to_owned(), steps.clone())));
    assert!(client.variation("f", &user("u"), false));
    assert_eq!(
        taken(&steps),
        ["own before f", "p1 before f", "p2 before f", "q1 before f", "q2 before f", "late before f"]
    );
}

#[test]
fn a_plugin_that_panics_keeps_nobody_from_anything() {
    let (steps, lines) = (Steps::default(), Lines::default());
    let service = FakeService::start([flag("f")]);
    let bad = Arc::new(Planned { name: "bad", steps: steps.clone(), panics: true });
    let client = started(
        config(&service).log_to(Arc::new(lines.clone())).plugin(bad).plugin(Planned::new("good", &steps)),
    );
    assert!(taken(&steps).contains(&"good registered".to_owned()));
    assert_eq!(
        lines.with("plugin `bad`"),
        [
            "plugin `bad`, when asked for its hooks, panicked: on purpose",
            "plugin `bad`, while it was registered, panicked: on purpose",
        ]
    );
    assert!(client.variation("f", &user("u"), false));
    assert_eq!(taken(&steps), ["good1 before f", "good2 before f"]);
}

/// Keeps what it was told.
#[derive(Default)]
struct Curious(Mutex<Option<EnvironmentMetadata>>);

impl Plugin for Curious {
    fn name(&self) -> &str {
        "curious"
    }

    fn register(&self, _: &Client, environment: &EnvironmentMetadata) {
        *self.0.lock().unwrap() = Some(environment.clone());
    }
}

fn told(config: Config) -> EnvironmentMetadata {
    let plugin = Arc::new(Curious::default());
    let client = Client::start(config.offline(true).plugin(plugin.clone())).unwrap();
    assert!(client.is_offline());
    plugin.0.lock().unwrap().take().expect("the plugin is registered when `start` returns")
}

#[test]
fn a_plugin_is_told_where_it_is() {
    let plain = told(Config::new(KEY));
    assert_eq!(
        (plain.sdk.name.as_str(), plain.sdk.version.as_str()),
        ("flagstaff-rust-sdk", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!((plain.sdk.wrapper_name, plain.sdk.wrapper_version), (None, None));
    assert_eq!(plain.application, None);
    assert_eq!(plain.sdk_key, KEY);

    let config = Config::new(KEY).wrapper("shop-flags", Some("2.1")).application_version("7");
    let whole = told(config);
    assert_eq!(whole.sdk.wrapper_name.as_deref(), Some("shop-flags"));
    assert_eq!(whole.sdk.wrapper_version.as_deref(), Some("2.1"));
    let application = whole.application.clone().expect("the application says what it is");
    assert_eq!((application.id, application.version.as_deref()), (None, Some("7")));
    assert!(!format!("{whole:?}").contains(KEY), "the key is a secret");
}

#[test]
fn a_client_keeps_no_plugin_and_ends_when_it_is_dropped() {
    let plugin = Arc::new(Curious::default());
    let client = Client::start(Config::new(KEY).offline(true).plugin(plugin.clone())).unwrap();
    assert_eq!(Arc::strong_count(&plugin), 1);
    let hook: Arc<dyn Hook> = Arc::new(Noting("own".to_owned(), Steps::default()));
    client.add_hook(hook.clone());
    client.variation("f", &user("u"), Value::Null);
    drop(client);
    assert_eq!(Arc::strong_count(&hook), 1);
}
