//! What a stranger's flags and contexts may cost, and that the others go on: R27, R32 and R33 of the
//! reliability tests, as far as they need no client.

use std::time::{Duration, Instant};

use flagstaff_eval::model::{Flag, FlagData};
use flagstaff_eval::{Context, ContextError, DataSet, ErrorKind, MAX_VISITS, Value, evaluate};
use serde_json::{Map, json};

/// Far longer than any of this takes, also unoptimised on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);

fn data(flags: Map<String, Value>, segments: Map<String, Value>) -> DataSet {
    let model: FlagData = serde_json::from_value(json!({"flags": flags, "segments": segments})).unwrap();
    DataSet::from_model(model)
}

/// What the flag serves the user `u`, or why nothing; and how many prerequisites were evaluated.
fn answer(data: &DataSet, key: &str) -> (Result<Value, ErrorKind>, u32) {
    let context = Context::from_key("u").unwrap();
    let mut prerequisites = 0;
    let detail = evaluate(data, data.flag(key).unwrap(), &context, &mut |_| prerequisites += 1);
    (detail.value.cloned().ok_or_else(|| detail.reason.error_kind().unwrap()), prerequisites)
}

fn flag_with(prerequisites: &[String]) -> Value {
    let prerequisites: Vec<Value> =
        prerequisites.iter().map(|key| json!({"key": key, "variation": 0})).collect();
    json!({"version": 1, "on": true, "variations": [true, false], "offVariation": 1,
        "fallthrough": {"variation": 0}, "prerequisites": prerequisites})
}

fn segment_inside(segments: &[String]) -> Value {
    let rules: Vec<Value> = segments
        .iter()
        .map(|key| json!({"clauses": [{"attribute": "", "op": "segmentMatch", "values": [key]}]}))
        .collect();
    json!({"version": 1, "rules": rules})
}

/// R33.
#[test]
fn cycles_are_malformed_and_other_flags_are_not() {
    let mut flags = Map::new();
    for length in [1, 2, 199, 10_000] {
        for place in 0..length {
            let next = format!("ring-{length}-{}", (place + 1) % length);
            flags.insert(format!("ring-{length}-{place}"), flag_with(&[next]));
        }
    }
    let mut segments = Map::new();
    segments.insert("a".into(), segment_inside(&["b".into()]));
    segments.insert("b".into(), segment_inside(&["a".into()]));
    let mut in_a = flag_with(&[]);
    in_a["rules"] =
        json!([{"clauses": [{"attribute": "", "op": "segmentMatch", "values": ["a"]}], "variation": 1}]);
    flags.insert("in-a".into(), in_a);
    flags.insert("fine".into(), flag_with(&[]));
    let data = data(flags, segments);
    for key in ["ring-1-0", "ring-2-0", "ring-2-1", "ring-199-0", "ring-10000-0", "in-a"] {
        assert_eq!(answer(&data, key).0, Err(ErrorKind::MalformedFlag), "{key}");
        assert_eq!(answer(&data, "fine").0, Ok(json!(true)), "after {key}");
    }
}

/// R33. Each link asks for the next one twice, so that a hundred links are 2^100 evaluations.
#[test]
fn chains_that_double_at_each_link_end_soon() {
    let links = 100;
    let mut flags = Map::new();
    let mut segments = Map::new();
    for link in 0..=links {
        let next = if link == links { vec![] } else { vec![link + 1; 2] };
        let named =
            |what: &str| -> Vec<String> { next.iter().map(|link| format!("{what}-{link}")).collect() };
        flags.insert(format!("flag-{link}"), flag_with(&named("flag")));
        segments.insert(format!("segment-{link}"), segment_inside(&named("segment")));
    }
    let mut inside = flag_with(&[]);
    inside["rules"] = json!([{"clauses": [{"attribute": "", "op": "segmentMatch", "values": ["segment-0"]}], "variation": 1}]);
    flags.insert("inside".into(), inside);
    let data = data(flags, segments);

    let start = Instant::now();
    let (value, prerequisites) = answer(&data, "flag-0");
    assert_eq!(value, Err(ErrorKind::MalformedFlag));
    assert!(prerequisites <= MAX_VISITS, "{prerequisites}");
    assert_eq!(answer(&data, "inside").0, Err(ErrorKind::MalformedFlag));
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    // Ten links are a thousand or two evaluations, and allowed.
    assert_eq!(answer(&data, &format!("flag-{}", links - 10)), (Ok(json!(true)), 2046));
}

/// R33. However many prerequisites one flag has, short of the limit, it is right.
#[test]
fn a_flag_may_have_thousands_of_prerequisites() {
    let mut flags = Map::new();
    let names: Vec<String> = (0..MAX_VISITS).map(|i| format!("p{i}")).collect();
    names.iter().for_each(|name| drop(flags.insert(name.clone(), flag_with(&[]))));
    flags.insert("f".into(), flag_with(&names));
    assert_eq!(answer(&data(flags, Map::new()), "f"), (Ok(json!(true)), MAX_VISITS));
}

