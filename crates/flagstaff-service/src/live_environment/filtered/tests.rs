//! Whatever happens to an environment, a part that follows it is what it would be if it were made anew; and who
//! listens to its changes holds what it is.

use std::collections::BTreeMap;

use flagstaff_eval::Context;
use flagstaff_eval::model::{
    Clause, Flag, FlagRule, Operator, Prerequisite, Segment, SegmentRule, VariationOrRollout,
};
use serde_json::{Value, json};

use super::super::{About, News, Pages, Update};
use super::*;
use crate::store::EnvironmentId;
use crate::store::environment::Environment;
use crate::store::project::Project;

const FLAGS: u64 = 6;
const SEGMENTS: u64 = 4;
const FILTER: &str = "tagged";

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// Some keys of those that there may be, seldom many.
    fn keys(&mut self, letter: &str, end: u64) -> Vec<String> {
        (0..end).filter(|_| self.one_in(5)).map(|number| format!("{letter}{number}")).collect()
    }
}

/// What the environment is.
#[derive(Clone, Default)]
struct Whole {
    sequence: u64,
    flags: BTreeMap<String, (Flag, Vec<String>)>,
    segments: BTreeMap<String, Segment>,
}

fn match_segments(keys: Vec<String>) -> Vec<Clause> {
    let clause =
        |key| Clause { op: Operator::SegmentMatch, values: vec![Value::from(key)], ..Clause::default() };
    keys.into_iter().map(clause).collect()
}

impl Whole {
    /// Something happens to some items, each at most once, as a node sees it that looks at the change log.
    fn happen(&mut self, dice: &mut Dice) -> (Vec<Update>, FlagTags) {
        let (mut updates, mut tags) = (BTreeMap::new(), FlagTags::new());
        for _ in 0..=dice.below(3) {
            self.sequence += 1;
            let version = self.sequence;
            if dice.one_in(3) {
                let key = format!("s{}", dice.below(SEGMENTS));
                let update = if dice.one_in(4) {
                    self.segments.remove(&key);
                    Update::Deleted { kind: ItemKind::Segment, key: key.clone(), version }
                } else {
                    let rule = SegmentRule {
                        clauses: match_segments(dice.keys("s", SEGMENTS)),
                        ..SegmentRule::default()
                    };
                    let included = if dice.one_in(2) { vec!["ann".to_owned()] } else { Vec::new() };
                    let segment = Segment {
                        key: key.clone(),
                        version,
                        included,
                        rules: vec![rule],
                        ..Segment::default()
                    };
                    self.segments.insert(key.clone(), segment.clone());
                    Update::Segment(Box::new(segment))
                };
                updates.insert(key, (version, update));
                continue;
            }
            let key = format!("f{}", dice.below(FLAGS));
            let update = if dice.one_in(5) {
                self.flags.remove(&key);
                tags.remove(&*key);
                Update::Deleted { kind: ItemKind::Flag, key: key.clone(), version }
            } else {
                let (flag, own) = (self.flag(&key, dice), dice.keys("t", 3));
                tags.insert(key.as_str().into(), own.clone());
                self.flags.insert(key.clone(), (flag.clone(), own));
                Update::Flag(Box::new(flag))
            };
            updates.insert(key, (version, update));
        }
        let mut updates: Vec<_> = updates.into_values().collect();
        updates.sort_by_key(|(version, _)| *version);
        (updates.into_iter().map(|(_, update)| update).collect(), tags)
    }

    fn flag(&self, key: &str, dice: &mut Dice) -> Flag {
        let needed = dice.keys("f", FLAGS).into_iter().filter(|needed| needed != key);
        let rule = FlagRule {
            clauses: match_segments(dice.keys("s", SEGMENTS)),
            variation: Some(1),
            ..FlagRule::default()
        };
        Flag {
            key: key.to_owned(),
            version: self.sequence,
            on: !dice.one_in(4),
            prerequisites: needed.map(|key| Prerequisite { key, variation: 0 }).collect(),
            rules: vec![rule],
            fallthrough: VariationOrRollout { variation: Some(0), rollout: None },
            off_variation: Some(1),
            variations: vec![json!("a"), json!("b")],
            ..Flag::default()
        }
    }

    fn live(&self) -> LiveEnvironment {
        let live = LiveEnvironment::new(
            about(self.sequence),
            self.flags.values().map(|(flag, _)| flag.clone()).collect(),
            self.segments.values().cloned().collect(),
        );
        let tags = self.flags.iter().map(|(key, (_, tags))| (key.as_str().into(), tags.clone())).collect();
        live.filter_by(vec![filter(1, "t0")], tags);
        live
    }
}

