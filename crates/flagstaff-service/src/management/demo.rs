//! The demo: a small shop's flags, with keys and a password that everybody knows.

use flagstaff_eval::model::{
    Clause, ClientSideAvailability, Operator, Prerequisite, Rollout, Target, VariationOrRollout,
    WeightedVariation,
};
use serde_json::{Value, json};

use super::ChangeError;
use super::access_token::{self, NewAccessToken};
use super::environment::{Keys, NewEnvironment};
use super::flag::{self, Draft, Edit, NewFlag};
use super::project::{self, NewProject};
use super::relay_auto_config::{self, NewRelayAutoConfig};
use super::segment::{self, NewSegment, SegmentDefinition};
use super::setup::FirstStart;
use crate::auth::{Actor, MintedToken, Role, password};
use crate::now_ms;
use crate::store::connection::Connection;
use crate::store::environment::{self, Environment};
use crate::store::member::{self, Member};
use crate::store::membership::{Membership, SegmentRule};
use crate::store::metric::{self, Metric};
use crate::store::relay_auto_config::Statement;
use crate::store::targeting::{Defaults, FlagDefinition, Rule, RuleClause, Targeting, Variation};
use crate::store::{StoreError, new_public_id};

/// The project.
pub const PROJECT: &str = "demo";
/// The environments.
pub const ENVIRONMENTS: [&str; 2] = ["production", "staging"];
/// The access token.
pub const ACCESS_TOKEN: &str = "api-demo";
/// The key of relays that configure themselves, with all environments.
pub const RELAY_KEY: &str = "rel-demo";
/// Who signs in.
pub const EMAIL: &str = "demo@example.com";
/// With what.
pub const PASSWORD: &str = "demo";

/// Fills an empty database.
pub(super) async fn seed(connection: &mut Connection) -> Result<FirstStart, ChangeError> {
    let actor = Actor::system();
    let member = add_member(connection).await?;
    let new = NewAccessToken {
        name: "Demo".to_owned(),
        description: "Everybody knows it; for trying the API".to_owned(),
        role: Role::Owner,
        is_service: false,
    };
    let token = MintedToken::of(ACCESS_TOKEN.to_owned());
    access_token::insert(connection, &actor, member.id, &new, &token).await?;
    let all = Statement {
        actions: vec!["*".to_owned()],
        resources: vec!["proj/*:env/*".to_owned()],
        ..Statement::default()
    };
    let new = NewRelayAutoConfig { name: "Demo".to_owned(), policy: vec![all] };
    relay_auto_config::insert(connection, &actor, &new, &MintedToken::of(RELAY_KEY.to_owned())).await?;
    let project_id = project::insert(connection, &actor, &demo_project()).await?;
    for environment in environment::of_project(connection, project_id).await? {
        add_segment(connection, &environment).await?;
    }
    for (new, production, staging) in flags(&member.public_id) {
        let key = new.key.clone();
        flag::insert(connection, &actor, PROJECT, &new, "").await?;
        let edit = Edit { project_key: PROJECT, flag_key: &key, ..Edit::default() };
        flag::rewrite_in(connection, &actor, &edit, |_, draft: &mut Draft| {
            production(draft.targeting("production")?);
            staging(draft.targeting("staging")?);
            Ok(())
        })
        .await?;
    }
    for metric in metrics(project_id) {
        metric::insert(connection, &metric).await?;
    }
    Ok(FirstStart::Demo)
}

async fn add_member(connection: &mut Connection) -> Result<Member, StoreError> {
    let mut member = Member {
        id: 0,
        public_id: new_public_id(),
        email: EMAIL.to_owned(),
        first_name: "Demo".to_owned(),
        last_name: "Owner".to_owned(),
        role: Role::Owner,
        password_hash: Some(password::hash(PASSWORD.to_owned()).await),
        created_at: now_ms(),
    };
    member.id = member::insert(connection, &member).await?;
    Ok(member)
}

fn demo_project() -> NewProject {
    let keys = |key: &str| Keys {
        sdk_key: format!("sdk-demo-{key}"),
        mobile_key: format!("mob-demo-{key}"),
        client_side_id: format!("demo-{key}"),
    };
    let [production, staging] = ENVIRONMENTS;
    NewProject {
        key: PROJECT.to_owned(),
        name: "Demo shop".to_owned(),
        new_flag_availability: ClientSideAvailability { using_environment_id: false, using_mobile_key: true },
        environments: vec![
            NewEnvironment { keys: Some(keys(production)), ..NewEnvironment::production() },
            NewEnvironment {
                key: staging.to_owned(),
                name: "Staging".to_owned(),
                colour: "4A90E2".to_owned(),
                keys: Some(keys(staging)),
                ..NewEnvironment::default()
            },
        ],
        ..NewProject::default()
    }
}

