//! Every door that takes something from a stranger, as the router has them: a path that is added to the
//! router is found here without being named, and what stands for its parts has to be said.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::dashboard::Visitor;
use crate::rest::TOKEN;
use crate::support::{Answer, Service};

/// What a door takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Takes {
    /// A document for the REST API.
    Rest,
    /// Nothing: what is sent is passed over.
    Nothing,
    /// A file in a form.
    File,
    /// A form of the dashboard.
    Form,
    /// A context or user, as the body.
    Context,
    /// A context or user, as base64 in the path.
    ContextInPath,
    /// A question of OpenFeature's protocol.
    OpenFeature,
    /// A batch of events.
    Events,
    /// What an SDK reports of itself.
    Diagnostics,
    /// A batch of events as base64 in the query.
    Image,
}

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) takes: Takes,
    pub(crate) method: String,
    /// The path as the router has it.
    pub(crate) template: String,
    /// The path that is asked, but for what is sent in it.
    path: String,
    headers: Vec<(&'static str, String)>,
}

/// The doors of a service that was made ready for them.
pub(crate) async fn doors(service: &Service) -> Vec<Door> {
    let ids = Ids::make(service).await;
    let visitor = Visitor::demo(service).await;
    let router = format!("{:?}", flagstaff_service::router::router(service.app().clone()));
    let mut doors = Vec::new();
    for (template, methods) in routes(&router) {
        for method in methods {
            let Some(takes) = takes(&template, &method) else { continue };
            let path = ids.path(&template);
            doors.push(Door {
                takes,
                headers: headers(&template, takes, &visitor),
                method,
                template: template.clone(),
                path,
            });
        }
    }
    doors.sort_by_key(|door| (door.takes, door.template.clone(), door.method.clone()));
    doors
}

impl Door {
    /// Sends this.
    pub(crate) async fn send(&self, service: &Service, what: &[u8], more: &[(&str, &str)]) -> Answer {
        let headers: Vec<(&str, &str)> = self
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .chain(more.iter().copied())
            .collect();
        let encoded = || URL_SAFE_NO_PAD.encode(what);
        match self.takes {
            Takes::ContextInPath => {
                let path = self.path.replace("{context}", &encoded());
                service.request(&self.method, &path, &headers, b"").await
            }
            Takes::Image => {
                let path = format!("{}?v=4&d={}", self.path, encoded());
                service.request(&self.method, &path, &headers, b"").await
            }
            Takes::File => {
                let head =
                    "--limit\r\ncontent-disposition: form-data; name=\"file\"; filename=\"keys\"\r\n\r\n";
                let form = [head.as_bytes(), what, b"\r\n--limit--\r\n"].concat();
                service.request(&self.method, &self.path, &headers, &form).await
            }
            _ => service.request(&self.method, &self.path, &headers, what).await,
        }
    }

    /// Says that so many bytes will come, and sends none of them.
    pub(crate) async fn announce(&self, service: &Service, length: usize) -> Answer {
        let mut request =
            format!("{} {} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("content-length: {length}\r\n\r\n"));
        service.exchange(request.as_bytes()).await
    }

    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.method, self.template)
    }
}

/// Each path of the router, with its methods. `any` stands where a method is one that axum has no word for.
///
/// axum has no way to ask a router for its paths but to print it.
fn routes(router: &str) -> Vec<(String, Vec<String>)> {
    let (routes, rest) = router.split_once("node: Node { paths: {").expect("a router prints its paths");
    let (paths, _) = rest.split_once("} }").expect("its paths have an end");
    let number =
        |text: &str| -> u32 { text.split(')').next().unwrap().parse().expect("a route has a number") };
    let methods: BTreeMap<u32, Vec<String>> = routes
        .split("RouteId(")
        .skip(1)
        .map(|route| {
            let allowed = route.split("allow_header: ").nth(1).expect("a route says its methods");
            let methods = match allowed.strip_prefix("Bytes(b\"") {
                Some(named) => named.split('"').next().unwrap().split(',').map(str::to_owned).collect(),
                None => vec!["any".to_owned()],
            };
            (number(route), methods)
        })
        .collect();
    let routes: Vec<_> = paths
        .split("RouteId(")
        .skip(1)
        .flat_map(|route| {
            let path = route.split('"').nth(1).expect("a route has a path").to_owned();
            // Two methods of a client-side path are told apart by the handler.
            let known = methods[&number(route)].iter();
            known
                .flat_map(|method| match (method.as_str(), path.contains("{context}")) {
                    ("any", true) => vec!["GET"],
                    ("any", false) if path.starts_with("/sdk/poll") || path.starts_with("/sdk/stream") => {
                        vec!["POST", "REPORT"]
                    }
                    ("any", false) => vec!["REPORT"],
                    (method, _) => vec![method],
                })
                .map(|method| (path.clone(), method.to_owned()))
                .collect::<Vec<_>>()
        })
        .fold(BTreeMap::<String, Vec<String>>::new(), |mut all, (path, method)| {
            all.entry(path).or_default().push(method);
            all
        })
        .into_iter()
        .collect();
    assert!(routes.len() > 100, "only {} paths were found", routes.len());
    routes
}

