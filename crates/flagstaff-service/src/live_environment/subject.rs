//! What a change is about, for those who are sent values and not flags.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use flagstaff_eval::{DataSet, ItemKey, PreparedFlag};

use crate::store::change_log::ItemKind;

/// For whom a flag is evaluated here. Each sees only the flags that are meant for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Audience {
    /// Who comes with a client-side ID.
    Browser,
    /// Who comes with a mobile key.
    Mobile,
    /// Who comes with an SDK key, and may know every flag.
    Server,
}

impl Audience {
    /// All of them, each at the place of its number.
    pub const ALL: [Self; 3] = [Self::Browser, Self::Mobile, Self::Server];

    /// Whether it may see the flag.
    pub fn sees(self, flag: &PreparedFlag) -> bool {
        match self {
            Self::Browser => flag.availability().using_environment_id,
            Self::Mobile => flag.availability().using_mobile_key,
            Self::Server => true,
        }
    }
}

/// What a change is about. Made once, shared by all who are told.
#[derive(Debug)]
pub struct Subject {
    items: Vec<ChangedItem>,
    affected: OnceLock<HashSet<Arc<str>>>,
}

#[derive(Debug)]
struct ChangedItem {
    kind: ItemKind,
    key: Arc<str>,
    /// Who saw the flag before: to others it must not even be named.
    seen_before: [bool; 3],
}

impl Subject {
    /// These items are about to change from what they are in `before`.
    pub(super) fn new<'k>(items: impl IntoIterator<Item = (ItemKind, &'k str)>, before: &DataSet) -> Self {
        let item = |(kind, key): (ItemKind, &str)| {
            let flag = before.flag(key).filter(|_| kind == ItemKind::Flag);
            let seen_before = Audience::ALL.map(|audience| flag.is_some_and(|flag| audience.sees(flag)));
            ChangedItem { kind, key: key.into(), seen_before }
        };
        Self { items: items.into_iter().map(item).collect(), affected: OnceLock::new() }
    }

    /// The flags that changed, of those that this audience saw before.
    pub fn flags_seen_before(&self, audience: Audience) -> impl Iterator<Item = &Arc<str>> {
        self.items.iter().filter(move |item| item.seen_before[audience as usize]).map(|item| &item.key)
    }

    /// The keys of all flags that may have other values now. Worked out by whoever asks first, in a data
    /// set that has the change, and perhaps later ones.
    pub fn affected(&self, data: &DataSet) -> &HashSet<Arc<str>> {
        self.affected.get_or_init(|| {
            let changed = self.items.iter().map(|item| match item.kind {
                ItemKind::Flag => ItemKey::Flag(&item.key),
                ItemKind::Segment => ItemKey::Segment(&item.key),
            });
            data.flags_affected_by(changed).into_iter().map(Arc::from).collect()
        })
    }
}
