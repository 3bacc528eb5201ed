//! Contexts as JSON: what is read is valid, has one canonical key, and is the same after being
//! written and read again.

use flagstaff_eval::context::ContextBuilder;
use flagstaff_eval::{Context, Value};

pub(crate) fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let from_text = text.parse::<Context>();
    let Ok(json) = serde_json::from_str::<Value>(text) else {
        assert!(from_text.is_err(), "{text:?} is no JSON");
        return;
    };
    let from_json = Context::from_json(&json);
    assert_eq!(from_text, from_json, "{text}");
    assert_eq!(serde_json::from_str::<Context>(text).ok(), from_json.as_ref().ok().cloned(), "{text}");
    from_json.iter().for_each(holds_together);
    if let Ok(user) = Context::from_legacy_user(&json) {
        holds_together(&user);
        assert_eq!(user.kind(), "user");
        assert!(user.is_legacy_user());
    }
}

fn holds_together(context: &Context) {
    let members = context.members();
    assert_eq!(context.is_multi(), members.len() > 1);
    assert!(members.windows(2).all(|pair| pair[0].kind() < pair[1].kind()), "{context}");
    for member in members {
        assert!(!matches!(member.kind(), "" | "kind" | "multi"), "{context}");
        assert!(member.attributes().all(|(name, value)| !name.is_empty() && !value.is_null()), "{context}");
        assert_eq!(context.member(member.kind()).map(|found| found.key()), Some(member.key()));
    }
    let canonical: Vec<(String, String)> =
        members.iter().map(|member| (member.kind().to_owned(), member.key().to_owned())).collect();
    assert_eq!(read_canonical_key(context), canonical, "{context}");

    // Only a user of the time before contexts may have an empty key.
    if members.iter().all(|member| !member.key().is_empty()) {
        let written = serde_json::to_string(context).expect("a context can be written");
        let again: Context = written.parse().unwrap_or_else(|error| panic!("{written}: {error}"));
        assert_eq!(&again, context, "{written}");
        assert_eq!(again.canonical_key(), context.canonical_key(), "{written}");
        assert_eq!(serde_json::to_string(&again).ok().as_ref(), Some(&written));
        let rebuilt = members.iter().fold(Context::multi_builder(), |builder, member| {
            builder.add(ContextBuilder::from(member).build().expect("a member is valid"))
        });
        assert_eq!(rebuilt.build().as_ref(), Ok(context), "{written}");
    }
    let named = members.iter().filter(|member| !member.is_anonymous()).count();
    let without = context.without_anonymous();
    assert_eq!(without.as_ref().map_or(0, |context| context.members().len()), named, "{context}");
}

/// Kinds and keys, read back from the canonical key.
fn read_canonical_key(context: &Context) -> Vec<(String, String)> {
    let canonical = context.canonical_key();
    if context.kind() == "user" {
        return vec![("user".to_owned(), canonical.to_owned())];
    }
    let parts: Vec<&str> = canonical.split(':').collect();
    let unescape = |key: &str| key.replace("%3A", ":").replace("%25", "%");
    parts.chunks(2).map(|pair| (pair[0].to_owned(), unescape(pair[1]))).collect()
}
