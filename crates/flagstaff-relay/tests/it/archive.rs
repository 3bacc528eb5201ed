//! Environments in a file.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use flagstaff_relay::archive::{ArchiveError, ArchivedData, Contents, LARGEST, fetch, read, write};
use flagstaff_relay::config::{OfflineArchive, Upstream};
use flagstaff_relay::{AutoConfig, Config};
use flagstaff_wire::relay::{RelayedEnvironment, RelayedSdkKey};
use flate2::Compression;
use flate2::write::GzEncoder;
use md5::{Digest as _, Md5};
use serde_json::json;
use tar::{Builder, EntryType, Header};

use crate::support::{Asker, Folder, config_at, relay};
use crate::upstream::Service;

fn environment(id: &str) -> RelayedEnvironment {
    RelayedEnvironment {
        id: id.to_owned(),
        key: format!("key-{id}"),
        name: "Production".to_owned(),
        project_key: "demo".to_owned(),
        project_name: "Demo".to_owned(),
        mobile_key: format!("mob-{id}"),
        sdk_key: RelayedSdkKey { value: format!("sdk-{id}"), expiring: None },
        default_ttl: 0,
        secure_mode: false,
        version: 1,
    }
}

fn archived(id: &str, version: u64) -> ArchivedData {
    let flag = json!({
        "key": "f", "version": version, "on": false, "offVariation": 0, "variations": [version], "salt": "",
    });
    let data = json!({"flags": {"f": flag}, "segments": {}}).to_string().into();
    ArchivedData { environment: environment(id), data_id: version.to_string(), data }
}

fn contents(environments: &[(&str, u64)]) -> Contents {
    environments.iter().map(|(id, version)| ((*id).to_owned(), archived(id, *version))).collect()
}

fn folder() -> Folder {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path()).unwrap();
    folder
}

#[test]
fn what_is_written_is_read_compressed_or_not() {
    let folder = folder();
    let contents = contents(&[("one", 1), ("two-data", 2)]);
    for (name, is_compressed) in [("a.tar", false), ("a.tar.gz", true), ("a.tgz", true)] {
        let path = folder.path().join(name);
        write(&path, &contents).unwrap();
        assert_eq!(read(&path).unwrap(), contents, "{name}");
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.starts_with(&[0x1f, 0x8b]), is_compressed, "{name}");
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600,
            "{name} holds SDK keys"
        );
        write(&path, &contents).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "the same contents make the same archive");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "nothing is left over");
}

#[test]
fn an_archive_of_the_systems_own_tar_is_read() {
    let folder = folder();
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let one = archived("one", 1);
    let about = json!({"env": one.environment, "dataId": "1"}).to_string();
    std::fs::write(inner.join("one.json"), &about).unwrap();
    std::fs::write(inner.join("one-data.json"), &one.data).unwrap();
    let mut digest = Md5::new();
    // In the order of the names: `-` comes before `.`.
    digest.update(&one.data);
    digest.update(&about);
    std::fs::write(inner.join("checksum.md5"), digest.finalize()).unwrap();
    let path = folder.path().join("a.tar.gz");
    let packed =
        std::process::Command::new("tar").arg("-C").arg(&inner).arg("-czf").arg(&path).arg(".").status();
    assert!(packed.unwrap().success());
    assert_eq!(read(&path).unwrap(), contents(&[("one", 1)]));
}

