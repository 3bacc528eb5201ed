//! Amazon's local edition of DynamoDB, with one table.

use std::process::Command;
use std::time::Duration;

use flagstaff_testkit::free_port;
use serde_json::{Value as Json, json};

use super::folder::Folder;
use super::http::request;
use super::process::Process;
use super::{eventually, root, say};

/// The table of these tests.
pub(crate) const TABLE: &str = "flags";

/// A server of this test's own. It keeps nothing.
#[derive(Debug)]
pub(crate) struct DynamoDb {
    _process: Process,
    port: u16,
    _folder: Folder,
}

impl DynamoDb {
    /// Starts one on a free port. Without the program there is none, and a line says so; with
    /// `FLAGSTAFF_REQUIRE_STORES=1` that is a failure.
    pub(crate) fn start() -> Option<Self> {
        let program = root().join(".tools/dynamodb-local");
        if !program.join(".ready").exists() {
            let required = std::env::var_os("FLAGSTAFF_REQUIRE_STORES").is_some_and(|value| value == "1");
            assert!(!required, "DynamoDB Local is not installed: run `make setup-stores`");
            say("skipped: DynamoDB Local is not installed (`make setup-stores`)");
            return None;
        }
        let port = free_port();
        let folder = Folder::new();
        let mut command = Command::new("java");
        command.arg(format!("-Djava.library.path={}", program.display()));
        command.args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp"]).arg(program.join("*"));
        command.arg("software.amazon.dynamodb.services.local.main.ServerRunner");
        command.args(["-inMemory", "-sharedDb", "-disableTelemetry", "-port"]).arg(port.to_string());
        command.current_dir(folder.path());
        let process = Process::start("DynamoDB Local", &mut command, folder.path().join("dynamodb.log"));
        let server = Self { _process: process, port, _folder: folder };
        let names = [("namespace", "HASH"), ("key", "RANGE")];
        let table = json!({
            "TableName": TABLE,
            "KeySchema": names.map(|(name, kind)| json!({"AttributeName": name, "KeyType": kind})),
            "AttributeDefinitions": names.map(|(name, _)| json!({"AttributeName": name, "AttributeType": "S"})),
            "BillingMode": "PAY_PER_REQUEST",
        });
        eventually(Duration::from_secs(60), || server.ask("CreateTable", &table));
        Some(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// One request. The local edition checks no signature, but wants one.
    pub(crate) fn ask(&self, operation: &str, body: &Json) -> Result<Json, String> {
        let target = format!("DynamoDB_20120810.{operation}");
        let signature = "AWS4-HMAC-SHA256 Credential=dummy/20200101/us-east-1/dynamodb/aws4_request, \
                         SignedHeaders=host, Signature=0";
        let headers = [
            ("X-Amz-Target", &*target),
            ("Content-Type", "application/x-amz-json-1.0"),
            ("Authorization", signature),
        ];
        let answer = request("POST", &format!("{}/", self.url()), &headers, &body.to_string())
            .map_err(|error| format!("no DynamoDB: {error}"))?;
        if answer.status == 200 { Ok(answer.json()) } else { Err(format!("{answer:?}")) }
    }
}
