//! What a change is about, for those who are sent values and not flags.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use flagstaff_eval::{DataSet, ItemKey, PreparedFlag};

use crate::store::change_log::ItemKind;

/// For whom a flag is evaluated here. Each sees only the flags that are meant for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    kind: ItemKind,
    key: Arc<str>,
    /// Who saw the flag before: to others it must not even be named.
    seen_before: [bool; 3],
    affected: OnceLock<HashSet<Arc<str>>>,
}

impl Subject {
    /// The item with this key is about to change from what it is in `before`.
    pub(super) fn new(kind: ItemKind, key: &str, before: &DataSet) -> Self {
        let flag = before.flag(key).filter(|_| kind == ItemKind::Flag);
        let seen_before = Audience::ALL.map(|audience| flag.is_some_and(|flag| audience.sees(flag)));
        Self { kind, key: key.into(), seen_before, affected: OnceLock::new() }
    }

    /// The flag that changed, if this audience saw it before.
    pub fn flag_seen_before(&self, audience: Audience) -> Option<&Arc<str>> {
        self.seen_before[audience as usize].then_some(&self.key)
    }

    /// The keys of all flags that may have other values now. Worked out by whoever asks first, in a data
    /// set that has the change, and perhaps later ones.
    pub fn affected(&self, data: &DataSet) -> &HashSet<Arc<str>> {
        self.affected.get_or_init(|| {
            let changed = match self.kind {
                ItemKind::Flag => ItemKey::Flag(&self.key),
                ItemKind::Segment => ItemKey::Segment(&self.key),
            };
            data.flags_affected_by([changed]).into_iter().map(Arc::from).collect()
        })
    }
}