/// R27. What is nested too deep is refused where it is read, by a limit of the reader.
#[test]
fn json_that_is_nested_ten_thousand_deep_is_refused() {
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let objects = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    for nested in [&deep, &objects] {
        let context = format!("{{\"kind\":\"user\",\"key\":\"u\",\"a\":{nested}}}");
        assert!(matches!(context.parse::<Context>(), Err(ContextError::NotAnObject(_))));
        let flag = |property: &str| {
            serde_json::from_str::<Flag>(&format!("{{\"version\":1,\"{property}\":[{nested}]}}"))
        };
        assert!(flag("variations").is_err());
        // What is not known is passed over, and nobody descends into it.
        assert_eq!(flag("unknown").unwrap().version, 1);
    }
}

/// R27. A million attributes, as many kinds, and a string of 10 MB.
#[test]
fn huge_contexts_are_read_in_time_that_grows_with_their_size() {
    let start = Instant::now();
    let many = 1_000_000;
    let mut json = String::from("{\"kind\":\"user\",\"key\":\"u\"");
    (0..many).for_each(|i| json.push_str(&format!(",\"a{i}\":{i}")));
    json.push('}');
    let context: Context = json.parse().unwrap();
    assert_eq!(context.members()[0].attributes().len(), many);
    drop(context);

    let mut json = String::from("{\"kind\":\"multi\"");
    (0..200_000).for_each(|i| json.push_str(&format!(",\"k{i}\":{{\"key\":\"{i}\"}}")));
    json.push('}');
    let context: Context = json.parse().unwrap();
    assert_eq!(context.members().len(), 200_000);
    assert_eq!(context.member("k777").map(|member| member.key()), Some("777"));

    let long = "x".repeat(10 << 20);
    let context: Context = json!({"kind": "org", "key": long, "name": long}).to_string().parse().unwrap();
    assert_eq!(context.canonical_key().len(), (10 << 20) + 4);
    assert!(start.elapsed() < 3 * PATIENCE, "{:?}", start.elapsed());
}

/// R27. Each is taken or refused, and never more than that.
#[test]
fn odd_numbers_names_and_texts_are_taken_or_refused() {
    let context =
        |value: &str| format!("{{\"kind\":\"user\",\"key\":\"u\",\"a\":{value}}}").parse::<Context>();
    for taken in [
        "1e308",
        "-1e-400",
        "5e-324",
        "18446744073709551616",
        "-0.0",
        "1E+2",
        "\"\\u0000\"",
        "\"\\ud83d\\ude00\"",
    ] {
        let read = context(taken).unwrap_or_else(|error| panic!("{taken}: {error}"));
        assert_eq!(read.to_string().parse::<Context>().as_ref(), Ok(&read), "{taken}");
    }
    for refused in ["1e400", "-1e400", "01", "NaN", "\"\\ud800\"", "\"\\udc00x\"", "\"\u{1}\"", "\"", "[1,]"]
    {
        assert!(context(refused).is_err(), "{refused}");
    }
    // Of two properties with one name the later counts, as in every reader of JSON in wide use.
    let twice: Context = r#"{"kind":"user","key":"a","key":"b","a":1,"a":2}"#.parse().unwrap();
    assert_eq!(twice.to_string(), r#"{"kind":"user","key":"b","a":2}"#);
    // Numbers that are no whole numbers are no versions, however they are written.
    for version in ["1e400", "1.5", "-1", "1e19", "\"1\"", "[1]"] {
        assert!(serde_json::from_str::<Flag>(&format!("{{\"version\":{version}}}")).is_err(), "{version}");
    }
    let flag: Flag = serde_json::from_str(r#"{"version":9.007199254740992e15}"#).unwrap();
    assert_eq!(flag.version, 1 << 53);
}

/// R32. One expression that doubles at each letter elsewhere, one that is too large, on 1 MB each.
#[test]
fn regular_expressions_take_time_that_grows_with_the_subject() {
    let subject = "a".repeat(1 << 20);
    let context = Context::builder("u").set("a", subject).build().unwrap();
    let matching = |pattern: &str| {
        let mut flag = flag_with(&[]);
        flag["rules"] =
            json!([{"clauses": [{"attribute": "a", "op": "matches", "values": [pattern]}], "variation": 1}]);
        let data = data([("f".to_owned(), flag)].into_iter().collect(), Map::new());
        let flag = data.flag("f").unwrap();
        let ask = || evaluate(&data, flag, &context, &mut |_| {}).variation_index == Some(1);
        // Compiled at first use.
        let first = ask();
        let start = Instant::now();
        assert_eq!(ask(), first);
        println!("R32: {pattern:.20} on 1 MiB: {:?}", start.elapsed());
        assert!(start.elapsed() < PATIENCE, "{pattern}: {:?}", start.elapsed());
        first
    };
    for (pattern, expected) in [
        ("(a+)+$", true),
        ("(a+)+$x", false),
        ("(a|aa)+$b", false),
        ("^(([a-z])+.)+[A-Z]([a-z])+$", false),
        ("(.*a){20}b", false),
        // Beyond the limit of what a compiled expression may take: never matches.
        ("(x{1000}){1000}{1000}|a", false),
        ("(?:\\p{L}{500}){500}|a", false),
    ] {
        assert_eq!(matching(pattern), expected, "{pattern}");
    }
}
