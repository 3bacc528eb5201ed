//! Flags that must serve a given variation first.

use super::{Chain, Malformed, PrerequisiteResult, Walk};
use crate::context::ContextRead;
use crate::detail::ReasonKind;
use crate::prepared::PreparedFlag;

impl<'a, C: ContextRead + ?Sized> Walk<'a, '_, C> {
    /// The first prerequisite that does not serve what it must; later ones are not looked at. An off
    /// prerequisite fails whatever it serves, but is evaluated all the same: its event says so.
    pub(super) fn failed_prerequisite(
        &mut self,
        flag: &'a PreparedFlag,
        chain: &Chain<'_>,
    ) -> Result<Option<ReasonKind<'a>>, Malformed> {
        for prerequisite in &flag.prerequisites {
            self.visit()?;
            let chain = chain.inside(&prerequisite.key)?;
            let failed = ReasonKind::PrerequisiteFailed { key: (&*prerequisite.key).into() };
            let Some(other) = self.data.flag(&prerequisite.key) else {
                return Ok(Some(failed));
            };
            let detail = self.flag(other, chain)?;
            let served = other.on && detail.variation_index == Some(prerequisite.variation as usize);
            (self.on_prerequisite)(PrerequisiteResult { flag: other, prerequisite_of: flag, detail });
            if !served {
                return Ok(Some(failed));
            }
        }
        Ok(None)
    }
}