fn filter(version: i64, tag: &str) -> PayloadFilter {
    PayloadFilter {
        id: 1,
        public_id: "filter".to_owned(),
        project_id: 1,
        key: FILTER.to_owned(),
        name: String::new(),
        description: String::new(),
        conditions: serde_json::from_value(json!([{"attribute": "tags", "values": [tag]}])).unwrap(),
        version,
        created_at: 0,
    }
}

/// What somebody holds who reads a stream: versions of items, and their JSON; none is a tombstone.
#[derive(Default)]
struct Reader(BTreeMap<String, (u64, Option<Value>)>);

impl Reader {
    fn read(&mut self, image: &super::super::Image) {
        let all: Value = serde_json::from_slice(&image.all().plain()).unwrap();
        self.0.clear();
        for kind in ["flags", "segments"] {
            for (key, item) in all[kind].as_object().unwrap() {
                let version = item["version"].as_u64().unwrap();
                self.0.insert(format!("/{kind}/{key}"), (version, Some(item.clone())));
            }
        }
    }

    /// As SDKs do: what has no greater version does not count.
    fn hear(&mut self, change: &Change) {
        let text = std::str::from_utf8(&change.all).unwrap();
        for message in text.split_terminator("\n\n") {
            let (event, data) = message.split_once('\n').unwrap();
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            let path = data["path"].as_str().unwrap().to_owned();
            let (version, item) = match event {
                "event: patch" => (data["data"]["version"].as_u64().unwrap(), Some(data["data"].clone())),
                "event: delete" => (data["version"].as_u64().unwrap(), None),
                other => panic!("{other}"),
            };
            let known = self.0.get(&path).map_or(0, |(known, _)| *known);
            assert!(version > known, "{path} would stay at {known} after {version}");
            self.0.insert(path, (version, item));
        }
    }

    fn holds(&self) -> BTreeMap<&str, &Value> {
        self.0.iter().filter_map(|(path, (_, item))| Some((&**path, item.as_ref()?))).collect()
    }
}

fn without_versions(items: &BTreeMap<&str, &Value>) -> BTreeMap<String, Value> {
    let without = |(path, item): (&&str, &&Value)| {
        let mut item = (*item).clone();
        item["version"] = Value::Null;
        ((*path).to_owned(), item)
    };
    items.iter().map(without).collect()
}

#[test]
fn a_part_that_follows_is_what_it_would_be_if_it_were_made_anew() {
    let ann = Context::builder("ann").build().unwrap();
    let (mut changes, mut in_parts, mut evaluated, mut differ) = (0, 0, 0, 0);
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let mut whole = Whole::default();
        for _ in 0..dice.below(12) {
            whole.happen(&mut dice);
        }
        let live = whole.live();
        let part = live.filtered(FILTER).unwrap();
        let mut reader = Reader::default();
        let (image, mut news) = part.subscribe();
        reader.read(&image.unwrap());
        for _ in 0..30 {
            let (updates, tags) = whole.happen(&mut dice);
            live.apply(updates, tags, &[whole.sequence.into()]);
            while let Ok(one) = news.try_recv() {
                let News::Change(change) = one else { panic!("only changes are told") };
                reader.hear(&change);
                changes += 1;
            }
            let mut anew = Reader::default();
            anew.read(&whole.live().filtered(FILTER).unwrap().image().unwrap());
            assert_eq!(without_versions(&reader.holds()), without_versions(&anew.holds()), "seed {seed}");
            // Another node, which made the part later, may have what came in at its own version.
            let other = whole.live().filtered(FILTER).unwrap();
            let (here, there) = (part.image().unwrap(), other.image().unwrap());
            assert_eq!(here.tag() == there.tag(), here.all().plain() == there.all().plain(), "seed {seed}");
            differ += usize::from(here.tag() != there.tag());
            let mut polled = Reader::default();
            polled.read(&part.image().unwrap());
            assert_eq!(reader.holds(), polled.holds(), "seed {seed}");
            assert_eq!(part.sequence(), whole.sequence);
            let (inside, outside) = (part.data().snapshot(), live.data().snapshot());
            for flag in inside.flags() {
                let value = |data: &DataSet| {
                    let flag = data.flag(flag.key()).unwrap();
                    let detail = flagstaff_eval::evaluate(data, flag, &ann, &mut |_| {});
                    (detail.variation_index, format!("{:?}", detail.reason))
                };
                assert_eq!(value(&inside), value(&outside), "seed {seed}, {}", flag.key());
                evaluated += 1;
            }
            in_parts += inside.flags().count();
        }
    }
    assert!(changes > 300 && in_parts > 1_000 && evaluated > 1_000, "{changes}, {in_parts}, {evaluated}");
    assert!((1..60 * 30).contains(&differ), "{differ}");
}

