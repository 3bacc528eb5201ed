//! A context's fixed place from 0 to 1, and which share of a rollout it falls in.

use sha1::block_api::compress;
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

/// The first 60 bits of the SHA-1 of all parts together, as a fraction of the greatest such number.
fn hashed(parts: &[&str]) -> f32 {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let first_eight = if length <= ONE_BLOCK { hash_one_block(parts, length) } else { hash(parts) };
    let sixty_bits = first_eight >> 4;
    // Single precision, like most SDKs: double precision would move a context on a bucket's edge.
    sixty_bits as f32 / 0x0FFF_FFFF_FFFF_FFFF_u64 as f32
}

/// Longer messages do not fit one block of SHA-1 with their padding.
const ONE_BLOCK: usize = 55;

/// The first eight bytes of the digest of a short message, which nearly all are: padded by hand, as
/// the general hasher's bookkeeping costs as much as a third of the hash.
fn hash_one_block(parts: &[&str], length: usize) -> u64 {
    let mut block = [0; 64];
    let mut end = 0;
    for part in parts {
        block[end..end + part.len()].copy_from_slice(part.as_bytes());
        end += part.len();
    }
    block[length] = 0x80;
    block[56..].copy_from_slice(&(8 * length as u64).to_be_bytes());
    // The initial state that SHA-1 defines.
    let mut state = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0];
    compress(&mut state, &[block]);
    u64::from(state[0]) << 32 | u64::from(state[1])
}

fn hash(parts: &[&str]) -> u64 {
    let mut hasher = Sha1::new();
    for part in parts {
        hasher.update(part.as_bytes());
    }
    let digest = hasher.finalize();
    let mut first_eight = [0; 8];
    first_eight.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first_eight)
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

#[cfg(test)]
mod tests {
    use super::{ONE_BLOCK, hash, hash_one_block};

    #[test]
    fn both_ways_to_hash_agree_at_every_length() {
        let text = "x".repeat(ONE_BLOCK);
        for length in 0..=ONE_BLOCK {
            let parts = [&text[..length / 3], &text[length / 3..length]];
            assert_eq!(hash_one_block(&parts, length), hash(&parts), "{length}");
        }
    }
}
