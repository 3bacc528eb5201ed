//! Sign-in, sessions and one-time links, as the dashboard uses them.

use std::net::{IpAddr, Ipv4Addr};

use axum::http::{HeaderMap, HeaderValue, header};
use flagstaff_service::auth::session::{self, SignInError};
use flagstaff_service::auth::{Role, Session};
use flagstaff_service::management::setup;

use crate::support::Service;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The request headers of whoever was given this session.
fn headers(session: &Session) -> HeaderMap {
    let cookie = session.set_cookie(false);
    let pair = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
    HeaderMap::from_iter([(header::COOKIE, HeaderValue::try_from(format!("theme=dark; {pair}")).unwrap())])
}

#[tokio::test]
async fn a_password_opens_a_session_that_ends() {
    let service = Service::demo().await;
    let app = service.app();
    let session = session::sign_in(app, HERE, "Demo@Example.com", "demo".to_owned()).await.unwrap();
    let cookie = session.set_cookie(false).to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    assert!(!cookie.contains("Secure"), "over plain HTTP it would not come back");
    assert!(session.set_cookie(true).to_str().unwrap().ends_with("; Secure"));
    let known = Session::of(app, &headers(&session)).await.unwrap().expect("a session");
    assert_eq!((known.actor().name.as_str(), known.actor().role), ("Demo Owner", Role::Owner));
    assert_eq!(known.form_token, session.form_token);
    session.end(app).await.unwrap();
    assert!(Session::of(app, &headers(&session)).await.unwrap().is_none());
    assert!(Session::of(app, &HeaderMap::new()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_form_counts_only_with_its_token_and_from_our_own_pages() {
    let service = Service::demo().await;
    let session = session::sign_in(service.app(), HERE, "demo@example.com", "demo".to_owned()).await.unwrap();
    let other = session::sign_in(service.app(), HERE, "demo@example.com", "demo".to_owned()).await.unwrap();
    let (own, mut foreign) = (headers(&session), headers(&session));
    foreign.insert("sec-fetch-site", HeaderValue::from_static("cross-site"));
    assert!(session.check_form(&own, Some(&session.form_token)).is_ok());
    assert!(session.check_form(&own, None).is_err());
    assert!(session.check_form(&own, Some(&other.form_token)).is_err());
    assert!(session.check_form(&foreign, Some(&session.form_token)).is_err());
    // Browsers send no such header over plain HTTP beyond their own machine, but they name the origin.
    let (mut same, mut foreign) = (own.clone(), own);
    for headers in [&mut same, &mut foreign] {
        headers.insert("host", HeaderValue::from_static("flags.example:8030"));
    }
    same.insert("origin", HeaderValue::from_static("http://flags.example:8030"));
    assert!(session.check_form(&same, Some(&session.form_token)).is_ok());
    for origin in ["http://evil.example", "http://flags.example:8031", "null"] {
        foreign.insert("origin", HeaderValue::from_static(origin));
        assert!(session.check_form(&foreign, Some(&session.form_token)).is_err(), "{origin}");
    }
}

#[tokio::test]
async fn wrong_passwords_are_refused_alike_and_soon_have_to_wait() {
    let service = Service::demo().await;
    let try_in = async |email: &str, password: &str| {
        session::sign_in(service.app(), HERE, email, password.to_owned()).await.map(drop)
    };
    assert!(matches!(try_in("nobody@example.com", "demo").await, Err(SignInError::Wrong)));
    for _ in 0..5 {
        assert!(matches!(try_in("demo@example.com", "wrong").await, Err(SignInError::Wrong)));
    }
    assert!(matches!(try_in("demo@example.com", "demo").await, Err(SignInError::TooMany { .. })));
    let elsewhere = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    assert!(session::sign_in(service.app(), elsewhere, "demo@example.com", "demo".to_owned()).await.is_ok());
}

#[tokio::test]
async fn passwords_tried_all_at_once_are_as_few_as_one_after_the_other() {
    let service = Service::demo().await;
    let tries = (0..30)
        .map(|number| session::sign_in(service.app(), HERE, "demo@example.com", format!("wrong {number}")));
    let looked_at = futures_util::future::join_all(tries).await;
    let wrong = looked_at.iter().filter(|tried| matches!(tried, Err(SignInError::Wrong))).count();
    let waiting = looked_at.iter().filter(|tried| matches!(tried, Err(SignInError::TooMany { .. }))).count();
    assert_eq!((wrong, waiting), (5, 25));
}

#[tokio::test]
async fn an_owner_link_works_once_and_sets_a_password() {
    let service = Service::demo().await;
    let app = service.app();
    let older = setup::owner_link(&app.store).await.unwrap().unwrap();
    let link = setup::owner_link(&app.store).await.unwrap().unwrap();
    let token = |path: &str| path.strip_prefix("/ui/sign-in/link/").unwrap().to_owned();
    assert!(matches!(session::look_at_link(app, &token(&older)).await, Err(SignInError::LinkGone)));
    assert_eq!(session::look_at_link(app, &token(&link)).await.unwrap().email, "demo@example.com");
    let take = async |email: &str, password: &str| {
        session::use_link(app, &token(&link), email, password.to_owned()).await
    };
    assert!(matches!(take("ada@example.com", "short").await, Err(SignInError::ShortPassword)));
    assert!(matches!(take("ada", "long enough").await, Err(SignInError::NoEmail { .. })));
    assert!(take("Ada@example.com", "long enough").await.is_ok());
    for password in ["long enough", "short"] {
        // Whatever is chosen, nothing of it is looked at.
        assert!(matches!(take("ada@example.com", password).await, Err(SignInError::LinkGone)));
    }
    assert!(session::sign_in(app, HERE, "ada@example.com", "long enough".to_owned()).await.is_ok());
}
