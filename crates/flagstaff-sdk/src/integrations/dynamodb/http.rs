//! Amazon's client on our HTTP: the same TLS as everywhere, and no second HTTP library.

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use reqwest::Client;

use crate::http::describe;

/// Makes requests with a client that has time-outs of its own.
#[derive(Clone, Debug)]
pub(super) struct OurHttp(pub(super) Client);

impl HttpClient for OurHttp {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for OurHttp {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let mut response = client.execute(in_ours(request)?).await.map_err(failed)?;
            let status = response.status();
            let headers = std::mem::take(response.headers_mut());
            let body = response.bytes().await.map_err(failed)?;
            let mut answer = ::http::Response::new(SdkBody::from(body));
            *answer.status_mut() = status;
            *answer.headers_mut() = headers;
            HttpResponse::try_from(answer).map_err(unusable)
        })
    }
}

fn in_ours(request: HttpRequest) -> Result<reqwest::Request, ConnectorError> {
    let (head, body) = request.try_into_http1x().map_err(unusable)?.into_parts();
    let body = body.bytes().ok_or_else(|| unusable("a body that is not in memory"))?.to_vec();
    reqwest::Request::try_from(::http::Request::from_parts(head, body)).map_err(unusable)
}

/// Amazon's client tries again after a failed connection or silence.
fn failed(error: reqwest::Error) -> ConnectorError {
    let said = describe(&error).into();
    if error.is_timeout() { ConnectorError::timeout(said) } else { ConnectorError::io(said) }
}

fn unusable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ConnectorError {
    ConnectorError::user(error.into())
}
