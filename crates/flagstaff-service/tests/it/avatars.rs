//! Pictures of users: from nowhere unless the owner says so, and then by way of the service.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use crate::dashboard::{Visitor, text};
use crate::support::Service;

const ADA: &str = "/ui/demo/production/users/ada";
const PICTURE: &str = "/ui/demo/production/users/ada/avatar";

/// Stands in for Gravatar, which cannot be reached from tests.
#[derive(Default)]
struct Pictures {
    asked: Mutex<Vec<String>>,
    kind: Mutex<&'static str>,
    count: AtomicUsize,
}

impl Pictures {
    async fn start() -> (Arc<Self>, String) {
        let pictures = Arc::new(Self::default());
        *pictures.kind.lock().unwrap() = "image/png";
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new().fallback(Self::answer).with_state(pictures.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (pictures, base)
    }

    async fn answer(State(pictures): State<Arc<Self>>, request: Request) -> Response {
        pictures.count.fetch_add(1, Ordering::Relaxed);
        pictures.asked.lock().unwrap().push(request.uri().to_string());
        let kind = *pictures.kind.lock().unwrap();
        if kind.is_empty() {
            return StatusCode::NOT_FOUND.into_response();
        }
        (HeaderMap::from_iter([(header::CONTENT_TYPE, kind.parse().unwrap())]), "a picture").into_response()
    }
}

async fn see_ada(service: &Service, email: &str) {
    let event = serde_json::json!([{"kind": "identify", "creationDate": 1,
        "context": {"kind": "user", "key": "ada", "email": email}}]);
    let headers = [("authorization", "sdk-demo-production"), ("content-type", "application/json")];
    let answer = service.request("POST", "/bulk", &headers, event.to_string().as_bytes()).await;
    assert_eq!(answer.status, 202);
    service.counted().await;
}

#[tokio::test]
async fn nobody_is_asked_for_pictures_unless_the_owner_wants_that() {
    let service = Service::demo().await;
    see_ada(&service, "ada@example.com").await;
    let visitor = Visitor::demo(&service).await;
    assert!(!text(&visitor.get(&service, ADA, &[]).await).contains("<img"));
    assert_eq!(visitor.get(&service, PICTURE, &[]).await.status, 404);
    service.stop().await;
}

#[tokio::test]
async fn pictures_are_asked_for_by_a_hash_of_the_address_once_and_only_for_who_is_signed_in() {
    let (pictures, base) = Pictures::start().await;
    let service = Service::demo_with(|config| config.avatars = Some(base)).await;
    see_ada(&service, " Ada@Example.com ").await;
    let visitor = Visitor::demo(&service).await;
    assert!(
        text(&visitor.get(&service, ADA, &[]).await).contains(&format!("<img src=\"{PICTURE}\" alt=\"\""))
    );
    let list = visitor.get(&service, "/ui/demo/production/users", &[]).await;
    assert!(text(&list).contains(&format!("<img src=\"{PICTURE}\"")));
    assert_eq!(pictures.count.load(Ordering::Relaxed), 0, "a page asks for none by itself");

    assert_eq!(service.request("GET", PICTURE, &[], b"").await.status, 303, "to sign in");
    for _ in 0..2 {
        let answer = visitor.get(&service, PICTURE, &[]).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("image/png")));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.body, b"a picture");
    }
    // Of `ada@example.com`.
    let hash = "b5fc85e55755f9e0d030a10ab4429b6b2944855f9a0d60077fe832becbc41d72";
    let asked = pictures.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].starts_with(&format!("/avatar/{hash}?")), "{asked:?}");
    service.stop().await;
}

#[tokio::test]
async fn what_is_no_picture_is_not_handed_on() {
    let (pictures, base) = Pictures::start().await;
    for kind in ["text/html", "image/svg+xml", ""] {
        *pictures.kind.lock().unwrap() = kind;
        let service = Service::demo_with(|config| config.avatars = Some(base.clone())).await;
        see_ada(&service, "ada@example.com").await;
        let visitor = Visitor::demo(&service).await;
        assert_eq!(visitor.get(&service, PICTURE, &[]).await.status, 404, "{kind:?}");
        service.stop().await;
    }
    assert_eq!(pictures.count.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn nobody_waits_for_pictures_that_do_not_come() {
    // Takes connections, and hangs up.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let service = Service::demo_with(|config| config.avatars = Some(base)).await;
    see_ada(&service, "ada@example.com").await;
    let visitor = Visitor::demo(&service).await;
    assert_eq!(visitor.get(&service, PICTURE, &[]).await.status, 404);
    let once = asked.load(Ordering::Relaxed);
    assert!(once > 0);
    for _ in 0..20 {
        assert_eq!(visitor.get(&service, PICTURE, &[]).await.status, 404);
    }
    assert_eq!(asked.load(Ordering::Relaxed), once, "it is asked again at once");
    service.stop().await;
}
