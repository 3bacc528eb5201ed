//! Flags from files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use flagstaff_sdk::{
    Client, Config, DataSourceErrorKind, DataSourceState, DuplicateKeys, FileDataSource, read_flags_file,
};
use flagstaff_testkit::{PATIENCE, eventually, user};
use serde_json::{Value, json};

use crate::support::{KEY, Lines, started};

/// A folder of a test's own, gone afterwards.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let name = format!("flagstaff-sdk-test-{}", uuid());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl ToString) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content.to_string()).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn uuid() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn configured(source: FileDataSource) -> Config {
    Config::new(KEY).data_source(source).send_events(false)
}

fn with_lines(source: FileDataSource) -> (Client, Lines) {
    let lines = Lines::default();
    let client = Client::start(configured(source).log_to(Arc::new(lines.clone()))).unwrap();
    (client, lines)
}

/// One that is looked at often.
fn watching(path: &Path) -> FileDataSource {
    FileDataSource::new([path]).auto_update(true).poll_interval(Duration::from_millis(5))
}

fn value(client: &Client, key: &str) -> Value {
    client.variation(key, &user("u"), json!("default"))
}

fn wait_for_value(client: &Client, key: &str, expected: Value) {
    eventually(&format!("`{key}` served {expected}"), || (value(client, key) == expected).then_some(()));
}

#[test]
fn flags_values_and_segments_come_from_several_files() {
    let folder = Folder::new();
    let rule =
        json!([{"variation": 1, "clauses": [{"attribute": "", "op": "segmentMatch", "values": ["s"]}]}]);
    let flags = json!({
        "something": ["else"],
        "flags": {"whole": {"on": true, "variations": ["out", "in"], "fallthrough": {"variation": 0}, "rules": rule}},
        "flagValues": {"truth": true, "list": [1, {"a": null}], "nothing": null},
    });
    let segments = json!({"segments": {"s": {"included": ["u"]}}, "flagValues": {"rows": 20}, "flags": null});
    let paths = [folder.write("a.json", flags), folder.write("b.json", segments)];
    let client = started(configured(FileDataSource::new(paths)));
    assert_eq!(value(&client, "whole"), "in");
    assert_eq!(value(&client, "truth"), true);
    assert_eq!(value(&client, "list"), json!([1, {"a": null}]));
    assert_eq!(client.variation("rows", &user("u"), 0), 20_i64);
    assert_eq!(client.variation_detail("nothing", &user("u"), json!("d")).variation_index, Some(0));
    assert_eq!(value(&client, "missing"), "default");
    let data = client.data_set();
    assert_eq!(data.flag("whole").map(|flag| flag.version()), Some(1));
    assert_eq!(data.flag("truth").map(|flag| flag.version()), Some(1));
    assert_eq!(client.data_source_status().state, DataSourceState::Valid);
}

#[test]
fn without_auto_update_a_change_is_not_read() {
    let folder = Folder::new();
    let path = folder.write("f.json", json!({"flagValues": {"f": "old"}}));
    let client = started(configured(FileDataSource::new([&path]).poll_interval(Duration::from_millis(1))));
    folder.write("f.json", json!({"flagValues": {"f": "newer"}}));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(value(&client, "f"), "old");
}

#[test]
fn a_change_replaces_everything_and_listeners_hear_of_it_without_a_version() {
    let folder = Folder::new();
    let path = folder.write("f.json", json!({"flagValues": {"f": 1, "same": 1, "gone": 1}}));
    let client = started(configured(watching(&path)));
    let (sender, heard) = channel();
    client.flag_tracker().add_listener(move |change| sender.send(change.key.clone()).unwrap());
    // As long as it was, so that its length says nothing.
    folder.write("f.json", json!({"flagValues": {"f": 2, "same": 1, "come": 1}}));
    wait_for_value(&client, "f", json!(2));
    assert_eq!(value(&client, "gone"), "default");
    assert_eq!(value(&client, "come"), 1);
    let mut keys: Vec<String> = (0..3).map(|_| heard.recv_timeout(PATIENCE).unwrap()).collect();
    keys.sort();
    assert_eq!(keys, ["come", "f", "gone"]);
    assert!(heard.recv_timeout(Duration::from_millis(100)).is_err(), "`same` did not change");
    assert_eq!(client.data_set().flag("f").map(|flag| flag.version()), Some(2));

    // Put in place by another name, as editors do.
    fs::rename(folder.write("new", json!({"flagValues": {"f": 3}})), &path).unwrap();
    wait_for_value(&client, "f", json!(3));
}

