//! A real service as upstream.

use std::sync::atomic::{AtomicUsize, Ordering};

use flagstaff_sdk::http_client;
use flagstaff_service::{App, Config, Running};
use serde_json::Value;

use crate::support::Folder;

/// A demo of the service, in this process.
pub(crate) struct Service {
    running: Running,
    _folder: Folder,
}

impl Service {
    pub(crate) async fn demo() -> Self {
        let folder = Folder::new();
        let mut config = Config::new(folder.path());
        config.serving.listen = ([127, 0, 0, 1], 0).into();
        config.demo = true;
        Self { running: App::start(config).await.unwrap(), _folder: folder }
    }

    pub(crate) fn url(&self) -> String {
        self.running.base_url()
    }

    pub(crate) async fn stop(self) {
        self.running.stop().await;
    }

    /// Asks the REST API, which has to do it.
    pub(crate) async fn rest(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let client = http_client(flagstaff_sdk::Config::new("")).unwrap();
        let request = client
            .request(method.parse().unwrap(), format!("{}/api/v2/{path}", self.url()))
            .header("authorization", "api-demo")
            .header("content-type", "application/json")
            .body(body.map(|body| body.to_string()).unwrap_or_default());
        let response = request.send().await.unwrap();
        let (status, body) = (response.status(), response.bytes().await.unwrap());
        assert!(status.is_success(), "{method} {path}: {status} {}", String::from_utf8_lossy(&body));
        if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() }
    }

    /// Its figures.
    pub(crate) async fn metrics(&self) -> String {
        let client = http_client(flagstaff_sdk::Config::new("")).unwrap();
        client.get(format!("{}/metrics", self.url())).send().await.unwrap().text().await.unwrap()
    }

    /// Turns a flag of production on or off.
    pub(crate) async fn turn(&self, flag: &str, on: bool) {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let path = "/environments/production/on";
        let patch = serde_json::json!({
            "patch": [{"op": "replace", "path": path, "value": on}],
            "comment": format!("number {}", COUNT.fetch_add(1, Ordering::Relaxed)),
        });
        self.rest("PATCH", &format!("flags/demo/{flag}"), Some(patch)).await;
    }
}
