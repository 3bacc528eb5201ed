//! A small database of countries in MaxMind's format, for tests: the published ones are not ours to copy.

use std::net::IpAddr;

/// A file in which these networks are in these countries.
pub fn country_database(networks: &[(&str, &str)]) -> Vec<u8> {
    const DATA_BEGINS_AFTER: usize = 16;
    let mut data = Vec::new();
    let mut tree: Vec<[Record; 2]> = vec![[Record::Nothing; 2]];
    for (network, country) in networks {
        let (address, length) = network.split_once('/').expect("a network");
        let (bits, length) = match address.parse().expect("an address") {
            IpAddr::V4(address) => {
                (u128::from(u32::from(address)), 96 + length.parse::<u32>().expect("a length"))
            }
            IpAddr::V6(address) => (u128::from(address), length.parse().expect("a length")),
        };
        let place = data.len();
        map(&mut data, &[("country", &|out| map(out, &[("iso_code", &|out| text(out, country))]))]);
        let mut node = 0;
        for bit in 0..length {
            let side = usize::from((bits >> (127 - bit)) & 1 == 1);
            if bit + 1 == length {
                tree[node][side] = Record::Data(place);
            } else if let Record::Node(next) = tree[node][side] {
                node = next;
            } else {
                tree.push([Record::Nothing; 2]);
                let next = tree.len() - 1;
                tree[node][side] = Record::Node(next);
                node = next;
            }
        }
    }
    let mut file = Vec::new();
    for record in tree.iter().flatten() {
        let number = match record {
            Record::Nothing => tree.len(),
            Record::Node(node) => *node,
            Record::Data(place) => tree.len() + DATA_BEGINS_AFTER + place,
        };
        file.extend_from_slice(&(number as u32).to_be_bytes()[1..]);
    }
    file.extend_from_slice(&[0; DATA_BEGINS_AFTER]);
    file.extend_from_slice(&data);
    file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    let count = tree.len() as u32;
    map(
        &mut file,
        &[
            ("binary_format_major_version", &|out| number(out, 5, 2)),
            ("binary_format_minor_version", &|out| number(out, 5, 0)),
            ("build_epoch", &|out| out.extend_from_slice(&[0x01, 0x02, 1])),
            ("database_type", &|out| text(out, "Test-Country")),
            ("description", &|out| map(out, &[])),
            ("ip_version", &|out| number(out, 5, 6)),
            ("languages", &|out| out.extend_from_slice(&[0x00, 0x04])),
            ("node_count", &|out| number(out, 6, count)),
            ("record_size", &|out| number(out, 5, 24)),
        ],
    );
    file
}

#[derive(Clone, Copy)]
enum Record {
    Nothing,
    Node(usize),
    Data(usize),
}

/// Writes the value of an entry.
type Write<'a> = &'a dyn Fn(&mut Vec<u8>);

fn map(out: &mut Vec<u8>, entries: &[(&str, Write<'_>)]) {
    out.push(7 << 5 | entries.len() as u8);
    for (name, value) in entries {
        text(out, name);
        value(out);
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(2 << 5 | text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

/// A number of a kind that has a kind's number below eight.
fn number(out: &mut Vec<u8>, kind: u8, number: u32) {
    let bytes = number.to_be_bytes();
    let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    out.push(kind << 5 | bytes.len() as u8);
    out.extend_from_slice(bytes);
}
