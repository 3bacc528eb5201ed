//! DynamoDB, by its JSON interface. The local one looks at no signature, but for there being one.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::adapter::plain_http;
use crate::flags::with;

/// The table, and the names that the protocol reference has for what is in it.
const TABLE: &str = "sdk-contract-tests";
/// So many rounds of questions in a row, each within this time, are answered by a database that has woken up.
const QUICK_ROUNDS: u32 = 20;
const QUICK: Duration = Duration::from_millis(60);
const LONGEST_WARM_UP: Duration = Duration::from_secs(30);

pub(super) async fn clear(dsn: &str, prefix: &str) -> Result<(), String> {
    for name in ["features", "segments", "$inited"] {
        let namespace = namespace(prefix, name);
        for item in query(dsn, &namespace).await? {
            let key = json!({"namespace": item["namespace"], "key": item["key"]});
            ask(dsn, "DeleteItem", json!({"TableName": TABLE, "Key": key})).await?;
        }
    }
    Ok(())
}

pub(super) async fn write(
    dsn: &str,
    prefix: &str,
    kind: &str,
    key: &str,
    version: u64,
    text: &str,
) -> Result<(), String> {
    let item = json!({
        "namespace": {"S": namespace(prefix, kind)}, "key": {"S": key},
        "version": {"N": version.to_string()}, "item": {"S": text},
    });
    ask(dsn, "PutItem", json!({"TableName": TABLE, "Item": item})).await.map(|_| ())
}

pub(super) async fn mark(dsn: &str, prefix: &str) -> Result<(), String> {
    let name = namespace(prefix, "$inited");
    let item = json!({"namespace": {"S": name}, "key": {"S": name}});
    ask(dsn, "PutItem", json!({"TableName": TABLE, "Item": item})).await.map(|_| ())
}

pub(super) async fn is_marked(dsn: &str, prefix: &str) -> Result<bool, String> {
    let name = namespace(prefix, "$inited");
    Ok(query(dsn, &name).await?.iter().any(|item| item["key"]["S"] == name))
}

pub(super) async fn all(dsn: &str, prefix: &str, kind: &str) -> Result<Vec<(String, String)>, String> {
    let text = |value: &Value| value["S"].as_str().unwrap_or_default().to_owned();
    let items = query(dsn, &namespace(prefix, kind)).await?;
    for item in &items {
        // The version stands beside the item, and must be the item's.
        let inside: Value = serde_json::from_str(&text(&item["item"])).unwrap_or_default();
        let beside = item["version"]["N"].as_str().unwrap_or_default();
        if inside["version"].as_u64() != beside.parse().ok() {
            return Err(format!("beside {inside} in DynamoDB stands the version `{beside}`"));
        }
    }
    Ok(items.iter().map(|item| (text(&item["key"]), text(&item["item"]))).collect())
}

fn namespace(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}:{name}") }
}

async fn query(dsn: &str, namespace: &str) -> Result<Vec<Value>, String> {
    let mut items = Vec::new();
    let mut start = Value::Null;
    loop {
        let mut request = json!({
            "TableName": TABLE, "ConsistentRead": true, "KeyConditionExpression": "#n = :n",
            "ExpressionAttributeNames": {"#n": "namespace"},
            "ExpressionAttributeValues": {":n": {"S": namespace}},
        });
        if !start.is_null() {
            request["ExclusiveStartKey"] = start;
        }
        let mut answer = ask(dsn, "Query", request).await?;
        items.extend(answer["Items"].as_array().cloned().unwrap_or_default());
        start = answer["LastEvaluatedKey"].take();
        if start.is_null() {
            return Ok(items);
        }
    }
}

/// Makes the table, once, if it is not there.
pub(super) async fn table(dsn: &str) -> Result<(), String> {
    static MADE: OnceCell<()> = OnceCell::const_new();
    MADE.get_or_try_init(|| async {
        let request = json!({
            "TableName": TABLE, "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [
                {"AttributeName": "namespace", "AttributeType": "S"},
                {"AttributeName": "key", "AttributeType": "S"}],
            "KeySchema": [
                {"AttributeName": "namespace", "KeyType": "HASH"},
                {"AttributeName": "key", "KeyType": "RANGE"}],
        });
        match ask(dsn, "CreateTable", request).await {
            Err(error) if !error.contains("ResourceInUseException") => Err(error),
            _ => warm_up(dsn).await,
        }
    })
    .await
    .map(|_| ())
}

/// Asks what SDKs ask until the answers come quickly. A local DynamoDB that was just started takes longer to
/// answer than an SDK waits, the more so on a busy machine.
async fn warm_up(dsn: &str) -> Result<(), String> {
    let key = json!({"namespace": {"S": "warm-up"}, "key": {"S": "warm-up"}});
    let item = with(key.clone(), json!({"version": {"N": "1"}, "item": {"S": "{}"}}));
    let conditionally = json!({
        "TableName": TABLE, "Item": item,
        "ConditionExpression": "attribute_not_exists(#k) or :version > version",
        "ExpressionAttributeNames": {"#k": "key"}, "ExpressionAttributeValues": {":version": {"N": "2"}},
    });
    let many = |request: Value| json!({"RequestItems": {TABLE: [request]}});
    let started = Instant::now();
    let mut quick = 0;
    while quick < QUICK_ROUNDS && started.elapsed() < LONGEST_WARM_UP {
        let round = Instant::now();
        ask(dsn, "PutItem", conditionally.clone()).await?;
        ask(dsn, "BatchWriteItem", many(json!({"PutRequest": {"Item": item}}))).await?;
        ask(dsn, "GetItem", json!({"TableName": TABLE, "Key": key, "ConsistentRead": true})).await?;
        query(dsn, "warm-up").await?;
        ask(dsn, "BatchWriteItem", many(json!({"DeleteRequest": {"Key": key}}))).await?;
        quick = if round.elapsed() < QUICK { quick + 1 } else { 0 };
    }
    Ok(())
}

async fn ask(dsn: &str, operation: &str, request: Value) -> Result<Value, String> {
    let failed = |error: reqwest::Error| format!("DynamoDB does not answer at {dsn}: {error}");
    let response = plain_http()?
        .post(dsn)
        .header("Content-Type", "application/x-amz-json-1.0")
        .header("X-Amz-Target", format!("DynamoDB_20120810.{operation}"))
        .header(
            "Authorization",
            "AWS4-HMAC-SHA256 Credential=dummy/20250101/us-east-1/dynamodb/aws4_request, \
             SignedHeaders=host, Signature=dummy",
        )
        .header("X-Amz-Date", "20250101T000000Z")
        .body(request.to_string())
        .send()
        .await
        .map_err(failed)?;
    let status = response.status().as_u16();
    let text = response.text().await.map_err(failed)?;
    match status {
        200 => serde_json::from_str(&text).map_err(|error| error.to_string()),
        _ => Err(format!("DynamoDB answered {status} to {operation}: {text}")),
    }
}
