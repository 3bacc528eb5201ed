//! Which data folder a start takes, and that it goes on where it stopped.

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;

use flagstaff_service::management::setup::{self, FirstStart};
use flagstaff_service::{App, Config};
use serde_json::json;

use crate::rest::FLAG;
use crate::support::{Folder, Service};

fn config(folder: &Folder, demo: bool) -> Config {
    let mut config = in_files(folder, demo);
    config.database = folder.database();
    config
}

/// On SQLite, whatever the suite runs on.
fn in_files(folder: &Folder, demo: bool) -> Config {
    let mut config = Config::new(folder.path());
    config.serving.listen = (Ipv4Addr::LOCALHOST, 0).into();
    config.demo = demo;
    config
}

async fn refused(config: Config) -> String {
    App::start(config).await.expect_err("a start that is refused").to_string()
}

#[tokio::test]
async fn a_demo_refuses_to_listen_beyond_loopback_and_leaves_no_trace() {
    let folder = Folder::new();
    let mut open = config(&folder, true);
    open.serving.listen = (Ipv4Addr::UNSPECIFIED, 0).into();
    assert!(refused(open).await.contains("listens only on loopback, not on 0.0.0.0:0"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_demo_goes_on_with_its_own_data_and_takes_no_other() {
    let (demo, other) = (Folder::new(), Folder::new());
    std::fs::write(demo.path().join("notes.txt"), "other files do not matter").unwrap();
    let running = App::start(config(&demo, true)).await.unwrap();
    assert_eq!(*running.first_start(), FirstStart::Demo);
    running.stop().await;
    let running = App::start(config(&demo, true)).await.unwrap();
    assert_eq!(*running.first_start(), FirstStart::Continued);
    running.stop().await;
    assert!(refused(config(&demo, false)).await.contains("is a demo, with well-known keys"));
    let running = App::start(config(&other, false)).await.unwrap();
    assert!(matches!(running.first_start(), FirstStart::Owner { .. }));
    running.stop().await;
    assert!(refused(config(&other, true)).await.contains("is not a demo"));
}

#[tokio::test]
async fn files_are_for_one_process_alone() {
    let folder = Folder::new();
    let running = App::start(in_files(&folder, true)).await.unwrap();
    assert!(refused(in_files(&folder, true)).await.contains("in use by another"));
    running.stop().await;
}

#[tokio::test]
async fn a_data_folder_that_is_made_is_for_its_owner_alone() {
    let folder = Folder::new();
    let mut inside = in_files(&folder, true);
    inside.data = folder.path().join("new").join("data");
    let running = App::start(inside.clone()).await.unwrap();
    running.stop().await;
    assert_eq!(std::fs::metadata(&inside.data).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn databases_are_for_their_owner_alone_also_in_an_open_folder() {
    let folder = Folder::new();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let running = App::start(in_files(&folder, true)).await.unwrap();
    let files = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap());
    let open: Vec<_> = files
        .filter(|file| {
            file.file_name() != "lock" && file.metadata().unwrap().permissions().mode() & 0o077 != 0
        })
        .collect();
    assert!(open.is_empty(), "{open:?}");
    running.stop().await;
}

#[tokio::test]
async fn a_database_with_somebody_elses_tables_is_left_alone() {
    use sqlx::{ConnectOptions as _, Connection as _};
    let folder = Folder::new();
    let path = folder.path().join("flagstaff.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql("CREATE TABLE letter (text)").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let before = std::fs::read(&path).unwrap();
    for demo in [true, false] {
        assert!(refused(in_files(&folder, demo)).await.contains("is not one of Flagstaff's"));
    }
    let error =
        setup::check_ours(&in_files(&folder, false)).await.expect_err("nor does it get a link for its owner");
    assert!(error.to_string().contains("is not one of Flagstaff's"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_database_that_was_just_being_made_is_made() {
    use sqlx::{ConnectOptions as _, Connection as _};
    for demo in [true, false] {
        let folder = Folder::new();
        let options = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(folder.path().join("flagstaff.db"))
            .create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        let migrations = "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, \
             installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, \
             checksum BLOB NOT NULL, execution_time BIGINT NOT NULL)";
        sqlx::raw_sql(migrations).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let running = App::start(in_files(&folder, demo)).await.unwrap();
        assert_ne!(*running.first_start(), FirstStart::Continued);
        running.stop().await;
    }
}

#[tokio::test]
async fn somebody_elses_database_is_left_alone() {
    let folder = Folder::new();
    let path = folder.path().join("flagstaff.db");
    std::fs::write(&path, "this is no database at all, but a letter to my grandmother").unwrap();
    let before = std::fs::read(&path).unwrap();
    for demo in [true, false] {
        let error = App::start(in_files(&folder, demo)).await.expect_err("no database");
        assert!(flagstaff_service::error::chain(&error).contains("is no database"), "{error:?}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_first_start_makes_a_project_random_keys_and_an_owner() {
    let folder = Folder::new();
    let running = App::start(config(&folder, false)).await.unwrap();
    let live = running.app().live.all();
    let keys: Vec<_> = live.iter().map(|live| live.about().environment.key.clone()).collect();
    assert_eq!(keys, ["production", "test"]);
    let about = live[0].about();
    assert_eq!(about.project.key, "default");
    assert_eq!((about.environment.sdk_key.len(), about.environment.client_side_id.len()), (40, 24));
    let FirstStart::Owner { sign_in_path } = running.first_start() else { panic!("no owner") };
    assert!(sign_in_path.starts_with("/ui/sign-in/link/"));
    running.stop().await;
}

#[tokio::test]
async fn a_restart_keeps_everything_with_the_same_etag() {
    let service = Service::demo().await;
    service.instruct("checkout-redesign", json!([{"kind": "turnFlagOn"}])).await;
    let made =
        service.rest("POST", "/api/v2/tokens", Some(json!({"role": "reader", "name": "kept"}))).await.json();
    let token = made["token"].as_str().unwrap().to_owned();
    let poll = async |service: &Service| {
        service.request("GET", "/sdk/latest-all", &[("authorization", "sdk-demo-production")], b"").await
    };
    let (flag, polled) = (service.rest("GET", FLAG, None).await.json(), poll(&service).await);
    let service = service.restart().await;
    assert_eq!(service.rest("GET", FLAG, None).await.json(), flag);
    let again = poll(&service).await;
    assert_eq!((again.body, again.headers[1].clone()), (polled.body, polled.headers[1].clone()));
    assert_eq!(service.rest_as(&token, "GET", "/api/v2/projects", None).await.status, 200);
}
