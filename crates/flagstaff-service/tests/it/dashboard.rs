//! The dashboard from outside: who may see and change what, what answers carry, and many flags.

use axum::http::header;
use flagstaff_service::auth::session::{self, SIGN_IN_LINK_PATH};
use flagstaff_service::auth::{Role, Session, password};
use flagstaff_service::management::setup;
use flagstaff_service::store::flag::{self, FlagRow, TargetingRow};
use flagstaff_service::store::member::{self, Member};
use flagstaff_service::store::targeting::{FlagDefinition, Targeting, Variation};
use serde_json::json;

use crate::support::{Answer, Service};

const FLAGS: &str = "/ui/demo/staging/flags";
const SWITCH: &str = "/ui/demo/staging/flags/wish-lists/switch";
const HERE: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// Somebody who is signed in.
pub(crate) struct Visitor {
    cookie: String,
    form_token: String,
}

impl Visitor {
    pub(crate) async fn sign_in(service: &Service, email: &str, password: &str) -> Self {
        Self::of(&session::sign_in(service.app(), HERE, email, password.to_owned()).await.unwrap())
    }

    pub(crate) async fn demo(service: &Service) -> Self {
        Self::sign_in(service, "demo@example.com", "demo").await
    }

    fn of(session: &Session) -> Self {
        let cookie = session.set_cookie(false);
        let pair = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
        Self { cookie: pair, form_token: session.form_token.clone() }
    }

    /// The session's cookie.
    pub(crate) fn cookie(&self) -> &str {
        &self.cookie
    }

    pub(crate) async fn get(&self, service: &Service, path: &str, more: &[(&str, &str)]) -> Answer {
        let headers: Vec<_> = [("cookie", self.cookie.as_str())].iter().chain(more).copied().collect();
        service.request("GET", path, &headers, b"").await
    }

    pub(crate) async fn post(
        &self,
        service: &Service,
        path: &str,
        form: &str,
        more: &[(&str, &str)],
    ) -> Answer {
        let own = [("cookie", self.cookie.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        let headers: Vec<_> = own.iter().chain(more).copied().collect();
        service.request("POST", path, &headers, form.as_bytes()).await
    }
}

pub(crate) fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.clone()).unwrap()
}