/// A tar of these, with names as they are, and a checksum that is right.
fn tar(files: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    let mut sorted: Vec<_> = files.iter().filter(|(_, kind, _)| kind.is_file()).collect();
    sorted.sort_by_key(|(name, ..)| *name);
    let mut digest = Md5::new();
    sorted.iter().for_each(|(.., contents)| digest.update(contents));
    let sum = digest.finalize();
    let all = files.iter().copied().chain([("checksum.md5", EntryType::Regular, &sum[..])]);
    for (name, kind, contents) in all {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        if kind.is_symlink() || kind.is_hard_link() {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_size(contents.len() as u64);
        header.set_cksum();
        archive.append(&header, contents).unwrap();
    }
    archive.into_inner().unwrap()
}

/// R45: nothing in an archive reaches beyond it.
#[test]
fn an_archive_with_anything_but_plain_files_at_its_top_is_refused() {
    let folder = folder();
    let path = folder.path().join("a.tar");
    let one = archived("one", 1);
    let about = json!({"env": one.environment, "dataId": "1"}).to_string();
    let whole = [
        ("one-data.json", EntryType::Regular, &one.data[..]),
        ("one.json", EntryType::Regular, about.as_bytes()),
    ];
    let with = |name: &'static str, kind: EntryType| {
        let contents: &[u8] = if kind.is_file() { b"{}" } else { b"" };
        std::fs::write(&path, tar(&[whole[0], whole[1], (name, kind, contents)])).unwrap();
        read(&path)
    };
    assert_eq!(with("note.txt", EntryType::Regular).unwrap().len(), 1, "another file harms nobody");
    for name in [
        "../evil.json",
        "../../tmp/evil",
        "/tmp/evil.json",
        "a/../../evil",
        "deep/evil.json",
        "..",
        "./../evil",
    ] {
        let error = with(name, EntryType::Regular).unwrap_err();
        assert!(matches!(error, ArchiveError::Strange { .. }), "{name}: {error}");
    }
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::Directory,
        EntryType::GNUSparse,
    ] {
        let error = with("evil", kind).unwrap_err();
        assert!(
            matches!(error, ArchiveError::Strange { .. } | ArchiveError::Damaged { .. }),
            "{kind:?}: {error}"
        );
    }
    let error = with("one.json", EntryType::Regular).unwrap_err();
    assert!(error.to_string().contains("twice"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was unpacked");
    assert!(!folder.path().join("../evil.json").exists() && !Path::new("/tmp/evil.json").exists());
}

#[test]
fn an_archive_that_is_not_whole_is_refused() {
    let folder = folder();
    let path = folder.path().join("a.tar");
    let one = archived("one", 1);
    let about = json!({"env": one.environment, "dataId": "1"}).to_string();
    let data = ("one-data.json", EntryType::Regular, &one.data[..]);
    let about = ("one.json", EntryType::Regular, about.as_bytes());
    let other = ("other.json", EntryType::Regular, about.2);
    let other_data = ("other-data.json", EntryType::Regular, data.2);
    for (bytes, said) in [
        (Vec::new(), "there is no `checksum.md5`"),
        (
            b"not an archive, whatever it is called, and long enough to have a header or even two of them "
                .repeat(12),
            "damaged",
        ),
        (tar(&[data]), "without its other half"),
        (tar(&[about]), "without its other half"),
        (tar(&[other, other_data]), "`other.json` is about the environment `one`"),
        (tar(&[("one-data.json", EntryType::Regular, b"[]"), about]), "`one-data.json`"),
        (tar(&[data, ("one.json", EntryType::Regular, b"{}")]), "`one.json`"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = read(&path).unwrap_err();
        assert!(error.to_string().contains(said), "{error} does not say {said}");
    }
    // Cut off anywhere, or with any byte another, it is never taken for another whole one.
    let right = tar(&[data, about]);
    let expected = contents(&[("one", 1)]);
    for length in (0..right.len() - 1024).step_by(97) {
        std::fs::write(&path, &right[..length]).unwrap();
        assert!(read(&path).is_err(), "of {} bytes {length}", right.len());
    }
    for place in (0..right.len() - 1024).step_by(61) {
        let mut bytes = right.clone();
        bytes[place] ^= 0x55;
        std::fs::write(&path, bytes).unwrap();
        if let Ok(taken) = read(&path) {
            assert_eq!(taken, expected, "byte {place}");
        }
    }
    assert!(matches!(read(&folder.path().join("none")), Err(ArchiveError::Read { .. })));
}

/// R28 for archives: what is unpacked has a limit, whatever its size before.
#[test]
fn a_bomb_is_refused() {
    let folder = folder();
    let path = folder.path().join("a.tar.gz");
    let mut bomb = GzEncoder::new(std::fs::File::create(&path).unwrap(), Compression::fast());
    let mut header = Header::new_ustar();
    header.set_path("one-data.json").unwrap();
    header.set_size(LARGEST + 1);
    header.set_cksum();
    bomb.write_all(header.as_bytes()).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..LARGEST / zeros.len() as u64 + 1 {
        bomb.write_all(&zeros).unwrap();
    }
    bomb.finish().unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() < LARGEST / 50);
    let error = read(&path).unwrap_err();
    assert!(matches!(error, ArchiveError::TooLarge { .. }), "{error}");
}

#[test]
fn an_archive_that_could_not_be_read_is_not_written() {
    let folder = folder();
    let path = folder.path().join("a.tar");
    let mut large = contents(&[("one", 1)]);
    large.get_mut("one").unwrap().data = vec![b' '; usize::try_from(LARGEST).unwrap()].into();
    let error = write(&path, &large).unwrap_err();
    assert!(matches!(error, ArchiveError::TooLarge { .. }), "{error}");
    assert!(!path.exists());
}

fn offline(path: &Path) -> Config {
    // Nobody is there: whatever went upstream would be noticed as missing.
    let mut config = config_at("http://127.0.0.1:1");
    config.environments.clear();
    config.offline_archive =
        Some(OfflineArchive { poll: Duration::from_millis(100), ..OfflineArchive::at(path) });
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_served_and_so_is_the_one_that_takes_its_place() {
    let folder = folder();
    let path = folder.path().join("a.tar.gz");
    write(&path, &contents(&[("one", 1), ("two", 1)])).unwrap();
    let running = relay(offline(&path)).await;
    let asker = Asker::new(&running);
    let status = asker.until("/status", "", |status| status["status"] == "healthy").await;
    assert_eq!(status["environments"]["one"]["envKey"], "key-one");
    assert_eq!(asker.json("/sdk/latest-all", "sdk-one").await["flags"]["f"]["version"], 1);
    assert_eq!(asker.status("/sdk/latest-all", "sdk-three").await, 401);
    let events = r#"[{"kind":"custom","key":"k","creationDate":1,"contextKeys":{"user":"u"}}]"#;
    let sent = asker.post("/bulk", "sdk-one").body(events).send().await.unwrap();
    assert_eq!(sent.status(), 202, "taken and forgotten");
    let (mut one, mut two) = (asker.open("/all", "sdk-one").await, asker.open("/all", "sdk-two").await);
    one.expect("put").await;
    two.expect("put").await;
    // New flags for one; the other's are not loaded again, whatever they are, as they are called the same.
    let mut next = contents(&[("one", 2), ("two", 9), ("three", 1)]);
    next.get_mut("two").unwrap().data_id = "1".to_owned();
    write(&path, &next).unwrap();
    let (event, data) = one.next().await.unwrap();
    let flag = if event == "put" { &data["data"]["flags"]["f"] } else { &data["data"] };
    assert_eq!(flag["version"], 2, "{event} {data}");
    asker.until("/sdk/latest-all", "sdk-three", |answer| answer["flags"].is_object()).await;
    assert_eq!(asker.json("/sdk/latest-all", "sdk-two").await["flags"]["f"]["version"], 1);
    two.is_quiet().await;
    // A damaged one changes nothing, and the next that is whole counts.
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    one.is_quiet().await;
    assert_eq!(asker.json("/sdk/latest-all", "sdk-one").await["flags"]["f"]["version"], 2);
    std::fs::remove_file(&path).unwrap();
    one.is_quiet().await;
    assert_eq!(asker.status("/sdk/latest-all", "sdk-one").await, 200);
    // What is not in it any more is not served any more.
    write(&path, &contents(&[("one", 3)])).unwrap();
    assert!(two.next().await.is_none(), "its streams end");
    assert_eq!(asker.status("/sdk/latest-all", "sdk-two").await, 401);
    asker.until("/sdk/latest-all", "sdk-one", |answer| answer["flags"]["f"]["version"] == 3).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_does_not_start_on_an_archive_that_cannot_be_read() {
    let folder = folder();
    let path = folder.path().join("a.tar");
    std::fs::write(&path, b"no").unwrap();
    let error = flagstaff_relay::Relay::start(offline(&path)).await.unwrap_err().to_string();
    assert!(error.contains("a.tar"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_feeds_a_relay_without_one_by_an_archive() {
    let service = Service::demo().await;
    let auto = AutoConfig { key: "rel-demo".to_owned() };
    let fetched = fetch(&Upstream::at(&service.url()), &auto).await.unwrap();
    assert_eq!(fetched.keys().collect::<Vec<_>>(), ["demo-production", "demo-staging"]);
    assert_eq!(fetch(&Upstream::at(&service.url()), &auto).await.unwrap(), fetched, "nothing changed");
    let other = AutoConfig { key: "rel-other".to_owned() };
    let error = fetch(&Upstream::at(&service.url()), &other).await.unwrap_err().to_string();
    assert!(error.contains("401"), "{error}");
    service.stop().await;
    let folder = folder();
    let path = folder.path().join("a.tar");
    write(&path, &fetched).unwrap();
    let running = relay(offline(&path)).await;
    let asker = Asker::new(&running);
    let served =
        asker.until("/sdk/latest-all", "sdk-demo-production", |answer| answer["flags"].is_object()).await;
    assert_eq!(served["flags"].as_object().unwrap().len(), 8);
    assert_eq!(served["segments"].as_object().unwrap().len(), 1);
    assert_eq!(asker.status("/mping", "mob-demo-staging").await, 200);
    running.stop().await;
}
