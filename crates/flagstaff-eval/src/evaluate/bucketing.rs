//! A context's fixed place from 0 to 1, and which share of a rollout it falls in.

use sha1::{Digest, Sha1};

use crate::context::{AttributeValue, ContextRead};
use crate::prepared::{Bucketing, Rollout};

/// Places a value in a rollout, as a fraction from 0.0 to 1.0.
///
/// `prefix` is `seed.` or `key.salt.`, joined when the flag arrived. Multiply the result by
/// 100,000 to compare with rollout weights. The same inputs give the same fraction in every SDK.
///
/// Source: the flag protocol's bucketing rule, SHA-1 of prefix and value, first 15 hex digits.
pub fn bucket(prefix: &str, value: &str) -> f32 {
    hashed(&[prefix, value])
}

fn hashed(parts: &[&str]) -> f32 {
    let mut hasher = Sha1::new();
    for part in parts {
        hasher.update(part.as_bytes());
    }
    let digest = hasher.finalize();
    let mut first_eight = [0; 8];
    first_eight.copy_from_slice(&digest[..8]);
    let sixty_bits = u64::from_be_bytes(first_eight) >> 4;
    // Single precision, like most SDKs: double precision would move a context on a bucket's edge.
    sixty_bits as f32 / 0x0FFF_FFFF_FFFF_FFFF_u64 as f32
}

/// The share the context falls in, as its variation and whether the context is in the experiment.
/// None if the rollout is malformed.
pub(super) fn choose<C: ContextRead + ?Sized>(rollout: &Rollout, context: &C) -> Option<(u32, bool)> {
    if rollout.bucketing.attribute.as_ref().is_some_and(|reference| !reference.is_valid()) {
        return None;
    }
    let placed = place(&rollout.bucketing, context);
    let bucket = placed.unwrap_or(0.0);
    let share = rollout.shares.iter().find(|share| bucket < share.end).or(rollout.shares.last())?;
    let in_experiment = rollout.is_experiment && !share.untracked && placed.is_some();
    Some((share.variation, in_experiment))
}

/// The context's place; none if it has no member of the kind that is placed. What cannot be hashed
/// (a missing attribute, a fraction, a list) is placed at 0.
pub(super) fn place<C: ContextRead + ?Sized>(bucketing: &Bucketing, context: &C) -> Option<f32> {
    let key = context.key(&bucketing.kind)?;
    let mut digits = itoa::Buffer::new();
    let value = match &bucketing.attribute {
        None => key,
        Some(reference) => match context.attribute(&bucketing.kind, reference) {
            AttributeValue::String(text) => text,
            AttributeValue::Number(number) if number.fract() == 0.0 && number.abs() < 9.0e18 => {
                digits.format(number as i64)
            }
            _ => return Some(0.0),
        },
    };
    Some(match context.secondary().filter(|_| bucketing.with_secondary) {
        Some(secondary) => hashed(&[&bucketing.prefix, value, ".", secondary]),
        None => bucket(&bucketing.prefix, value),
    })
}