/// What is taken there by this method; none if nothing is.
fn takes(template: &str, method: &str) -> Option<Takes> {
    if template == "/a/{file}" && method == "GET" {
        return Some(Takes::Image);
    }
    let is_client_side = !template.starts_with("/api/") && template.contains("{context}");
    match (method, template) {
        ("GET", _) if is_client_side => Some(Takes::ContextInPath),
        ("GET" | "HEAD" | "DELETE" | "OPTIONS", _) => None,
        (_, path) if path.starts_with("/ui") => Some(Takes::Form),
        (_, path) if path.ends_with("/imports") => Some(Takes::File),
        (_, path) if ["/reset", "/apiKey", "/mobileKey"].iter().any(|end| path.ends_with(end)) => {
            Some(Takes::Nothing)
        }
        (_, path) if path.ends_with("/flags/evaluate") => Some(Takes::Context),
        (_, path) if path.starts_with("/api/") => Some(Takes::Rest),
        (_, path) if path.starts_with("/ofrep/") => Some(Takes::OpenFeature),
        (_, path) if path.contains("diagnostic") => Some(Takes::Diagnostics),
        (_, path) if path.contains("bulk") || path.starts_with("/mobile") => Some(Takes::Events),
        ("REPORT" | "POST", _) => Some(Takes::Context),
        other => panic!("nobody says what is taken at {other:?}"),
    }
}

fn headers(template: &str, takes: Takes, visitor: &Visitor) -> Vec<(&'static str, String)> {
    let mut headers = Vec::new();
    let key = match template {
        path if path.starts_with("/api/") => TOKEN,
        path if path.starts_with("/m") => "mob-demo-production",
        path if path.starts_with("/ui") || path.contains("{environment}") || path.starts_with("/a/") => "",
        _ => "sdk-demo-production",
    };
    if !key.is_empty() {
        headers.push(("authorization", key.to_owned()));
    }
    headers.push(match takes {
        Takes::Form => ("content-type", "application/x-www-form-urlencoded".to_owned()),
        Takes::File => ("content-type", "multipart/form-data; boundary=limit".to_owned()),
        _ => ("content-type", "application/json".to_owned()),
    });
    if takes == Takes::Form {
        headers.push(("cookie", visitor.cookie().to_owned()));
    }
    headers
}

/// What has to be there so that a path means something.
struct Ids {
    token: String,
    relay: String,
}

impl Ids {
    async fn make(service: &Service) -> Self {
        let made = async |path: &str, body: serde_json::Value| {
            let answer = service.rest("POST", path, Some(body)).await;
            assert_eq!(answer.status, 201, "{path}: {answer:?}");
            answer.json()
        };
        let token = made("/api/v2/tokens", json!({"name": "to be reset", "role": "reader"})).await;
        let statement = json!({"effect": "allow", "actions": ["*"], "resources": ["proj/*:env/*"]});
        let relay =
            made("/api/v2/account/relay-auto-configs", json!({"name": "edge", "policy": [statement]})).await;
        made("/api/v2/segments/demo/production", json!({"key": "vip", "name": "VIP", "unbounded": true}))
            .await;
        made(
            "/api/v2/projects/demo/payload-filters",
            json!({"key": "shop", "conditions": [{"attribute": "tags", "values": ["shop"]}]}),
        )
        .await;
        let id = |made: &serde_json::Value| made["_id"].as_str().expect("it has an id").to_owned();
        Self { token: id(&token), relay: id(&relay) }
    }

    fn path(&self, template: &str) -> String {
        let in_path = template.split('/').map(|part| match (part, template) {
            ("{project}" | "{project_key}", _) => "demo",
            // Keys that the other doors are asked with have to stay as they are.
            ("{environment}", path) if path.ends_with("/apiKey") || path.ends_with("/mobileKey") => "staging",
            ("{environment}" | "{environment_key}", path)
                if path.starts_with("/api/") || path.starts_with("/ui/") =>
            {
                "production"
            }
            ("{environment}", _) => "demo-production",
            ("{file}", _) => "demo-production.gif",
            ("{flag}", _) | ("{key}", "/ofrep/v1/evaluate/flags/{key}") => "wish-lists",
            ("{segment}", path) if path.ends_with("/{segment}") => "beta-testers",
            ("{segment}", _) => "vip",
            ("{metric}", _) => "order-value",
            ("{filter}", _) => "shop",
            ("{id}", path) if path.contains("/tokens/") => &self.token,
            ("{id}", path) if path.contains("/relay-auto-configs/") => &self.relay,
            ("{token}", "/ui/sign-in/link/{token}") => "unknown",
            ("{context}", _) => "{context}",
            (part, _) if part.starts_with('{') => panic!("nobody says what stands for {part} in {template}"),
            (part, _) => part,
        });
        in_path.collect::<Vec<_>>().join("/")
    }
}
