//! Semantic versions as clauses compare them.

use std::cmp::Ordering;

/// A semantic version, as parts of its text. Minor and patch may be missing; build metadata is not
/// kept, as it takes no part in precedence. Numbers stay text, so that any length is exact.
///
/// Source: the flag protocol's grammar, SemVer 2 with optional minor and patch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SemVer<S> {
    numbers: [S; 3],
    prerelease: Option<S>,
}

impl<'a> SemVer<&'a str> {
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        let mut numbers = ["0"; 3];
        let mut end = 0;
        for (index, number) in numbers.iter_mut().enumerate() {
            let start = end;
            while bytes.get(end).is_some_and(u8::is_ascii_digit) {
                end += 1;
            }
            if end == start || (end > start + 1 && bytes[start] == b'0') {
                return None;
            }
            *number = &text[start..end];
            if index == 2 || bytes.get(end) != Some(&b'.') {
                break;
            }
            end += 1;
        }
        let suffix = &text[end..];
        if suffix.is_empty() {
            return Some(Self { numbers, prerelease: None });
        }
        let prerelease = suffix_of(suffix)?;
        Some(Self { numbers, prerelease })
    }

    pub(crate) fn to_owned(self) -> SemVer<Box<str>> {
        SemVer { numbers: self.numbers.map(Into::into), prerelease: self.prerelease.map(Into::into) }
    }
}

impl<S: AsRef<str>> SemVer<S> {
    pub(crate) fn compare<T: AsRef<str>>(&self, other: &SemVer<T>) -> Ordering {
        for (a, b) in self.numbers.iter().zip(&other.numbers) {
            let order = compare_numbers(a.as_ref(), b.as_ref());
            if order != Ordering::Equal {
                return order;
            }
        }
        match (&self.prerelease, &other.prerelease) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) => compare_prereleases(a.as_ref(), b.as_ref()),
        }
    }
}

/// Without leading zeros, the longer number is the greater one.
fn compare_numbers(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// The prerelease in `-rc.1+build`, if there is one; none at all if the text is something else.
fn suffix_of(suffix: &str) -> Option<Option<&str>> {
    let (before_build, build) = match suffix.split_once('+') {
        Some((before, build)) => (before, Some(build)),
        None => (suffix, None),
    };
    if !build.is_none_or(|build| build.split('.').all(is_identifier)) {
        return None;
    }
    if before_build.is_empty() {
        return Some(None);
    }
    let prerelease = before_build.strip_prefix('-')?;
    let holds = prerelease.split('.').all(|id| is_identifier(id) && !has_leading_zero(id));
    holds.then_some(Some(prerelease))
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_numeric(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn has_leading_zero(text: &str) -> bool {
    text.len() > 1 && text.starts_with('0') && is_numeric(text)
}

fn compare_prereleases(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => match (is_numeric(a), is_numeric(b)) {
                (true, true) => compare_numbers(a, b),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => a.cmp(b),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precedence_is_that_of_semver() {
        let ascending = [
            "0.9",
            "1.0.0-0",
            "1.0.0-2",
            "1.0.0-10",
            "1.0.0--",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1-rc",
            "1",
            "1.0.1",
            "1.1-x+y",
            "1.1",
            "1.9",
            "1.10",
            "2",
            "99999999999999999999999",
        ];
        for (index, low) in ascending.iter().enumerate() {
            for high in &ascending[index + 1..] {
                let (low, high) = (SemVer::parse(low).unwrap(), SemVer::parse(high).unwrap());
                assert_eq!(low.compare(&high), Ordering::Less, "{low:?} {high:?}");
                assert_eq!(high.compare(&low), Ordering::Greater, "{high:?} {low:?}");
            }
        }
    }

    #[test]
    fn missing_parts_are_zero_and_build_metadata_does_not_count() {
        for (a, b) in [("2", "2.0.0"), ("2.1", "2.1.0"), ("2-rc", "2.0.0-rc"), ("2.0.0+a", "2+b.c-d")] {
            assert_eq!(SemVer::parse(a).unwrap().compare(&SemVer::parse(b).unwrap()), Ordering::Equal);
        }
    }

    #[test]
    fn other_texts_are_no_versions() {
        for text in [
            "", "v1", "1.", ".1", "1.2.3.4", "02.0.0", "2.00", "1-", "1-a..b", "1-01", "1+", "1+a_b", "x",
            "1 ",
        ] {
            assert!(SemVer::parse(text).is_none(), "{text}");
        }
    }
}
