//! The checksum of a row: CRC-32 over its columns in a fixed order, each with its kind and length, so that
//! nothing can move from one column to the next unseen.
//!
//! CRC-32 finds every error of up to 32 bits side by side, and overlooks one in four billion others. It guards
//! against disks, not against people: whoever can write to the database can write a checksum as well.

use super::super::StoreError;
use super::super::connection::Value;

/// In place of a checksum that is not known yet, as in rows that an earlier version wrote.
pub(in crate::store) const UNKNOWN: i64 = -1;

/// The checksum of these columns.
pub(in crate::store) fn of(columns: &[Value<'_>]) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    let mut add = |kind: u8, bytes: &[u8]| {
        hasher.update(&[kind]);
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    for column in columns {
        match column {
            Value::Integer(None) | Value::Text(None) | Value::Bytes(None) => add(0, &[]),
            Value::Integer(Some(number)) => add(1, &number.to_le_bytes()),
            Value::Text(Some(text)) => add(2, text.as_bytes()),
            Value::Bytes(Some(bytes)) => add(3, bytes),
        }
    }
    i64::from(hasher.finalize())
}

/// Compares a row that was read with its checksum.
pub(in crate::store) fn check(
    entity: &'static str,
    key: &str,
    checksum: i64,
    columns: &[Value<'_>],
) -> Result<(), StoreError> {
    if checksum == UNKNOWN || checksum == of(columns) {
        return Ok(());
    }
    Err(StoreError::WrongChecksum { entity, key: key.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_changes_changes_the_checksum() {
        let row = |number: i64, text: &'static str, other: Option<&'static str>| {
            of(&[number.into(), text.into(), other.into()])
        };
        let good = row(1, "on", Some("off"));
        for other in [
            row(2, "on", Some("off")),
            row(1, "no", Some("off")),
            row(1, "ono", Some("ff")),
            row(1, "on", Some("")),
            row(1, "on", None),
            row(1, "on\0", Some("off")),
        ] {
            assert_ne!(good, other);
        }
        assert_eq!(good, row(1, "on", Some("off")));
        assert!(good > UNKNOWN);
    }

    #[test]
    fn every_single_bit_counts() {
        let text = b"{\"on\":true,\"rules\":[]}".to_vec();
        let good = of(&[text.clone().into()]);
        for bit in 0..text.len() * 8 {
            let mut flipped = text.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(of(&[flipped.into()]), good, "bit {bit}");
        }
    }

    #[test]
    fn a_row_of_an_earlier_version_is_taken_as_it_is() {
        assert!(check("flag", "a", UNKNOWN, &["a".into()]).is_ok());
        assert!(check("flag", "a", of(&["a".into()]), &["a".into()]).is_ok());
        let wrong = check("flag", "a", of(&["b".into()]), &["a".into()]);
        assert!(matches!(wrong, Err(StoreError::WrongChecksum { entity: "flag", key }) if key == "a"));
    }
}
