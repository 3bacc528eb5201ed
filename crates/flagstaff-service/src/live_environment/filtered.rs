//! Payload filters: a part of an environment, as an environment of its own.
//!
//! A filter names flags. In the part are these, their prerequisites, and the segments that any of them uses,
//! so that an evaluation gives the same inside as outside. Whoever is served a part is served by a
//! [`LiveEnvironment`] like any other; it follows the whole, under the whole's lock. Within it an item's version
//! is the one of its last change or, if that is later, of the moment at which it came in: it may have left
//! before, under a greater version than its own. What happens at once to several items is one change.
//!
//! What left and came back between two looks at the change log is not known to other nodes, nor after a
//! restart, so that second-generation selectors hold for this part in this process alone.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use flagstaff_eval::{DataSet, Entry, ItemKey, PreparedFlag, PreparedSegment, SharedDataSet, model};
use sha2::{Digest as _, Sha256};

use super::{Audience, Change, Changed, Deleted, Item, LiveEnvironment, Moment, Part, State, Subject};
use crate::auth::secret;
use crate::store::change_log::ItemKind;
use crate::store::payload_filter::PayloadFilter;

/// The tags of flags, by flag key.
pub type FlagTags = HashMap<Arc<str>, Vec<String>>;

/// The parts of an environment.
#[derive(Debug, Default)]
pub(super) struct Parts {
    filters: BTreeMap<String, PayloadFilter>,
    tags: FlagTags,
    /// Each made when somebody first asks for it.
    live: BTreeMap<String, Arc<LiveEnvironment>>,
}

/// What an update touches, and whether items may enter or leave parts because of it.
pub(super) struct Touched {
    before: Arc<DataSet>,
    items: Vec<(ItemKind, Arc<str>)>,
    other_tags: bool,
}

impl LiveEnvironment {
    /// The part that a filter with this key makes of it, if there is one.
    pub fn filtered(&self, key: &str) -> Option<Arc<LiveEnvironment>> {
        let state = self.state();
        let mut parts = self.parts();
        if let Some(live) = parts.live.get(key) {
            return Some(live.clone());
        }
        let live = Arc::new(self.part(&state, parts.filters.get(key)?, &parts.tags));
        parts.live.insert(key.to_owned(), live.clone());
        Some(live)
    }

    /// From now on there are these filters. Whoever is served a part that is another now is sent away.
    /// `tags` are those of all its flags; nobody needs them where there is no filter.
    pub fn filter_by(&self, filters: Vec<PayloadFilter>, tags: FlagTags) {
        let filters = filters.into_iter().map(|filter| (filter.key.clone(), filter)).collect();
        let mut parts = self.parts();
        let known = std::mem::replace(&mut parts.filters, filters);
        parts.tags = tags;
        let other: Vec<String> = known
            .into_iter()
            .filter(|(key, filter)| parts.filters.get(key) != Some(filter))
            .map(|(key, _)| key)
            .collect();
        let gone: Vec<_> = other.iter().filter_map(|key| parts.live.remove(key)).collect();
        drop(parts);
        // Last: whoever asks by now is served what it is now.
        for (live, audience) in gone.iter().flat_map(|live| Audience::ALL.map(|audience| (live, audience))) {
            live.send_away(audience);
        }
    }

    /// Serves an environment that is kept up to date elsewhere as the part with this key: in a relay, whose
    /// upstream filters. None takes it away.
    pub fn serve_filtered(&self, key: &str, environment: Option<Arc<LiveEnvironment>>) {
        let mut parts = self.parts();
        let before = match environment {
            Some(environment) => parts.live.insert(key.to_owned(), environment),
            None => parts.live.remove(key),
        };
        drop(parts);
        for audience in before.iter().flat_map(|_| Audience::ALL) {
            before.iter().for_each(|live| live.send_away(audience));
        }
    }

