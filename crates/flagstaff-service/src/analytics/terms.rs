//! What a user is found by: prefixes of case-folded terms.
//!
//! Terms are the whole key, the whole e-mail and each word of the names. A query is split at white
//! space only, so that an e-mail is one word of it; every word must be the beginning of some term.
//! A key may have spaces in it: the query as a whole may therefore be the beginning of a term, too.

/// A term is cut to so many characters, and so is a word of a query.
const MAX_TERM: usize = 128;

/// Names of more words than this are not indexed beyond them.
const MAX_NAME_WORDS: usize = 16;

/// A query of more words than this is refused by nobody: the words beyond are not looked at.
const MAX_QUERY_WORDS: usize = 8;

/// The terms of a user, sorted, each once.
pub fn terms_of<'a>(key: &str, email: Option<&str>, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut terms = vec![fold(key)];
    terms.extend(email.map(fold));
    terms.extend(names.into_iter().flat_map(str::split_whitespace).take(MAX_NAME_WORDS).map(fold));
    terms.retain(|term| !term.is_empty());
    terms.sort_unstable();
    terms.dedup();
    terms
}

/// A search for users, as typed, made ready for the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TermQuery {
    /// The words, the longest first: it is the one that leaves the fewest users.
    pub words: Vec<String>,
    /// The query as one term, if it has more than one word.
    pub whole: Option<String>,
}

impl TermQuery {
    /// Reads a query; none if it has no words, which means everybody.
    pub fn parse(query: &str) -> Option<Self> {
        let mut words: Vec<String> = query.split_whitespace().take(MAX_QUERY_WORDS).map(fold).collect();
        let whole = (words.len() > 1).then(|| fold(query.trim()));
        words.sort_unstable_by(|a, b| b.chars().count().cmp(&a.chars().count()).then_with(|| a.cmp(b)));
        words.dedup();
        (!words.is_empty()).then_some(Self { words, whole })
    }
}

/// The least text that no text beginning with `prefix` reaches: the end of its range in an index.
pub fn end_of_range(prefix: &str) -> String {
    let mut end: Vec<char> = prefix.chars().collect();
    while let Some(last) = end.pop() {
        // Engines compare UTF-8 bytes, whose order is the order of characters.
        if let Some(next) = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32) {
            end.push(next);
            return end.into_iter().collect();
        }
    }
    // Only a prefix of nothing but the last character gets here; no text is greater than this one.
    char::MAX.to_string().repeat(MAX_TERM + 1)
}

/// Makes letters of either case equal, also where one letter becomes two (`ß`, `SS`).
fn fold(text: &str) -> String {
    let upper = text.chars().flat_map(char::to_uppercase);
    upper.flat_map(char::to_lowercase).filter(|character| *character != '\0').take(MAX_TERM).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_whole_key_whole_email_and_words_of_names() {
        let terms = terms_of("User One", Some("Ann@Example.com"), ["Ann  Lee", "Ann", "O'Neil-Smith"]);
        assert_eq!(terms, ["ann", "ann@example.com", "lee", "o'neil-smith", "user one"]);
        assert_eq!(terms_of("k", None, []), ["k"]);
        assert_eq!(terms_of("k", Some(""), [" "]), ["k"]);
    }

    #[test]
    fn case_is_folded_beyond_ascii() {
        assert_eq!(terms_of("STRASSE", None, []), terms_of("straße", None, []));
        assert_eq!(terms_of("ΟΔΟΣ", None, []), terms_of("οδος", None, []));
        assert_eq!(terms_of("ÅSE", None, []), ["åse"]);
    }

    #[test]
    fn query_is_split_at_white_space_only() {
        let query = TermQuery::parse("  Jo ann@Example.com ").unwrap();
        assert_eq!(query.words, ["ann@example.com", "jo"]);
        assert_eq!(query.whole.as_deref(), Some("jo ann@example.com"));
        assert_eq!(
            TermQuery::parse("a+b%_").unwrap(),
            TermQuery { words: vec!["a+b%_".into()], whole: None }
        );
        assert_eq!(TermQuery::parse(" \t"), None);
    }

    #[test]
    fn long_terms_and_words_are_cut_alike() {
        let long = "x".repeat(1000);
        assert_eq!(terms_of(&long, None, []), TermQuery::parse(&long).unwrap().words);
    }

    #[test]
    fn range_of_a_prefix_holds_what_begins_with_it_and_nothing_else() {
        let last = char::MAX.to_string();
        for (prefix, inside, outside) in [
            ("an", "ann", "ao"),
            ("an", "an\u{10FFFF}zz", "ao"),
            ("\u{D7FF}", "\u{D7FF}a", "\u{E000}"),
            ("a\u{10FFFF}", "a\u{10FFFF}b", "b"),
        ] {
            let end = end_of_range(prefix);
            assert!(prefix < &*end && inside < &*end && outside >= &*end, "{prefix:?} ends at {end:?}");
        }
        assert!(end_of_range(&last).as_str() > last.repeat(3).as_str());
    }
}
