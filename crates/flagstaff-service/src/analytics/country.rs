//! The country of a user who comes with an IP address and without a country, by a database file that the
//! owner has: one in MaxMind's format, which several publishers have. Without a file nothing is looked up,
//! and nothing ever leaves the process.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use maxminddb::{MaxMindDbError, Reader, path};
use serde_json::{Map, Value};

/// Which addresses are where.
#[derive(Debug)]
pub struct Countries(Reader<Vec<u8>>);

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("could not read the database of countries `{}`; give a file in MaxMind's format, like GeoLite2-Country.mmdb", path.display())]
pub struct CountriesError {
    path: PathBuf,
    source: MaxMindDbError,
}

impl Countries {
    /// Reads a whole file, which is some megabytes.
    ///
    /// # Errors
    /// If there is none, or it is of another format.
    pub fn open(path: &Path) -> Result<Self, CountriesError> {
        Reader::open_readfile(path)
            .map(Self)
            .map_err(|source| CountriesError { path: path.to_owned(), source })
    }

    /// The two letters of the country that this address is in.
    pub fn of(&self, address: &str) -> Option<String> {
        let address: IpAddr = address.trim().parse().ok()?;
        // A damaged place in the file is as good as none.
        let found = self.0.lookup(address.to_canonical()).ok()?;
        found.decode_path::<&str>(&path!["country", "iso_code"]).ok().flatten().map(str::to_owned)
    }

    /// Adds the country to a user's attributes, unless they have one or no address.
    pub(super) fn add_to(&self, attributes: &mut Map<String, Value>) {
        if attributes.get("country").is_some_and(|country| !country.is_null()) {
            return;
        }
        if let Some(country) = attributes.get("ip").and_then(Value::as_str).and_then(|ip| self.of(ip)) {
            attributes.insert("country".to_owned(), country.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn countries() -> Countries {
        let file = flagstaff_testkit::country_database(&[("81.2.69.0/24", "GB"), ("2001:db8::/32", "NO")]);
        Countries(Reader::from_source(file).unwrap())
    }

    #[test]
    fn an_address_of_either_kind_is_in_a_country_or_nowhere() {
        let countries = countries();
        for (address, country) in [
            ("81.2.69.160", Some("GB")),
            (" 81.2.69.1 ", Some("GB")),
            ("::ffff:81.2.69.160", Some("GB")),
            ("2001:db8::7", Some("NO")),
            ("81.2.70.1", None),
            ("127.0.0.1", None),
            ("no address", None),
            ("", None),
        ] {
            assert_eq!(countries.of(address).as_deref(), country, "{address}");
        }
    }

    #[test]
    fn a_country_that_the_program_knows_counts_for_more() {
        let added = |attributes: Value| {
            let mut attributes = attributes.as_object().cloned().unwrap();
            countries().add_to(&mut attributes);
            attributes.get("country").cloned()
        };
        assert_eq!(added(json!({"ip": "81.2.69.160"})), Some("GB".into()));
        assert_eq!(added(json!({"ip": "81.2.69.160", "country": null})), Some("GB".into()));
        assert_eq!(added(json!({"ip": "81.2.69.160", "country": "FR"})), Some("FR".into()));
        assert_eq!(added(json!({"ip": 7})), None);
        assert_eq!(added(json!({"name": "Ada"})), None);
    }

    /// Whatever is wrong inside the file, a user is in some country or in none.
    #[test]
    fn a_damaged_file_is_refused_or_knows_less() {
        let whole = flagstaff_testkit::country_database(&[("81.2.69.0/24", "GB"), ("2001:db8::/32", "NO")]);
        let damages =
            (0..whole.len()).flat_map(|place| [0x00, 0x01, 0x3f, 0x80, 0xff].map(|byte| (place, byte)));
        for (place, byte) in damages {
            let mut damaged = whole.clone();
            damaged[place] ^= byte;
            let Ok(reader) = Reader::from_source(damaged) else { continue };
            let countries = Countries(reader);
            for address in ["81.2.69.160", "2001:db8::7", "127.0.0.1"] {
                countries.of(address);
            }
        }
        for length in 0..whole.len() {
            if let Ok(reader) = Reader::from_source(whole[..length].to_vec()) {
                Countries(reader).of("81.2.69.160");
            }
        }
    }

    #[test]
    fn what_is_no_such_file_is_refused_with_its_name() {
        let error = Countries::open(Path::new("Cargo.toml")).unwrap_err();
        assert!(error.to_string().contains("`Cargo.toml`; give a file in MaxMind's format"), "{error}");
        assert!(Countries::open(Path::new("none")).is_err());
    }
}