    /// What parts have to know of a change before it is made.
    pub(super) fn touched(&self, items: Vec<(ItemKind, Arc<str>)>, tags: FlagTags) -> Option<Touched> {
        let mut parts = self.parts();
        let mut other_tags = false;
        for (key, tags) in tags {
            other_tags |= parts.tags.get(&key) != Some(&tags);
            parts.tags.insert(key, tags);
        }
        (!parts.live.is_empty()).then(|| Touched { before: self.data.snapshot(), items, other_tags })
    }

    /// Has every part follow a change that was made.
    pub(super) fn lead_parts(&self, state: &State, touched: &Touched) {
        let after = self.data.snapshot();
        let moves = touched.other_tags || touched.items.iter().any(|item| touched.needs_other(&after, item));
        let parts = self.parts();
        for (key, filter) in &parts.filters {
            if let Some(part) = parts.live.get(key) {
                let members = moves.then(|| members(&after, filter, &parts.tags));
                part.follow(state, &after, touched, members.as_deref());
            }
        }
    }

    /// Every part, also those that are kept up to date elsewhere.
    pub(super) fn for_each_part(&self, act: impl FnMut(&LiveEnvironment)) {
        self.parts().live.values().map(|part| &**part).for_each(act);
    }

    /// Every part that follows this environment.
    pub(super) fn for_each_following_part(&self, act: impl FnMut(&LiveEnvironment)) {
        let parts = self.parts();
        let follows = |(key, _): &(&String, &Arc<LiveEnvironment>)| parts.filters.contains_key(*key);
        parts.live.iter().filter(follows).map(|(_, part)| &**part).for_each(act);
    }

    fn part(&self, whole: &State, filter: &PayloadFilter, tags: &FlagTags) -> Self {
        let data = self.data.snapshot();
        let members = members(&data, filter, tags);
        let (mut flags, mut segments) = (BTreeMap::new(), BTreeMap::new());
        for member in &members {
            let (into, from) = match member {
                Member::Flag(_) => (&mut flags, &whole.flags),
                Member::Segment(_) => (&mut segments, &whole.segments),
            };
            if let Some((key, item)) = from.get_key_value(member.key()) {
                into.insert(key.clone(), item.clone());
            }
        }
        let entries = DataSet::new(
            members.iter().filter_map(Member::flag_entry),
            members.iter().filter_map(Member::segment_entry),
        );
        let mark = format!("~{}.{}", filter.public_id, filter.version);
        let instance = format!("{mark}.{}", secret::hex(&secret::random::<8>()));
        let part = Part { mark, instance };
        let nothing = State::nothing_at(whole.moments.now());
        let state = State { is_initialized: true, flags, segments, ..nothing };
        let part = Self::of(self.about(), part, SharedDataSet::new(entries), state);
        Self { goals: self.goals.clone(), ..part.with_members_of(self) }
    }