#[test]
fn who_holds_some_version_of_a_part_is_brought_up_to_date_by_what_changed_since() {
    for seed in 0..40 {
        let mut dice = Dice(seed);
        let mut whole = Whole::default();
        whole.happen(&mut dice);
        let live = whole.live();
        let part = live.filtered(FILTER).unwrap();
        let mut held: BTreeMap<(String, String), Value> = BTreeMap::new();
        let mut basis: Option<String> = None;
        for _ in 0..20 {
            let (updates, tags) = whole.happen(&mut dice);
            live.apply(updates, tags, &[whole.sequence.into()]);
            if dice.one_in(2) {
                continue;
            }
            let answer: Value =
                serde_json::from_slice(&part.transfer(part.held(basis.as_deref())).unwrap().poll().plain())
                    .unwrap();
            for event in answer["events"].as_array().unwrap() {
                let data = &event["data"];
                let place = || (data["kind"].to_string(), data["key"].to_string());
                match event["event"].as_str().unwrap() {
                    "server-intent" => {
                        let code = &data["payloads"][0]["intentCode"];
                        assert_eq!(code == "xfer-full", basis.is_none(), "{code}");
                        if code == "xfer-full" {
                            held.clear();
                        }
                    }
                    "put-object" => drop(held.insert(place(), data["object"].clone())),
                    "delete-object" => drop(held.remove(&place())),
                    "payload-transferred" => basis = Some(data["state"].as_str().unwrap().to_owned()),
                    other => panic!("{other}"),
                }
            }
            let all: Value = serde_json::from_slice(&part.image().unwrap().all().plain()).unwrap();
            let count = |kind: &str| all[kind].as_object().unwrap().len();
            assert_eq!(held.len(), count("flags") + count("segments"), "seed {seed}");
            for ((kind, key), item) in &held {
                let kind = if kind == "\"flag\"" { "flags" } else { "segments" };
                assert_eq!(*item, all[kind][key.trim_matches('"')], "seed {seed}");
            }
        }
        assert!(basis.is_some());
        // Another process, or a part of another time, does not know what happened meanwhile.
        let other = whole.live().filtered(FILTER).unwrap();
        let answer = other.transfer(other.held(basis.as_deref())).unwrap().poll().plain();
        assert!(String::from_utf8_lossy(&answer).contains("cant-catchup"));
    }
}

#[test]
fn a_filter_that_changes_sends_those_away_who_are_served_by_it() {
    let mut dice = Dice(1);
    let mut whole = Whole::default();
    (0..10).for_each(|_| drop(whole.happen(&mut dice)));
    let live = whole.live();
    let tags = || whole.flags.iter().map(|(key, (_, tags))| (key.as_str().into(), tags.clone())).collect();
    let part = live.filtered(FILTER).unwrap();
    let revoked = part.revoked(Audience::Mobile);
    live.filter_by(vec![filter(1, "t0")], tags());
    assert!(!revoked.is_cancelled(), "it is the same filter");
    live.filter_by(vec![filter(2, "t1")], tags());
    assert!(revoked.is_cancelled());
    let other = live.filtered(FILTER).unwrap();
    assert_ne!((part.lineage(), part.payload_id()), (other.lineage(), other.payload_id()));
    assert!(!other.revoked(Audience::Mobile).is_cancelled());
    let revoked = other.revoked(Audience::Mobile);
    live.send_away(Audience::Mobile);
    assert!(revoked.is_cancelled(), "its key stopped counting");
    live.filter_by(Vec::new(), FlagTags::new());
    assert!(live.filtered(FILTER).is_none());
}

pub(in crate::live_environment) fn about(sequence: u64) -> About {
    let text = String::new;
    let project = Project {
        id: 1,
        public_id: text(),
        key: text(),
        name: text(),
        tags: Vec::new(),
        new_flag_availability: Default::default(),
        created_at: 0,
    };
    let environment = Environment {
        id: EnvironmentId(1),
        project_id: 1,
        key: text(),
        name: text(),
        colour: text(),
        tags: Vec::new(),
        sdk_key: "sdk".to_owned(),
        expiring_sdk_key: None,
        mobile_key: "mob".to_owned(),
        client_side_id: "env".to_owned(),
        default_ttl: 0,
        secure_mode: false,
        default_track_events: false,
        confirm_changes: false,
        require_comments: false,
        critical: false,
        sequence,
        lineage: "lineage".to_owned(),
        version: 1,
        created_at: 0,
    };
    About { project, environment, pages: Pages::default() }
}
