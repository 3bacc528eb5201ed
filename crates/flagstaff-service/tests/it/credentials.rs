//! R40: every credential at every door. Whoever does not belong gets 401 and nothing else; whoever belongs gets in.

use serde_json::json;

use crate::support::Service;

/// What a door is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Server,
    Mobile,
    AnySdk,
    Admin,
}

/// Method and path of each door, and the status that says that somebody was let in.
const DOORS: [(Door, &str, &str, u16); 22] = [
    (Door::Server, "GET", "/sdk/latest-all", 200),
    (Door::Server, "GET", "/sdk/latest-flags", 200),
    (Door::Server, "GET", "/sdk/latest-flags/wish-lists", 200),
    (Door::Server, "GET", "/sdk/latest-segments", 200),
    (Door::Server, "GET", "/sdk/flags", 200),
    (Door::Server, "GET", "/sdk/flags/wish-lists", 200),
    (Door::Server, "GET", "/sdk/poll", 200),
    (Door::Server, "GET", "/sdk/evalx/contexts/eyJrZXkiOiJhIn0", 200),
    (Door::Server, "GET", "/sdk/evalx/users/eyJrZXkiOiJhIn0", 200),
    (Door::Server, "GET", "/sdk/big-segments/revisions", 200),
    (Door::Server, "POST", "/bulk", 202),
    (Door::Server, "POST", "/diagnostic", 202),
    (Door::Mobile, "GET", "/msdk/evalx/contexts/eyJrZXkiOiJhIn0", 200),
    (Door::Mobile, "GET", "/msdk/evalx/users/eyJrZXkiOiJhIn0", 200),
    (Door::Mobile, "POST", "/mobile", 202),
    (Door::Mobile, "POST", "/mobile/events/bulk", 202),
    (Door::Mobile, "POST", "/mobile/events/diagnostic", 202),
    (Door::AnySdk, "POST", "/ofrep/v1/evaluate/flags", 200),
    (Door::Admin, "GET", "/api/v2/projects", 200),
    (Door::Admin, "GET", "/api/v2/flags/demo", 200),
    (Door::Admin, "GET", "/api/v2/tokens", 200),
    (Door::Admin, "GET", "/api/v2/segments/demo/production", 200),
];

fn body(path: &str) -> &'static str {
    match path {
        "/bulk" | "/mobile" | "/mobile/events/bulk" => {
            r#"[{"kind":"index","creationDate":1,"context":{"kind":"user","key":"a"}}]"#
        }
        "/diagnostic" | "/mobile/events/diagnostic" => r#"{"kind":"diagnostic","id":{"diagnosticId":"d"}}"#,
        "/ofrep/v1/evaluate/flags" => r#"{"context":{"targetingKey":"a"}}"#,
        _ => "",
    }
}

async fn ask(service: &Service, method: &str, path: &str, credential: &str) -> u16 {
    let mut headers = vec![("content-type", "application/json")];
    if !credential.is_empty() {
        headers.push(("authorization", credential));
    }
    service.request(method, path, &headers, body(path).as_bytes()).await.status
}

#[tokio::test]
async fn every_credential_opens_its_own_doors_and_no_others() {
    let service = Service::demo().await;
    let admin = [("authorization", "api-demo"), ("content-type", "application/json")];
    let token = async |name: &str| {
        let wanted = json!({"name": name, "role": "reader"}).to_string();
        let made = service.request("POST", "/api/v2/tokens", &admin, wanted.as_bytes()).await;
        assert_eq!(made.status, 201);
        (made.json()["token"].as_str().unwrap().to_owned(), made.json()["_id"].as_str().unwrap().to_owned())
    };
    let (reader, _) = token("reader").await;
    let (revoked, id) = token("revoked").await;
    assert_eq!(service.request("DELETE", &format!("/api/v2/tokens/{id}"), &admin, b"").await.status, 204);
    let reset = "/api/v2/projects/demo/environments/staging/apiKey";
    assert_eq!(service.request("POST", reset, &admin, b"").await.status, 200);
    let reset = "/api/v2/projects/demo/environments/staging/mobileKey";
    assert_eq!(service.request("POST", reset, &admin, b"").await.status, 200);

    let nowhere: &[Door] = &[];
    let credentials: [(&str, &str, &[Door]); 14] = [
        ("none", "", nowhere),
        ("nonsense", "nonsense", nowhere),
        ("an SDK key", "sdk-demo-production", &[Door::Server, Door::AnySdk]),
        ("an SDK key as some senders write it", "api_key sdk-demo-production", &[Door::Server]),
        ("an SDK key in another case", "SDK-DEMO-PRODUCTION", nowhere),
        ("the beginning of an SDK key", "sdk-demo-productio", nowhere),
        ("an SDK key that was replaced", "sdk-demo-staging", nowhere),
        ("a mobile key", "mob-demo-production", &[Door::Mobile, Door::AnySdk]),
        ("a mobile key that was replaced", "mob-demo-staging", nowhere),
        ("a client-side ID", "demo-production", &[Door::AnySdk]),
        ("a relay's key", "rel-demo", nowhere),
        ("an access token", "api-demo", &[Door::Admin]),
        ("a reader's access token", &reader, &[Door::Admin]),
        ("a revoked access token", &revoked, nowhere),
    ];
    let (mut cells, mut wrong) = (0, Vec::new());
    for (what, credential, opens) in credentials {
        for (door, method, path, let_in) in DOORS {
            let expected = if opens.contains(&door) { let_in } else { 401 };
            let status = ask(&service, method, path, credential).await;
            cells += 1;
            if status != expected {
                wrong.push(format!("{what} at {method} {path}: {status} instead of {expected}"));
            }
        }
    }
    println!("R40: {cells} cells, {} wrong", wrong.len());
    assert_eq!(wrong, Vec::<String>::new());
    service.stop().await;
}
