//! Ids that the APIs show.

/// A fresh id of 24 hex digits: the seconds since 1970, then chance, so that ids sort by age.
pub fn new_public_id() -> String {
    let seconds = (crate::now_ms() / 1000) as u32;
    let chance: [u8; 8] = crate::auth::secret::random();
    let mut id = format!("{seconds:08x}");
    for byte in chance {
        id.push_str(&format!("{byte:02x}"));
    }
    id
}