async fn add_segment(connection: &mut Connection, environment: &Environment) -> Result<(), ChangeError> {
    let rule = SegmentRule {
        id: id(),
        clauses: vec![RuleClause {
            id: id(),
            clause: Clause {
                context_kind: Some("user".to_owned()),
                attribute: "email".to_owned(),
                op: Operator::EndsWith,
                values: vec![json!("@example.com")],
                negate: false,
            },
        }],
        ..SegmentRule::default()
    };
    let new = NewSegment {
        key: "beta-testers".to_owned(),
        definition: SegmentDefinition {
            name: "Beta testers".to_owned(),
            description: "Colleagues, and customers who asked to see things early".to_owned(),
            tags: vec!["beta".to_owned()],
            membership: Membership {
                included: vec!["ada".to_owned(), "grace".to_owned()],
                excluded: vec!["mallory".to_owned()],
                rules: vec![rule],
                ..Membership::default()
            },
        },
        ..NewSegment::default()
    };
    segment::insert(connection, &Actor::system(), PROJECT, environment, &new, "").await
}

fn metrics(project_id: i64) -> [Metric; 2] {
    let metric = |key: &str, name: &str, description: &str, event_key: &str, unit: &str| Metric {
        public_id: new_public_id(),
        project_id,
        key: key.to_owned(),
        name: name.to_owned(),
        description: description.to_owned(),
        kind: "custom".to_owned(),
        event_key: event_key.to_owned(),
        is_numeric: !unit.is_empty(),
        unit: unit.to_owned(),
        higher_is_better: true,
        selector: String::new(),
        pages: Vec::new(),
        tags: Vec::new(),
        version: 1,
        created_at: now_ms(),
    };
    [
        metric("order-completed", "Orders completed", "Who bought something", "order-completed", ""),
        metric("order-value", "Order value", "What a buyer spent", "order-value", "EUR"),
    ]
}

type TargetingEdit = fn(&mut Targeting);

/// Each flag with its targeting in production and staging. Prerequisites come before what needs them.
fn flags(maintainer_id: &str) -> Vec<(NewFlag, TargetingEdit, TargetingEdit)> {
    let mut flags: Vec<(NewFlag, TargetingEdit, TargetingEdit)> = vec![
        (
            boolean(
                "checkout-redesign",
                "Checkout redesign",
                "The one-page checkout",
                "New checkout",
                "Old checkout",
            ),
            |_| {},
            |targeting| targeting.on = true,
        ),
        (
            boolean(
                "search-ranking-v2",
                "Search ranking, second version",
                "Ranks by what people buy, not by what they look at",
                "Second version",
                "First version",
            ),
            |targeting| {
                targeting.on = true;
                targeting.fallthrough = split(&[20_000, 80_000]);
            },
            |targeting| targeting.on = true,
        ),
        (
            flag(
                "shipping-banner",
                "Shipping banner",
                "What the banner on top of the shop promises",
                &[
                    (json!("none"), "No banner"),
                    (json!("free-shipping"), "Free shipping"),
                    (json!("next-day"), "Next-day delivery"),
                ],
                0,
            ),
            |targeting| {
                targeting.on = true;
                targeting.rules = vec![
                    rule(
                        Some("Customers of the pro plan"),
                        2,
                        &[("plan", Operator::In, &["pro", "business"])],
                    ),
                    rule(
                        Some("Where we have a warehouse"),
                        1,
                        &[("country", Operator::In, &["NO", "SE", "DK"])],
                    ),
                ];
            },
            |targeting| {
                targeting.on = true;
                targeting.fallthrough = VariationOrRollout::variation(1);
            },
        ),
        (
            flag(
                "recommendations",
                "Recommendations",
                "How many products are recommended, and by what",
                &[
                    (json!({"engine": "popular", "count": 4, "show_reasons": false}), "Popular, four"),
                    (json!({"engine": "personal", "count": 8, "show_reasons": true}), "Personal, eight"),
                ],
                0,
            ),
            |targeting| {
                targeting.on = true;
                targeting.rules = vec![Rule {
                    variation: None,
                    rollout: split(&[50_000, 50_000]).rollout,
                    ..rule(Some("Half of those who signed in"), 0, &[("signed_in", Operator::In, &["yes"])])
                }];
            },
            |targeting| {
                targeting.on = true;
                targeting.fallthrough = VariationOrRollout::variation(1);
            },
        ),
        (
            boolean(
                "new-payments",
                "New payments",
                "Payments through the new provider",
                "New provider",
                "Old provider",
            ),
            |targeting| targeting.on = true,
            |targeting| targeting.on = true,
        ),
        (
            boolean(
                "instant-refunds",
                "Instant refunds",
                "Refunds at once; needs the new payments",
                "At once",
                "After review",
            ),
            |targeting| {
                targeting.on = true;
                targeting.prerequisites = vec![Prerequisite { key: "new-payments".to_owned(), variation: 0 }];
                targeting.fallthrough = split(&[10_000, 90_000]);
            },
            |targeting| {
                targeting.on = true;
                targeting.prerequisites = vec![Prerequisite { key: "new-payments".to_owned(), variation: 0 }];
            },
        ),
        (
            boolean(
                "wish-lists",
                "Wish lists",
                "Lists of products to buy later, for beta testers first",
                "Shown",
                "Hidden",
            ),
            |targeting| {
                targeting.on = true;
                targeting.targets =
                    vec![target("user", 0, &["ada", "linus"]), target("organization", 0, &["acme"])];
                targeting.rules =
                    vec![rule(Some("Beta testers"), 0, &[("", Operator::SegmentMatch, &["beta-testers"])])];
                targeting.fallthrough = VariationOrRollout::variation(1);
            },
            |targeting| targeting.on = true,
        ),
        (
            boolean(
                "exports-enabled",
                "Exports enabled",
                "A switch to turn exports off when the database suffers",
                "Enabled",
                "Disabled",
            ),
            |targeting| targeting.on = true,
            |targeting| targeting.on = true,
        ),
    ];
    let tags: [&[&str]; 8] = [
        &["checkout"],
        &["search"],
        &["marketing"],
        &["search", "marketing"],
        &["payments"],
        &["payments"],
        &["beta"],
        &["operations"],
    ];
    for ((new, ..), tags) in flags.iter_mut().zip(tags) {
        new.definition.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        new.definition.temporary = new.key != "exports-enabled";
        new.definition.maintainer_id = Some(maintainer_id.to_owned());
    }
    flags
}