#[test]
fn a_file_that_is_half_written_keeps_what_there_is_and_is_named_with_the_place() {
    let folder = Folder::new();
    let whole = json!({"flagValues": {"f": "old"}}).to_string();
    let path = folder.write("f.json", &whole);
    let (client, lines) = with_lines(watching(&path));
    assert!(client.wait_until_ready(PATIENCE));
    folder.write("f.json", format!("{{\n{}", &whole[1..whole.len() - 5]));
    let error = eventually("the status said so", || client.data_source_status().last_error);
    assert_eq!(error.kind, DataSourceErrorKind::InvalidData);
    assert_eq!(client.data_source_status().state, DataSourceState::Interrupted);
    assert_eq!(value(&client, "f"), "old");
    let said = lines.with("nothing changes");
    assert_eq!(said.len(), 1, "{}", lines.text());
    assert!(said[0].contains(path.to_str().unwrap()) && said[0].contains("line 2 column"), "{said:?}");

    fs::remove_file(&path).unwrap();
    eventually("it was missed", || (lines.with("nothing changes").len() == 2).then_some(()));
    assert_eq!(value(&client, "f"), "old");
    folder.write("f.json", whole.replace("old", "new"));
    wait_for_value(&client, "f", json!("new"));
    assert_eq!(client.data_source_status().state, DataSourceState::Valid);
}

#[test]
fn a_file_that_cannot_be_read_releases_whoever_waits_and_is_read_once_it_can() {
    let folder = Folder::new();
    let path = folder.path("late.json");
    let (client, lines) = with_lines(watching(&path));
    let waiting = std::time::Instant::now();
    assert!(!client.wait_until_ready(PATIENCE * 10));
    assert!(waiting.elapsed() < PATIENCE);
    assert!(!client.is_initialized());
    assert_eq!(client.data_source_status().last_error.unwrap().kind, DataSourceErrorKind::InvalidData);
    assert_eq!(lines.with("late.json").len(), 1);
    folder.write("late.json", json!({"flagValues": {"f": "come"}}));
    wait_for_value(&client, "f", json!("come"));
    assert!(client.is_initialized());
}

#[test]
fn one_bad_file_of_several_loads_nothing() {
    let folder = Folder::new();
    let good = folder.write("good.json", json!({"flagValues": {"f": 1}}));
    for bad in [
        "",
        " \n",
        "{",
        "{\"flags\": []}",
        "{\"flags\": {\"g\": {\"on\": \"yes\"}}}",
        "{} {}",
        "{\"flags\":{\"g\":7}}",
    ] {
        let bad = folder.write("bad.json", bad);
        let (client, lines) = with_lines(FileDataSource::new([&good, &bad]));
        assert!(!client.wait_until_ready(PATIENCE));
        assert_eq!(value(&client, "f"), "default");
        assert_eq!(lines.with("bad.json").len(), 1, "{}", lines.text());
    }
    let (client, _) = with_lines(FileDataSource::new([good.clone(), folder.path("")]));
    assert!(!client.wait_until_ready(PATIENCE), "a folder is no file");
}

#[test]
fn a_key_that_stands_twice_is_an_error_unless_it_may() {
    let folder = Folder::new();
    let flag = |value: &str| json!({"on": true, "variations": [value], "fallthrough": {"variation": 0}});
    let within = "{\"flagValues\": {\"f\": \"first\", \"f\": \"second\"}}".to_owned();
    let between = json!({"flags": {"f": flag("first")}, "flagValues": {"f": "second"}}).to_string();
    let across = [json!({"flags": {"f": flag("first")}}), json!({"flags": {"f": flag("second")}})];
    let of_segments = [
        json!({"flagValues": {"f": "first"}, "segments": {"s": {"included": ["u"]}}}),
        json!({"segments": {"s": {}}}),
    ];
    let files: [Vec<String>; 4] = [
        vec![within],
        vec![between],
        across.map(|file| file.to_string()).to_vec(),
        of_segments.map(|file| file.to_string()).to_vec(),
    ];
    for files in files {
        let names = ["a.json", "b.json"];
        let paths: Vec<PathBuf> =
            files.iter().zip(names).map(|(file, name)| folder.write(name, file)).collect();
        let (client, lines) = with_lines(FileDataSource::new(&paths));
        assert!(!client.wait_until_ready(PATIENCE), "{files:?}");
        assert_eq!(lines.with("is there twice").len(), 1, "{}", lines.text());
        let ignoring = FileDataSource::new(&paths).duplicate_keys(DuplicateKeys::Ignore);
        let client = started(configured(ignoring));
        assert_eq!(value(&client, "f"), "first", "{files:?}");
        assert!(client.data_set().segment("s").is_none_or(|segment| segment.key() == "s"));
    }
}

#[test]
fn what_is_wrong_with_a_flag_is_said_with_its_place() {
    let file = b"{\"flagValues\": {\"v\": 1},\n \"flags\": {\"good\": {},\n  \"bad\": {\"on\": true,\n    \"targets\": 3}}}";
    let error = read_flags_file(file).expect_err("targets are a list").to_string();
    assert!(error.contains("flag `bad`") && error.contains("line 4 column"), "{error}");
    assert!(read_flags_file(b"{\"flags\": {\"a\xff\": {}}}").is_err());
    let with_mark = b"\xef\xbb\xbf{\"flagValues\": {\"v\": 1}}";
    assert_eq!(read_flags_file(with_mark).expect("a byte order mark does no harm").flags.len(), 1);
}

