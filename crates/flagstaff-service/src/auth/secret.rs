//! Secrets: made, hashed, compared, masked.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Bytes from the operating system's randomness.
///
/// # Panics
/// If the operating system has none, where nothing safe could be done.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// 256 random bits as hex digits.
pub fn random_token() -> String {
    hex(&random::<32>())
}

/// SHA-256 as hex digits: how secrets are stored and looked up.
pub fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

/// Whether two secrets are equal, in a time that says nothing about where they differ.
pub fn equal(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A key as it may be shown: a prefix like `sdk-` and the last five characters stay, every hex digit
/// between becomes `*`.
///
/// Source: the relay's status page.
pub fn mask(secret: &str) -> String {
    let prefix = match secret.as_bytes() {
        [a, b, c, b'-', ..] if [a, b, c].iter().all(|letter| letter.is_ascii_lowercase()) => 4,
        _ => 0,
    };
    let count = secret.chars().count();
    let tail = count.saturating_sub(5);
    let masked = |(place, letter): (usize, char)| match letter {
        '0'..='9' | 'a'..='f' | 'A'..='F' if place >= prefix && place < tail => '*',
        other => other,
    };
    secret.chars().enumerate().map(masked).collect()
}

/// How a secret ends, for a log: enough to tell one from another, and nothing of a short one.
pub fn ending(secret: &str) -> String {
    const SHOWN: usize = 4;
    const LONG_ENOUGH: usize = 24;
    let count = secret.chars().count();
    if count < LONG_ENOUGH {
        return "…".to_owned();
    }
    format!("…{}", secret.chars().skip(count - SHOWN).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_keeps_the_prefix_and_the_last_five() {
        let key = "sdk-01234567-89ab-cdef-0123-456789a99999";
        assert_eq!(mask(key), "sdk-********-****-****-****-*******99999");
        assert_eq!(mask("short"), "short");
    }

    #[test]
    fn an_ending_says_nothing_of_a_short_secret() {
        assert_eq!(ending("sdk-01234567-89ab-cdef-0123-456789a99999"), "…9999");
        assert_eq!((ending("sdk-demo-production"), ending("")), ("…".to_owned(), "…".to_owned()));
    }

    #[test]
    fn a_hash_is_sha_256() {
        assert_eq!(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