fn boolean(key: &str, name: &str, description: &str, when_true: &str, when_false: &str) -> NewFlag {
    flag(key, name, description, &[(json!(true), when_true), (json!(false), when_false)], 1)
}

fn flag(key: &str, name: &str, description: &str, variations: &[(Value, &str)], off: i64) -> NewFlag {
    let variation = |(value, name): &(Value, &str)| Variation {
        id: id(),
        value: value.clone(),
        name: Some((*name).to_owned()),
        description: None,
    };
    let definition = FlagDefinition {
        name: name.to_owned(),
        description: description.to_owned(),
        variations: variations.iter().map(variation).collect(),
        availability: ClientSideAvailability { using_environment_id: true, using_mobile_key: true },
        defaults: Defaults { on_variation: 0, off_variation: off },
        ..FlagDefinition::default()
    };
    NewFlag { key: key.to_owned(), definition, on: false }
}

fn rule(description: Option<&str>, variation: i64, clauses: &[(&str, Operator, &[&str])]) -> Rule {
    let clause = |(attribute, op, values): &(&str, Operator, &[&str])| RuleClause {
        id: id(),
        clause: Clause {
            context_kind: (*op != Operator::SegmentMatch).then(|| "user".to_owned()),
            attribute: (*attribute).to_owned(),
            op: op.clone(),
            values: values.iter().map(|value| json!(value)).collect(),
            negate: false,
        },
    };
    Rule {
        id: id(),
        description: description.map(str::to_owned),
        clauses: clauses.iter().map(clause).collect(),
        variation: Some(variation),
        ..Rule::default()
    }
}

fn target(kind: &str, variation: i64, keys: &[&str]) -> Target {
    let values = keys.iter().map(|key| (*key).to_owned()).collect();
    Target { context_kind: Some(kind.to_owned()), variation, values }
}

/// Shares of the variations, in thousandths of a percent.
fn split(weights: &[i64]) -> VariationOrRollout {
    let share = |(index, weight): (usize, &i64)| WeightedVariation {
        variation: index as i64,
        weight: *weight,
        untracked: false,
    };
    VariationOrRollout::rollout(Rollout {
        context_kind: Some("user".to_owned()),
        variations: weights.iter().enumerate().map(share).collect(),
        ..Rollout::default()
    })
}

fn id() -> String {
    uuid::Uuid::new_v4().to_string()
}