    /// Takes over what changed in the whole. `members` are those it has from now on, if they may be others.
    fn follow(&self, whole: &State, after: &DataSet, touched: &Touched, members: Option<&[Member<'_>]>) {
        let mut state = self.state();
        let mut news = News::new(&state, whole, after);
        match members {
            None => touched.items.iter().for_each(|(kind, key)| news.stays(*kind, key)),
            Some(members) => {
                members.iter().for_each(|member| news.is_member(member.kind(), member.key()));
                let is_in: HashSet<ItemKey<'_>> = members.iter().map(Member::item).collect();
                for key in state.flags.keys().filter(|key| !is_in.contains(&ItemKey::Flag(key))) {
                    news.leaves(ItemKind::Flag, key);
                }
                for key in state.segments.keys().filter(|key| !is_in.contains(&ItemKey::Segment(key))) {
                    news.leaves(ItemKind::Segment, key);
                }
            }
        }
        let News { changed, items, flags, segments, .. } = news;
        state.image = None;
        for (changed, item) in changed.iter().zip(&items) {
            let place = (changed.kind, changed.key.clone());
            // Not as it is in the whole, nor in a part that another node has made since.
            match whole.items(changed.kind).get(&changed.key).zip(item.as_ref()) {
                Some((outside, inside)) if outside.version < inside.version => {
                    state.raised.insert(place, inside.version);
                }
                _ => drop(state.raised.remove(&place)),
            }
        }
        let moment = state.moment_within(whole.moments.now());
        state.pass(moment);
        if changed.is_empty() {
            return;
        }
        let subject =
            Subject::new(changed.iter().map(|changed| (changed.kind, &*changed.key)), &self.data.load());
        self.data.change(|data| Some(data.with_all(flags, segments)));
        for (changed, item) in changed.iter().zip(items) {
            let Changed { kind, key, version, .. } = changed;
            match item {
                Some(item) => state.put(*kind, key, item),
                None => {
                    let deleted = Deleted { version: *version, sequence: moment.sequence };
                    state.delete(*kind, key, deleted);
                }
            }
        }
        let change = Change::of(&changed, &self.payload_id(), moment, subject);
        self.tell(super::News::Change(change));
    }
}

impl State {
    /// A moment of the whole in this part. What is equal everywhere has the same stamp everywhere.
    fn moment_within(&self, whole: Moment) -> Moment {
        let sum = |((kind, key), version): (&(ItemKind, Arc<str>), &u64)| {
            let sum = Sha256::digest(format!("{kind:?} {key} {version}"));
            u64::from_be_bytes(std::array::from_fn(|place| sum[place]))
        };
        let stamp = self.raised.iter().map(sum).fold(whole.stamp, |stamp, sum| stamp ^ sum);
        Moment { stamp, ..whole }
    }
}

impl Touched {
    /// Whether the item needs others than before, or is another.
    fn needs_other(&self, after: &DataSet, (kind, key): &(ItemKind, Arc<str>)) -> bool {
        let needs = |data| Member::find(data, *kind, key).map(|member: Member<'_>| member.needs());
        match (needs(&self.before), needs(after)) {
            (Some(before), Some(after)) => {
                before.collect::<HashSet<ItemKey<'_>>>() != after.collect::<HashSet<ItemKey<'_>>>()
            }
            (None, None) => false,
            _ => true,
        }
    }
}

/// What a change of the whole is to a part.
struct News<'s> {
    part: &'s State,
    whole: &'s State,
    after: &'s DataSet,
    changed: Vec<Changed>,
    /// For each of `changed`, what it is now.
    items: Vec<Option<Item>>,
    flags: Vec<Entry<PreparedFlag>>,
    segments: Vec<Entry<PreparedSegment>>,
}

impl<'s> News<'s> {
    fn new(part: &'s State, whole: &'s State, after: &'s DataSet) -> Self {
        let (changed, items, flags, segments) = Default::default();
        Self { part, whole, after, changed, items, flags, segments }
    }

    /// The item is as it was in the part or outside, and may have changed.
    fn stays(&mut self, kind: ItemKind, key: &str) {
        if self.part.items(kind).contains_key(key) {
            self.is_member(kind, key);
        }
    }

    /// The item is in the part from now on.
    fn is_member(&mut self, kind: ItemKind, key: &str) {
        let Some((key, item)) = self.whole.items(kind).get_key_value(key) else { return };
        match self.part.items(kind).get(key) {
            None => self.enters(kind, key, item),
            Some(known) if known.version < item.version => self.changes(kind, key, item),
            Some(_) => {}
        }
    }

    fn changes(&mut self, kind: ItemKind, key: &Arc<str>, item: &Item) {
        match kind {
            ItemKind::Flag => self.flags.extend(self.after.flag(key).cloned().map(Entry::Live)),
            ItemKind::Segment => self.segments.extend(self.after.segment(key).cloned().map(Entry::Live)),
        }
        self.puts(kind, key, item.clone());
    }

    fn enters(&mut self, kind: ItemKind, key: &Arc<str>, item: &Item) {
        let version = self.whole.moments.now().sequence;
        let item = match kind {
            ItemKind::Flag => {
                let flag = model::Flag { version, ..item.read() };
                let item = Item::new(version, &flag);
                self.flags.push(Entry::flag(key, flag));
                item
            }
            ItemKind::Segment => {
                let segment = model::Segment { version, ..item.read() };
                let item = Item::new(version, &segment);
                self.segments.push(Entry::segment(key, segment));
                item
            }
        };
        self.puts(kind, key, item);
    }

