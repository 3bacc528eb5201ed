//! Secure mode: a browser proves whom it speaks for by a hash that only a server with the SDK key can make.
//!
//! Source: the protocol's *Secure mode*.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What a browser has to show for the context with this canonical key.
pub fn hash(sdk_key: &str, canonical_key: &str) -> String {
    let bytes = mac(sdk_key, canonical_key).finalize().into_bytes();
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Into memory, which takes everything.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether `shown` is that hash. The time it takes says nothing about where the two differ.
pub fn is_hash(shown: &str, sdk_key: &str, canonical_key: &str) -> bool {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let pairs = shown.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect();
    bytes.is_some_and(|bytes| mac(sdk_key, canonical_key).verify_slice(&bytes).is_ok())
}

fn mac(sdk_key: &str, canonical_key: &str) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(sdk_key.as_bytes());
    let mut mac = mac.unwrap_or_else(|_| unreachable!("a key of any length will do"));
    mac.update(canonical_key.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_that_every_sdk_makes() {
        let zero = "sdk-01234567-89ab-cdef-0123-456789abcdef";
        for (key, context, expected) in [
            (zero, "user-key-123", "73df666a13f2c474e50aa34ca5a761e89abb737fb139ff65fdde7fa85c9dcacd"),
            (
                "sdk-11234567-89ab-cdef-0123-456789abcdef",
                "user-key-123",
                "63538426a9845721a5547b4715f4284b060c21743702a896e1ff8a9a5b57215d",
            ),
            (zero, "user-key-456", "55be6b5ceb2a11acc6a7e9c60dbee5022d9c7084baf9ecd8cf69d12bce5a92fb"),
            (zero, "other:user-key-123", "98a933ca26d2951547fc021981ebcdeda95fbca2ac3f767ae67f7042d5458f72"),
        ] {
            assert_eq!(hash(key, context), expected);
            assert!(is_hash(expected, key, context));
            for wrong in ["", "7", "zz", &expected[..62], &expected.to_uppercase(), &format!("{expected}00")]
            {
                assert!(!is_hash(wrong, key, context), "{wrong}");
            }
        }
    }
}
