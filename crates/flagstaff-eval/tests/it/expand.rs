//! Expands the published evaluation cases: YAML files with constants and parameters.
//!
//! The rules are those of the data's README: substitution is textual, on the file before it is
//! parsed. `"<NAME>"` becomes the value as JSON, `<NAME>` elsewhere its text; constants first, then
//! one set of parameters, then constants again.

use serde_yaml_ng::Value as Yaml;

/// Every document that `text` stands for, one per set of parameters.
pub(crate) fn expand(text: &str) -> Vec<Yaml> {
    let unsubstituted = parse(text);
    let constants = named(unsubstituted.get("constants"));
    combinations(unsubstituted.get("parameters"))
        .into_iter()
        .map(|parameters| {
            let once = substitute(text, &constants);
            let twice = substitute(&once, &parameters);
            parse(&substitute(&twice, &constants))
        })
        .collect()
}

fn parse(text: &str) -> Yaml {
    let mut document: Yaml = serde_yaml_ng::from_str(text).expect("the file is YAML");
    document.apply_merge().expect("its merge keys refer to maps");
    document
}

type Named = Vec<(String, Yaml)>;

fn named(map: Option<&Yaml>) -> Named {
    let entries = map.and_then(Yaml::as_mapping).into_iter().flatten();
    entries.map(|(name, value)| (name.as_str().expect("a name").to_owned(), value.clone())).collect()
}

/// One set of parameters per copy of the file: each map of a list, or each way to take one map from
/// every list of a list of lists.
fn combinations(parameters: Option<&Yaml>) -> Vec<Named> {
    let Some(list) = parameters.and_then(Yaml::as_sequence) else {
        return vec![Named::new()];
    };
    if list.iter().all(Yaml::is_mapping) {
        return list.iter().map(|map| named(Some(map))).collect();
    }
    list.iter().fold(vec![Named::new()], |sets, inner| {
        let inner = inner.as_sequence().expect("a list of maps");
        sets.iter()
            .flat_map(|set| inner.iter().map(move |map| [set.clone(), named(Some(map))].concat()))
            .collect()
    })
}

fn substitute(text: &str, values: &Named) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| {
        let json = serde_json::to_string(value).expect("YAML values here are JSON values");
        let plain = value.as_str().map_or_else(|| json.clone(), str::to_owned);
        text.replace(&format!("\"<{name}>\""), &json).replace(&format!("<{name}>"), &plain)
    })
}

#[test]
fn parameters_and_constants_may_refer_to_each_other() {
    let text = r#"
constants:
  GREETING: { hello: "<WHO>" }
parameters:
  - [{ WHO: a }, { WHO: 7 }]
  - [{ X: true }, { X: <WHO>b }]
value: <GREETING>
quoted: "<X>"
inside: "x<X>-<NOBODY>"
"#;
    let documents = expand(text);
    let found: Vec<String> = documents
        .iter()
        .map(|document| {
            serde_json::to_string(&(&document["value"], &document["quoted"], &document["inside"])).unwrap()
        })
        .collect();
    assert_eq!(
        found,
        [
            r#"[{"hello":"a"},true,"xtrue-<NOBODY>"]"#,
            r#"[{"hello":"a"},"<WHO>b","x<WHO>b-<NOBODY>"]"#,
            r#"[{"hello":7},true,"xtrue-<NOBODY>"]"#,
            r#"[{"hello":7},"<WHO>b","x<WHO>b-<NOBODY>"]"#,
        ]
    );
}