    fn puts(&mut self, kind: ItemKind, key: &Arc<str>, item: Item) {
        let (key, version, json) = (key.clone(), item.version, Some(item.json.clone()));
        self.changed.push(Changed { kind, key, version, json });
        self.items.push(Some(item));
    }

    fn leaves(&mut self, kind: ItemKind, key: &Arc<str>) {
        let version = self.whole.moments.now().sequence;
        match kind {
            ItemKind::Flag => self.flags.push(Entry::tombstone(key, version)),
            ItemKind::Segment => self.segments.push(Entry::tombstone(key, version)),
        }
        self.changed.push(Changed { kind, key: key.clone(), version, json: None });
        self.items.push(None);
    }
}

/// An item of a part.
#[derive(Clone, Copy)]
enum Member<'d> {
    Flag(&'d Arc<PreparedFlag>),
    Segment(&'d Arc<PreparedSegment>),
}

impl<'d> Member<'d> {
    fn find(data: &'d DataSet, kind: ItemKind, key: &str) -> Option<Self> {
        match kind {
            ItemKind::Flag => data.flag(key).map(Self::Flag),
            ItemKind::Segment => data.segment(key).map(Self::Segment),
        }
    }

    fn kind(&self) -> ItemKind {
        match self {
            Self::Flag(_) => ItemKind::Flag,
            Self::Segment(_) => ItemKind::Segment,
        }
    }

    fn key(&self) -> &'d str {
        match *self {
            Self::Flag(flag) => flag.key(),
            Self::Segment(segment) => segment.key(),
        }
    }

    fn item(&self) -> ItemKey<'d> {
        match self {
            Self::Flag(_) => ItemKey::Flag(self.key()),
            Self::Segment(_) => ItemKey::Segment(self.key()),
        }
    }

    /// What an evaluation of it looks at.
    fn needs(self) -> impl Iterator<Item = ItemKey<'d>> {
        let (flag, segment) = match self {
            Self::Flag(flag) => (Some(flag), None),
            Self::Segment(segment) => (None, Some(segment)),
        };
        let prerequisites = flag.into_iter().flat_map(|flag| flag.prerequisites()).map(ItemKey::Flag);
        let segments = flag.into_iter().flat_map(|flag| flag.segments());
        let nested = segment.into_iter().flat_map(|segment| segment.segments());
        prerequisites.chain(segments.chain(nested).map(ItemKey::Segment))
    }

    fn flag_entry(&self) -> Option<Entry<PreparedFlag>> {
        if let Self::Flag(flag) = *self { Some(Entry::Live(flag.clone())) } else { None }
    }

    fn segment_entry(&self) -> Option<Entry<PreparedSegment>> {
        if let Self::Segment(segment) = *self { Some(Entry::Live(segment.clone())) } else { None }
    }
}

/// What is in a part, each after what it needs.
fn members<'d>(data: &'d DataSet, filter: &PayloadFilter, tags: &FlagTags) -> Vec<Member<'d>> {
    let included = |flag: &&Arc<PreparedFlag>| {
        filter.includes(flag.key(), tags.get(flag.key()).map(Vec::as_slice).unwrap_or_default())
    };
    let mut open: Vec<(Member<'d>, bool)> =
        data.flags().filter(included).map(|flag| (Member::Flag(flag), false)).collect();
    let (mut seen, mut members) = (HashSet::new(), Vec::new());
    while let Some((member, has_all_it_needs)) = open.pop() {
        if has_all_it_needs {
            members.push(member);
        } else if seen.insert(member.item()) {
            open.push((member, true));
            let needed = member.needs().filter_map(|item| match item {
                ItemKey::Flag(key) => data.flag(key).map(Member::Flag),
                ItemKey::Segment(key) => data.segment(key).map(Member::Segment),
            });
            open.extend(needed.map(|needed| (needed, false)));
        }
    }
    members
}

#[cfg(test)]
pub(super) mod tests;