async fn is_on(service: &Service, environment: &str, key: &str) -> bool {
    let headers = [("authorization", format!("sdk-demo-{environment}"))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let flags = service.request("GET", "/sdk/latest-all", &headers, b"").await.json();
    flags["flags"][key]["on"].as_bool().unwrap()
}

#[tokio::test]
async fn every_page_wants_a_session_and_comes_back_to_where_it_was_asked_for() {
    let service = Service::demo().await;
    for path in ["/ui/", FLAGS, SWITCH, "/ui/demo/staging/users", "/ui/demo/staging/users/ada?page=2"] {
        let answer = service.request("GET", path, &[], b"").await;
        let next = percent_encoding::utf8_percent_encode(path, percent_encoding::NON_ALPHANUMERIC);
        assert_eq!(answer.status, 303, "{path}");
        assert_eq!(answer.header("location").unwrap(), format!("/ui/sign-in?next={next}"));
        let fragment = service.request("GET", path, &[("hx-request", "true")], b"").await;
        assert_eq!((fragment.status, fragment.header("hx-redirect")), (401, Some("/ui/sign-in")), "{path}");
    }
    let answer = service.request("POST", SWITCH, &[], b"on=false").await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/ui/sign-in")));
    assert!(is_on(&service, "staging", "wish-lists").await);
}

#[tokio::test]
async fn nothing_changes_without_the_form_token_or_from_another_site() {
    let service = Service::demo().await;
    let (visitor, other) = (Visitor::demo(&service).await, Visitor::demo(&service).await);
    let form = |token: &str| format!("form_token={token}&on=false&from=list");
    for (form, more) in [
        ("on=false&from=list".to_owned(), vec![]),
        (form(""), vec![]),
        (form(&other.form_token), vec![]),
        (form(&visitor.form_token), vec![("sec-fetch-site", "cross-site")]),
    ] {
        let answer = visitor.post(&service, SWITCH, &form, &more).await;
        assert!(matches!(answer.status, 403 | 400), "{form}: {}", answer.status);
    }
    // Looking never changes anything, whatever stands in the address.
    let looked =
        visitor.get(&service, &format!("{SWITCH}?{}&confirmed=true", form(&visitor.form_token)), &[]).await;
    assert_eq!(looked.status, 200);
    assert!(is_on(&service, "staging", "wish-lists").await);
    let answer = visitor.post(&service, SWITCH, &form(&visitor.form_token), &[]).await;
    assert_eq!(answer.header("location"), Some("/ui/demo/staging/flags?flipped=wish-lists#flag-wish-lists"));
    assert!(!is_on(&service, "staging", "wish-lists").await);
    for path in [
        "/ui/sign-out",
        "/ui/theme",
        "/ui/demo/staging/tokens",
        "/ui/demo/staging/keys/sdk",
        "/ui/demo/staging/keys/mobile",
    ] {
        let form = "form_token=wrong&theme=dark&name=mine&role=owner&keep_hours=1";
        let answer = visitor.post(&service, path, form, &[]).await;
        assert_eq!(answer.status, 403, "{path}");
    }
    assert_eq!(visitor.get(&service, FLAGS, &[]).await.status, 200);
}

#[tokio::test]
async fn keys_are_masked_until_they_are_shown_and_an_old_one_counts_on_for_a_while() {
    let service = Service::demo().await;
    let visitor = Visitor::demo(&service).await;
    let path = "/ui/demo/staging/keys";
    let page = text(&visitor.get(&service, path, &[]).await);
    assert!(page.contains("demo-staging") && !page.contains("sdk-demo-staging"), "{page}");
    let shown = text(&visitor.get(&service, &format!("{path}?show=sdk"), &[]).await);
    assert!(shown.contains("sdk-demo-staging") && !shown.contains("mob-demo-staging"), "{shown}");

    let form = |more: &str| format!("form_token={}{more}", visitor.form_token);
    let made = visitor.post(&service, &format!("{path}/sdk"), &form("&keep_hours=24"), &[]).await;
    assert_eq!(made.header("location"), Some("/ui/demo/staging/keys?show=sdk&renewed=sdk#sdk"));
    let page = text(&visitor.get(&service, &format!("{path}?show=sdk&renewed=sdk"), &[]).await);
    assert!(page.contains("The new key counts from now on") && page.contains("The one before, "), "{page}");
    let old = [("authorization", "sdk-demo-staging")];
    assert_eq!(service.request("GET", "/sdk/latest-all", &old, b"").await.status, 200, "it counts on");
}

#[tokio::test]
async fn a_token_that_is_deleted_on_its_page_stops_working() {
    let service = Service::demo().await;
    let visitor = Visitor::demo(&service).await;
    let path = "/ui/demo/staging/tokens";
    let token = service.rest("GET", "/api/v2/tokens", None).await.json()["items"][0].clone();
    let id = token["_id"].as_str().unwrap();
    let delete = format!("{path}/{id}/delete");
    assert!(text(&visitor.get(&service, path, &[]).await).contains(&delete));
    assert_eq!(visitor.post(&service, &delete, "form_token=wrong", &[]).await.status, 403);
    assert_eq!(service.rest("GET", "/api/v2/tokens", None).await.status, 200);
    let form = format!("form_token={}", visitor.form_token);
    let answer = visitor.post(&service, &delete, &form, &[]).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some(path)));
    assert_eq!(service.rest("GET", "/api/v2/tokens", None).await.status, 401);
    assert_eq!(visitor.post(&service, &delete, &form, &[]).await.status, 404);
}