#[test]
fn depth_is_bounded() {
    let deep = format!("{{\"flagValues\": {{\"v\": {}{}}}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(read_flags_file(deep.as_bytes()).is_err());
}

#[cfg(unix)]
#[test]
fn links_are_followed_as_the_program_says_and_pipes_are_not_waited_for() {
    let folder = Folder::new();
    folder.write("one.json", json!({"flagValues": {"f": "one"}}));
    folder.write("two.json", json!({"flagValues": {"f": "two"}}));
    let link = folder.path("link.json");
    std::os::unix::fs::symlink(folder.path("one.json"), &link).unwrap();
    let client = started(configured(watching(&link)));
    assert_eq!(value(&client, "f"), "one");
    // As Kubernetes puts a new version in place.
    std::os::unix::fs::symlink(folder.path("two.json"), folder.path("next")).unwrap();
    fs::rename(folder.path("next"), &link).unwrap();
    wait_for_value(&client, "f", json!("two"));

    let (client, lines) = with_lines(FileDataSource::new(["/dev/zero"]));
    assert!(!client.wait_until_ready(PATIENCE));
    assert_eq!(lines.with("it is not a file").len(), 1);
}

#[cfg(not(feature = "yaml"))]
#[test]
fn yaml_needs_its_feature_and_the_error_says_so() {
    let error = read_flags_file(b"flagValues:\n  f: 1\n").expect_err("no YAML").to_string();
    assert!(error.contains("feature `yaml`"), "{error}");
}

#[cfg(feature = "yaml")]
mod yaml {
    use super::*;

    #[test]
    fn a_file_may_be_yaml_with_anchors_and_merges() {
        let folder = Folder::new();
        let path = folder.write(
            "f.yaml",
            "# flags\n\
             base: &base\n  on: true\n  fallthrough: {variation: 0}\n  variations: [a, b]\n\
             flags:\n  plain: *base\n  other:\n    <<: *base\n    fallthrough: {variation: 1}\n    version: 7\n\
             flagValues:\n  yes: true\n  12: 0.5\n  text: |\n    two\n    lines\n\
             segments:\n  s: {included: [u]}\n",
        );
        let json = folder.write("g.json", json!({"flagValues": {"g": "json"}}));
        let client = started(configured(FileDataSource::new([path, json])));
        assert_eq!(value(&client, "plain"), "a");
        assert_eq!(value(&client, "other"), "b");
        assert_eq!(client.data_set().flag("other").map(|flag| flag.version()), Some(7));
        assert_eq!(value(&client, "yes"), true);
        assert_eq!(value(&client, "12"), 0.5);
        assert_eq!(value(&client, "text"), "two\nlines\n");
        assert_eq!(value(&client, "g"), "json");
        assert!(client.data_set().segment("s").is_some());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (file, place) in [
            ("flags:\n  a:\n    on: [1\n", "line"),
            ("flags:\n  a:\n    on: 3\n", "line 3"),
            ("flags:\n - a\n", "line 2"),
            ("flagValues:\n  a: .nan\n", "line 2"),
            ("flagValues:\n  a: !tag x\n", "line"),
        ] {
            let error = read_flags_file(file.as_bytes()).expect_err(file).to_string();
            assert!(error.contains(place), "{file:?}: {error}");
        }
        for file in ["- 1\n", "~", "text", "--- \na: 1\n---\nb: 1\n", "flags: {a: {}, a: {}}"] {
            assert!(read_flags_file(file.as_bytes()).is_err(), "{file:?}");
        }
    }

    #[test]
    fn aliases_that_repeat_one_another_are_bounded() {
        // Each line repeats the one before nine times: a billion at the end.
        let mut laughs = "a0: &a0 [lol]\n".to_owned();
        for level in 1..10 {
            let before = format!("*a{},", level - 1).repeat(9);
            laughs.push_str(&format!("a{level}: &a{level} [{before}]\n"));
        }
        // One long list, repeated as often as it is long.
        let long = format!("l: &l [{}]\nflagValues:\n  f: [{}]\n", "1,".repeat(20_000), "*l,".repeat(20_000));
        for bomb in [format!("{laughs}flagValues:\n  f: *a9\n"), long] {
            let began = std::time::Instant::now();
            let error = read_flags_file(bomb.as_bytes()).expect_err("too much");
            println!("{error}, after {:?}", began.elapsed());
            assert!(began.elapsed() < PATIENCE);
        }
        // What nobody asks for is not repeated.
        assert!(read_flags_file(format!("{laughs}flagValues: {{f: 1}}\n").as_bytes()).is_ok());
    }
}
