//! What the database holds of the flags under test: the rows, and the marks that every write leaves.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use flagstaff_service::store::connection::sql;
use serde_json::Value;

use crate::place::Place;

/// The tag that a write leaves in the definition.
pub(super) fn tag(number: u64) -> String {
    format!("t{number}")
}

/// The target that it leaves in production.
pub(super) fn target(number: u64) -> String {
    format!("u{number}")
}

/// All that is checked, as of one moment.
#[derive(Debug)]
pub(super) struct History {
    flags: BTreeMap<String, FlagHistory>,
    /// By environment: the sequence, and the sequences in its change log, in order.
    environments: BTreeMap<String, (u64, Vec<u64>)>,
}

/// One flag.
#[derive(Debug, Default)]
pub(super) struct FlagHistory {
    key: String,
    version: u64,
    definition: Value,
    /// By environment: version and targeting.
    targeting: BTreeMap<String, (u64, Value)>,
    /// By environment: the sequences of its changes, in order.
    changes: BTreeMap<String, Vec<u64>>,
    /// The states after each change of the definition, and of the targeting in production, in order.
    defined: Vec<Value>,
    targeted: Vec<Value>,
}

/// How things were before the first write.
#[derive(Debug)]
pub(super) struct Baseline {
    /// The versions of flags.
    flags: HashMap<String, u64>,
    /// The sequences of environments.
    environments: HashMap<String, u64>,
}

impl Baseline {
    pub(super) fn of(history: &History) -> Self {
        let environments = history.environments.iter();
        Self {
            flags: history.flags.iter().map(|(key, flag)| (key.clone(), flag.version)).collect(),
            environments: environments.map(|(key, (sequence, _))| (key.clone(), *sequence)).collect(),
        }
    }

    pub(super) fn version(&self, flag: &str) -> u64 {
        self.flags[flag]
    }
}

impl History {
    /// Reads it all, beside a running service.
    pub(super) fn read(place: &Place) -> Self {
        place.block_on(async {
            let store = place.store().await;
            let mut connection = store.snapshot().await.unwrap();
            let mut flags: BTreeMap<String, FlagHistory> = BTreeMap::new();
            let rows = sql(
                "SELECT flag.key, flag.version, definition, environment.key AS environment_key,
                        flag_targeting.version AS targeting_version, targeting
                 FROM flag JOIN flag_targeting ON flag_id = flag.id JOIN environment ON environment.id = environment_id",
            );
            for row in rows.fetch_all(&mut connection).await.unwrap() {
                let key: String = row.get("key");
                let flag = flags.entry(key.clone()).or_default();
                flag.key = key;
                flag.version = number(row.get("version"));
                flag.definition = json(row.get("definition"));
                let targeting = (number(row.get("targeting_version")), json(row.get("targeting")));
                flag.targeting.insert(row.get("environment_key"), targeting);
            }
            let rows = sql(
                "SELECT key, environment_key, after FROM audit_entry
                 WHERE kind = 'flag' AND action = 'update' ORDER BY id",
            );
            for row in rows.fetch_all(&mut connection).await.unwrap() {
                let flag = flags.entry(row.get("key")).or_default();
                let after = json(row.get("after"));
                match row.get::<Option<&str>, _>("environment_key") {
                    None => flag.defined.push(after),
                    Some("production") => flag.targeted.push(after),
                    Some(_) => {}
                }
            }
            let rows = sql(
                "SELECT environment.key AS environment_key, environment.sequence AS newest,
                        change_log.sequence, change_log.kind, change_log.key
                 FROM environment JOIN change_log ON environment_id = environment.id
                 ORDER BY change_log.sequence",
            );
            let mut environments: BTreeMap<String, (u64, Vec<u64>)> = BTreeMap::new();
            for row in rows.fetch_all(&mut connection).await.unwrap() {
                let (environment, sequence) = (row.get::<String, _>("environment_key"), number(row.get("sequence")));
                let known = environments.entry(environment.clone()).or_default();
                known.0 = number(row.get("newest"));
                known.1.push(sequence);
                if row.get::<&str, _>("kind") == "flag" {
                    let flag = flags.entry(row.get("key")).or_default();
                    flag.changes.entry(environment).or_default().push(sequence);
                }
            }
            drop(connection);
            store.close().await;
            Self { flags, environments }
        })
    }