#[tokio::test]
async fn a_new_key_takes_whose_role_it_is_and_only_one_old_one_counts() {
    let service = Service::demo().await;
    let visitor = Visitor::demo(&service).await;
    let path = "/ui/demo/staging/keys";
    let post = |to: &'static str, more: &'static str| {
        let form = format!("form_token={}{more}", visitor.form_token);
        let (service, visitor) = (&service, &visitor);
        async move { visitor.post(service, &format!("{path}/{to}"), &form, &[]).await }
    };
    let status = |key: &'static str| {
        let service = &service;
        async move { service.request("GET", "/sdk/latest-all", &[("authorization", key)], b"").await.status }
    };
    assert_eq!(post("sdk", "&keep_hours=1").await.status, 303);
    let refused = text(&post("sdk", "&keep_hours=24").await);
    assert!(refused.contains("only one can count on"), "{refused}");
    assert_eq!(status("sdk-demo-staging").await, 200);
    let unknown = text(&post("sdk", "&keep_hours=99999999").await);
    assert!(unknown.contains("Choose how long the old key counts on."), "{unknown}");
    assert_eq!(post("sdk", "&keep_hours=0").await.status, 303);
    assert_eq!(status("sdk-demo-staging").await, 401, "both stopped at once");
    assert_eq!(post("mobile", "").await.status, 303);
    let page = text(&visitor.get(&service, &format!("{path}?show=mobile"), &[]).await);
    assert!(!page.contains("mob-demo-staging") && page.contains("mob-"), "{page}");
}

#[tokio::test]
async fn production_changes_nothing_before_it_was_confirmed() {
    let service = Service::demo().await;
    let visitor = Visitor::demo(&service).await;
    let path = "/ui/demo/production/flags/wish-lists/switch";
    let form = format!("form_token={}&on=false&from=flag", visitor.form_token);
    let answer = visitor.post(&service, path, &form, &[]).await;
    assert_eq!(answer.header("location").unwrap(), format!("{path}?on=false&from=flag"));
    let fragment = visitor.post(&service, path, &form, &[("hx-request", "true")]).await;
    assert_eq!(fragment.header("hx-redirect").unwrap(), format!("{path}?on=false&from=flag"));
    assert!(is_on(&service, "production", "wish-lists").await);
    let answer = visitor.post(&service, path, &format!("{form}&confirmed=true&comment=why"), &[]).await;
    assert_eq!(answer.header("location"), Some("/ui/demo/production/flags/wish-lists?flipped=wish-lists"));
    assert!(!is_on(&service, "production", "wish-lists").await);
}

#[tokio::test]
async fn a_flip_against_an_old_version_is_a_conflict() {
    let service = Service::demo().await;
    let visitor = Visitor::demo(&service).await;
    let form = format!("form_token={}&on=false&version=1&from=list", visitor.form_token);
    let answer = visitor.post(&service, SWITCH, &form, &[]).await;
    assert_eq!(answer.status, 409);
    assert!(text(&answer).contains("Somebody was faster"), "{}", text(&answer));
    let fragment = visitor.post(&service, SWITCH, &form, &[("hx-request", "true")]).await;
    assert_eq!((fragment.status, fragment.header("hx-retarget")), (409, Some("#notice")));
    assert!(!text(&fragment).contains("<html"), "a notice, not a page");
    assert!(is_on(&service, "staging", "wish-lists").await);
}

#[tokio::test]
async fn a_reader_sees_flags_and_cannot_flip_them() {
    let service = Service::demo().await;
    let reader = Member {
        id: 0,
        public_id: "0123456789abcdef01234567".to_owned(),
        email: "reader@example.com".to_owned(),
        first_name: "Rea".to_owned(),
        last_name: "Der".to_owned(),
        role: Role::Reader,
        password_hash: Some(password::hash("reads only".to_owned()).await),
        created_at: 0,
    };
    let mut write = service.app().store.write().await.unwrap();
    member::insert(&mut write, &reader).await.unwrap();
    write.commit().await.unwrap();
    let visitor = Visitor::sign_in(&service, "reader@example.com", "reads only").await;
    let page = text(&visitor.get(&service, FLAGS, &[]).await);
    assert_eq!(
        page.matches("role=\"switch\"").count(),
        page.matches("disabled title=\"Your role, reader").count()
    );
    assert!(!page.contains("/switch\""), "no form to flip with");
    let form = format!("form_token={}&on=false&from=list", visitor.form_token);
    let answer = visitor.post(&service, SWITCH, &form, &[]).await;
    assert_eq!(answer.status, 403);
    assert!(text(&answer).contains("may not change flags"), "{}", text(&answer));
    assert!(is_on(&service, "staging", "wish-lists").await);
    let tokens = "/ui/demo/staging/tokens";
    assert!(!page.contains(tokens), "no link to what a reader may not do");
    assert_eq!(visitor.get(&service, tokens, &[]).await.status, 403);
    let form = format!("form_token={}&name=mine&role=reader", visitor.form_token);
    assert_eq!(visitor.post(&service, tokens, &form, &[]).await.status, 403);
    let keys = "/ui/demo/staging/keys";
    assert!(!page.contains(keys), "no link to what a reader may not see");
    assert_eq!(visitor.get(&service, keys, &[]).await.status, 403);
    let form = format!("{form}&keep_hours=0");
    for path in ["sdk", "mobile"] {
        assert_eq!(visitor.post(&service, &format!("{keys}/{path}"), &form, &[]).await.status, 403);
    }
    let users = text(&visitor.get(&service, "/ui/demo/staging/users", &[]).await);
    assert!(users.contains("YOUR-SDK-KEY") && !users.contains("sdk-demo-staging"), "a reader sees no keys");
}

