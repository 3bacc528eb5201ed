//! A file of keys, one on each line, read piece by piece.
//!
//! A line is a key, or a key in quotation marks as programs for tables write it. Lines end as they do on any
//! system; empty ones and blanks around a key do not count.

use std::borrow::Cow;

/// A line is never longer.
const LONGEST_LINE: usize = 16 * 1024;

/// What was read of a file and not given yet.
#[derive(Default)]
pub(super) struct KeysFile {
    bytes: Vec<u8>,
    /// What of it was given.
    start: usize,
    lines: usize,
    /// Whether the last line ended with `\r`, which a `\n` may belong to.
    after_return: bool,
}

impl KeysFile {
    /// More of the file.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next key, and its line; none if more is needed first, or at the end.
    pub(super) fn next(&mut self, at_end: bool) -> Result<Option<(usize, String)>, String> {
        loop {
            let rest = &self.bytes[self.start..];
            let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (line, length) = match end {
                Some(end) => (&rest[..end], end + 1),
                None if at_end && !rest.is_empty() => (rest, rest.len()),
                None if rest.len() > LONGEST_LINE => return Err(self.wrong(&too_long())),
                None => return Ok(None),
            };
            if line.len() > LONGEST_LINE {
                return Err(self.wrong(&too_long()));
            }
            let key = std::str::from_utf8(line).map_err(|_| self.wrong("it is not UTF-8"))?;
            let key = if self.lines == 0 { key.trim_start_matches('\u{feff}') } else { key };
            let key = unquoted(key.trim()).map_err(|problem| self.wrong(problem))?.into_owned();
            // The two of `\r\n` end one line.
            let ending = rest.get(line.len()).copied();
            if !(line.is_empty() && self.after_return && ending == Some(b'\n')) {
                self.lines += 1;
            }
            self.after_return = ending == Some(b'\r');
            self.start += length;
            if !key.is_empty() {
                return Ok(Some((self.lines, key)));
            }
        }
    }

    fn wrong(&self, problem: &str) -> String {
        format!("file: line {} cannot be read: {problem}; the lines before it are imported", self.lines + 1)
    }
}

fn too_long() -> String {
    format!("it has more than {LONGEST_LINE} bytes")
}

/// The key of a line.
fn unquoted(line: &str) -> Result<Cow<'_, str>, &'static str> {
    const SEVERAL: &str = "there is one key on each line; put a key with a comma in quotation marks";
    let Some(quoted) = line.strip_prefix('"') else {
        return if line.contains(',') { Err(SEVERAL) } else { Ok(line.into()) };
    };
    let inside = quoted.strip_suffix('"').ok_or("a quotation mark is missing at its end")?;
    if inside.replace("\"\"", "").contains('"') {
        return Err(SEVERAL);
    }
    Ok(if inside.contains('"') { inside.replace("\"\"", "\"").into() } else { inside.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fed in pieces of every size, the outcome is the same.
    #[track_caller]
    fn check(file: &[u8], expected: &[(usize, &str)]) {
        for size in 1..=file.len() {
            let mut keys = KeysFile::default();
            let mut found = Vec::new();
            for piece in file.chunks(size) {
                keys.feed(piece);
                while let Some(key) = keys.next(false).unwrap() {
                    found.push(key);
                }
            }
            while let Some(key) = keys.next(true).unwrap() {
                found.push(key);
            }
            let found: Vec<_> = found.iter().map(|(line, key)| (*line, key.as_str())).collect();
            assert_eq!(found, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn each_line_is_a_key_however_lines_end() {
        check(b"a\nb\r\nc\rd", &[(1, "a"), (2, "b"), (3, "c"), (4, "d")]);
        check(b"\xef\xbb\xbfa\n\n  b b \r\n\r\nc\n", &[(1, "a"), (3, "b b"), (5, "c")]);
        check("\u{e4}\u{20ac}\n".as_bytes(), &[(1, "\u{e4}\u{20ac}")]);
    }

    #[test]
    fn keys_may_stand_in_quotation_marks() {
        check(b"\"a,b\"\n\"say \"\"hi\"\"\"\n\"\"\nc\n", &[(1, "a,b"), (2, "say \"hi\""), (4, "c")]);
    }

    #[test]
    fn what_is_no_list_of_keys_is_refused_with_its_line() {
        let refused = |file: &[u8]| {
            let mut keys = KeysFile::default();
            keys.feed(file);
            loop {
                match keys.next(true) {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("it was taken"),
                    Err(problem) => return problem,
                }
            }
        };
        assert!(refused(b"a\nb,c\n").contains("line 2"), "several columns");
        assert!(refused(b"\"a\n").contains("quotation mark"), "half a quotation");
        assert!(refused(b"\"a\",\"b\"\n").contains("one key on each line"));
        assert!(refused(b"a\n\xff\n").contains("line 2 cannot be read: it is not UTF-8"));
        assert!(refused(&[b'a'; LONGEST_LINE + 1]).contains("more than"));
    }
}