    pub(super) fn flag(&self, key: &str) -> &FlagHistory {
        &self.flags[key]
    }

    pub(super) fn sequence(&self, environment: &str) -> u64 {
        self.environments[environment].0
    }

    /// The sequence rose by one with each write to each flag. The log, of which only the end is kept, has no gap
    /// and ends at the sequence.
    pub(super) fn check_sequences(&self, baseline: &Baseline, found: &mut Vec<String>) {
        let writes: u64 = self.flags.values().map(|flag| flag.writes().len() as u64).sum();
        for (environment, (sequence, log)) in &self.environments {
            let before = baseline.environments[environment];
            if *sequence != before + writes {
                found.push(format!("{environment} went from {before} to {sequence} in {writes} writes"));
            }
            if log.last() != Some(sequence) {
                found.push(format!("{environment} is at {sequence}, but its log ends at {:?}", log.last()));
            }
            if let Some(gap) = log.windows(2).find(|pair| pair[1] != pair[0] + 1) {
                found.push(format!("the log of {environment} goes from {} to {}", gap[0], gap[1]));
            }
        }
    }
}

impl FlagHistory {
    /// The numbers of the writes that are there.
    pub(super) fn writes(&self) -> BTreeSet<u64> {
        self.defined.iter().filter_map(tagged).collect()
    }

    /// Every mark of every write is there, and as often as there were writes.
    pub(super) fn check(&self, first_version: u64, found: &mut Vec<String>) {
        let key = &self.key;
        let defined: Vec<u64> = self.defined.iter().filter_map(tagged).collect();
        let targeted: Vec<u64> = self.targeted.iter().filter_map(targets).collect();
        let mut check = |holds: bool, what: String| {
            if !holds {
                found.push(format!("{key}: {what}"));
            }
        };
        check(defined.windows(2).all(|pair| pair[0] < pair[1]), format!("audit entries {defined:?}"));
        check(defined == targeted, format!("definitions {defined:?}, but targeting {targeted:?}"));
        let writes = defined.len() as u64;
        check(
            self.version == first_version + writes,
            format!("version {} after {writes} writes on {first_version}", self.version),
        );
        check(
            tagged(&self.definition) == defined.last().copied(),
            format!("the row is {}, the last audit entry {:?}", self.definition, defined.last()),
        );
        let production = &self.targeting["production"];
        check(
            targets(&production.1) == defined.last().copied(),
            format!("production is {}, the last audit entry {:?}", production.1, defined.last()),
        );
        for (environment, (version, _)) in &self.targeting {
            let last = self.changes.get(environment).and_then(|changes| changes.last());
            check(
                last == Some(version),
                format!("version {version} in {environment}, but {last:?} in its log"),
            );
        }
    }

    /// SDKs get what the rows say.
    pub(super) fn check_served(&self, served: &Value, found: &mut Vec<String>) {
        let Some(last) = tagged(&self.definition) else { return };
        let (version, _) = self.targeting["production"];
        let agrees = served["version"] == version
            && served["variations"][0] == last
            && served["targets"][0]["values"][0] == target(last);
        if !agrees {
            found.push(format!("{}: write {last} at version {version}, but SDKs get {served}", self.key));
        }
    }
}

/// The number of the write that left this definition; none before the first.
fn tagged(definition: &Value) -> Option<u64> {
    let number = definition["tags"][0].as_str()?.strip_prefix('t')?.parse().ok()?;
    // Half of it would not count as a write.
    (definition["variations"][0]["value"] == number).then_some(number)
}

/// The number of the write that left this targeting; none before the first.
fn targets(targeting: &Value) -> Option<u64> {
    let lists = targeting["targets"].as_array()?;
    lists.iter().find_map(|list| list["values"][0].as_str()?.strip_prefix('u')?.parse().ok())
}

fn number(value: i64) -> u64 {
    value.try_into().unwrap()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}
