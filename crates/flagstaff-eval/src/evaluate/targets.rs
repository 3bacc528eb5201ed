//! Context keys that get a variation by name.

use super::Walk;
use crate::context::ContextRead;
use crate::prepared::PreparedFlag;

impl<C: ContextRead + ?Sized> Walk<'_, '_, C> {
    #[inline]
    pub(super) fn individual_target(&self, flag: &PreparedFlag) -> Option<u32> {
        flag.targets.iter().find_map(|targets| targets.keys.get(self.context.key(&targets.kind)?))
    }
}
