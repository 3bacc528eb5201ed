//! The stages of a migration, and which origin is believed in each.

use std::fmt;
use std::str::FromStr;

use flagstaff_wire::migration::Origin;

/// How far a migration has come.
///
/// ```
/// use flagstaff_sdk::migrations::Stage;
///
/// assert_eq!("rampdown".parse(), Ok(Stage::RampDown));
/// assert_eq!(Stage::DualWrite.as_str(), "dualwrite");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// The new system is not touched.
    #[default]
    Off,
    /// Both are written, the old one is read.
    DualWrite,
    /// Both are written and read, the old one is believed.
    Shadow,
    /// Both are written and read, the new one is believed.
    Live,
    /// Both are written, the new one is read.
    RampDown,
    /// The old system is not touched.
    Complete,
}

/// A text that names no stage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no migration stage; those are off, dualwrite, shadow, live, rampdown and complete")]
pub struct UnknownStage {
    given: String,
}

/// Which origin is believed, and the other one if it is called too.
pub(super) type Plan = (Origin, Option<Origin>);

impl Stage {
    /// All stages, in order.
    pub const ALL: [Stage; 6] =
        [Stage::Off, Stage::DualWrite, Stage::Shadow, Stage::Live, Stage::RampDown, Stage::Complete];

    /// The value of the flag that stands for it: `dualwrite`.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Off => "off",
            Stage::DualWrite => "dualwrite",
            Stage::Shadow => "shadow",
            Stage::Live => "live",
            Stage::RampDown => "rampdown",
            Stage::Complete => "complete",
        }
    }

    pub(super) fn reads(self) -> Plan {
        match self {
            Stage::Off | Stage::DualWrite => (Origin::Old, None),
            Stage::Shadow => (Origin::Old, Some(Origin::New)),
            Stage::Live => (Origin::New, Some(Origin::Old)),
            Stage::RampDown | Stage::Complete => (Origin::New, None),
        }
    }

    pub(super) fn writes(self) -> Plan {
        match self {
            Stage::Off => (Origin::Old, None),
            Stage::DualWrite | Stage::Shadow => (Origin::Old, Some(Origin::New)),
            Stage::Live | Stage::RampDown => (Origin::New, Some(Origin::Old)),
            Stage::Complete => (Origin::New, None),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Stage {
    type Err = UnknownStage;

    fn from_str(name: &str) -> Result<Self, UnknownStage> {
        let known = Stage::ALL.into_iter().find(|stage| stage.as_str() == name);
        known.ok_or_else(|| UnknownStage { given: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_found_by_its_name_and_by_nothing_else() {
        for stage in Stage::ALL {
            assert_eq!(stage.to_string().parse(), Ok(stage));
        }
        for wrong in ["", "OFF", "Live", " live", "dual-write"] {
            let error = wrong.parse::<Stage>().unwrap_err();
            assert!(error.to_string().contains(&format!("`{wrong}`")), "{error}");
        }
    }

    #[test]
    fn each_stage_believes_one_origin() {
        let (old, new) = (Origin::Old, Origin::New);
        let plans = Stage::ALL.map(|stage| (stage.reads(), stage.writes()));
        assert_eq!(
            plans,
            [
                ((old, None), (old, None)),
                ((old, None), (old, Some(new))),
                ((old, Some(new)), (old, Some(new))),
                ((new, Some(old)), (new, Some(old))),
                ((new, None), (new, Some(old))),
                ((new, None), (new, None)),
            ]
        );
    }
}
