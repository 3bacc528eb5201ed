//! Small things that stand on several pages, each with its template.

mod moment;
mod sentence;
mod shares;
mod switch;
mod variation;

pub(super) use moment::Moment;
pub(super) use sentence::{Piece, Sentence};
pub(super) use shares::{Bar, Hour};
pub(super) use switch::{ShownOn, Switch, switch_path};
pub(super) use variation::{VariationMark, Variations, value_text};