#[tokio::test]
async fn answers_forbid_what_pages_never_do() {
    let service = Service::demo().await;
    let visitor = Visitor::demo(&service).await;
    let mut answers = vec![
        service.request("GET", "/ui/sign-in", &[], b"").await,
        service.request("GET", FLAGS, &[], b"").await,
        visitor.get(&service, "/ui/nowhere/at-all/flags", &[]).await,
        visitor.post(&service, SWITCH, "form_token=wrong&on=false", &[]).await,
    ];
    for path in [FLAGS, SWITCH, "/ui/demo/staging/users", "/ui/demo/staging/flags/wish-lists"] {
        let path = if path == SWITCH { format!("{path}?on=false") } else { path.to_owned() };
        answers.push(visitor.get(&service, &path, &[]).await);
    }
    for answer in answers {
        let policy = answer.header("content-security-policy").unwrap_or_else(|| panic!("{answer:?}"));
        for part in ["default-src 'self'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'"]
        {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let page = text(&answer);
        assert!(
            !page.contains("<style") && !page.contains(" style=") && !page.contains("<script>"),
            "{page}"
        );
    }
}

#[tokio::test]
async fn assets_are_kept_for_ever_and_come_compressed() {
    let service = Service::demo().await;
    let visitor = Visitor::demo(&service).await;
    let page = text(&visitor.get(&service, FLAGS, &[]).await);
    let paths: Vec<&str> = page.split('"').filter(|part| part.starts_with("/ui/assets/")).collect();
    assert_eq!(paths.len(), 5, "{paths:?}");
    for path in paths {
        let plain = service.request("GET", path, &[], b"").await;
        assert_eq!(plain.status, 200, "{path}");
        assert_eq!(plain.header("cache-control"), Some("public, max-age=31536000, immutable"), "{path}");
        assert_eq!(plain.header("content-encoding"), None);
        if !path.contains("environments-") {
            let packed = service.request("GET", path, &[("accept-encoding", "br, gzip;q=0.8")], b"").await;
            assert_eq!(packed.header("content-encoding"), Some("gzip"), "{path}");
            assert!(packed.body.len() < plain.body.len(), "{path}");
            let refused = service.request("GET", path, &[("accept-encoding", "gzip;q=0")], b"").await;
            assert_eq!(refused.body, plain.body, "{path}");
        }
    }
    let old = service.request("GET", "/ui/assets/environments-000000000000.css", &[], b"").await;
    assert_eq!((old.status, old.header("cache-control")), (200, Some("no-cache")));
    assert_eq!(service.request("GET", "/ui/assets/nothing.css", &[], b"").await.status, 404);
}

#[tokio::test]
async fn a_one_time_link_is_looked_at_without_being_used_up() {
    let service = Service::demo().await;
    let path = setup::owner_link(&service.app().store).await.unwrap().unwrap();
    assert!(path.starts_with(SIGN_IN_LINK_PATH));
    let form = [("content-type", "application/x-www-form-urlencoded")];
    for _ in 0..2 {
        let page = service.request("GET", &path, &[], b"").await;
        assert_eq!(page.status, 200);
        assert!(text(&page).contains("value=\"demo@example.com\""));
    }
    let short = service.request("POST", &path, &form, b"email=ada%40example.com&password=short").await;
    assert_eq!(short.status, 422);
    assert!(text(&short).contains("The password is too short"), "{}", text(&short));
    let foreign = [form[0], ("sec-fetch-site", "cross-site")];
    let foreign =
        service.request("POST", &path, &foreign, b"email=ada%40example.com&password=long-enough").await;
    assert_eq!(foreign.status, 403);
    let taken = service.request("POST", &path, &form, b"email=ada%40example.com&password=long-enough").await;
    assert_eq!((taken.status, taken.header("location")), (303, Some("/ui/")));
    let cookie = taken.header(header::SET_COOKIE.as_str()).unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    let gone = service.request("GET", &path, &[], b"").await;
    assert_eq!(gone.status, 401);
    assert!(text(&gone).contains("flagstaff owner-link"), "{}", text(&gone));
}

#[tokio::test]
async fn five_thousand_flags_come_in_pages_and_are_searched() {
    let service = Service::demo().await;
    add_flags(&service, 5_000).await;
    let visitor = Visitor::demo(&service).await;
    let rows = |page: &str| page.matches("<tr id=\"flag-").count();
    let first = text(&visitor.get(&service, FLAGS, &[]).await);
    assert_eq!(rows(&first), 50);
    assert!(first.contains("5,008 flags") && first.contains("1–50 of 5,008"), "{first}");
    assert!(first.contains("href=\"/ui/demo/staging/flags?page=2\"") && !first.contains("rel=\"prev\""));
    let last = text(&visitor.get(&service, &format!("{FLAGS}?page=101"), &[]).await);
    assert_eq!(rows(&last), 8);
    assert!(last.contains("5,001–5,008 of 5,008") && !last.contains("rel=\"next\""));
    let beyond = text(&visitor.get(&service, &format!("{FLAGS}?page=9999"), &[]).await);
    assert_eq!(rows(&beyond), 8);
    let fragment = [("hx-request", "true")];
    let found = text(&visitor.get(&service, &format!("{FLAGS}?q=GENERATED+4321"), &fragment).await);
    assert_eq!(rows(&found), 1);
    assert!(found.contains("generated-4321") && !found.contains("<html"), "{found}");
    for path in [FLAGS.to_owned(), format!("{FLAGS}?q=generated-12"), format!("{FLAGS}/generated-7")] {
        let started = std::time::Instant::now();
        visitor.get(&service, &path, &[]).await;
        let taken = started.elapsed();
        println!("{path}: {taken:?}");
        // A mark for what is optimised; a debug build may take its time.
        assert!(cfg!(debug_assertions) || taken.as_millis() < 50, "{path} took {taken:?}");
    }
}

async fn add_flags(service: &Service, count: usize) {
    let app = service.app();
    let environments = app.live.all();
    let project_id = environments[0].about().project.id;
    let mut write = app.store.write().await.unwrap();
    for number in 0..count {
        let variation = |value: bool| Variation {
            id: format!("{number}-{value}"),
            value: json!(value),
            ..Variation::default()
        };
        let definition = FlagDefinition {
            name: format!("Generated {number}"),
            description: "One of many".to_owned(),
            tags: vec![format!("tag-{}", number % 10)],
            variations: vec![variation(true), variation(false)],
            ..FlagDefinition::default()
        };
        let row = FlagRow {
            id: 0,
            public_id: format!("{number:024x}"),
            project_id,
            key: format!("generated-{number}"),
            version: 1,
            definition,
            created_at: 0,
        };
        let id = flag::insert(&mut write, &row).await.unwrap();
        for environment in &environments {
            let targeting = TargetingRow {
                environment_id: environment.id(),
                version: 1,
                targeting: Targeting { off_variation: Some(1), ..Targeting::default() },
                changed_at: 0,
                changed_by: "Nobody".to_owned(),
            };
            flag::put_targeting(&mut write, id, &targeting).await.unwrap();
        }
    }
    write.commit().await.unwrap();
}
