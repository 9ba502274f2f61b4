//! A login backend with one user, `demo` with the password `demo`. It stands in for an application's own login.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

const MAX_BODY_BYTES: usize = 64 * 1024;

/// The response to a successful login, which becomes the claims of a token.
const USER: &str = r#"{"sub":"demo","name":"Demo User","scope":"secure"}"#;

#[derive(Deserialize)]
struct Credentials {
    username: String,
    password: String,
}

/// Serves one connection until either side closes it.
pub async fn serve(stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(respond)).await;
}

/// Responds to one login on any path: 200 with the user, or 401.
async fn respond(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    if request.method() != Method::POST {
        return Ok(reply(StatusCode::METHOD_NOT_ALLOWED, r#"{"error":"method_not_allowed"}"#));
    }
    let Ok(body) = Limited::new(request.into_body(), MAX_BODY_BYTES).collect().await else {
        return Ok(reply(StatusCode::PAYLOAD_TOO_LARGE, r#"{"error":"body_too_large"}"#));
    };
    Ok(match serde_json::from_slice::<Credentials>(&body.to_bytes()) {
        Err(_) => reply(StatusCode::BAD_REQUEST, r#"{"error":"username_and_password_needed"}"#),
        Ok(credentials) if is_valid(&credentials) => reply(StatusCode::OK, USER),
        Ok(_) => reply(StatusCode::UNAUTHORIZED, r#"{"error":"wrong_username_or_password"}"#),
    })
}

/// Checks user name and password in constant time: compares the digests of both.
fn is_valid(credentials: &Credentials) -> bool {
    let is_demo = |text: &str| {
        let (actual, expected) = (digest(&SHA256, text.as_bytes()), digest(&SHA256, b"demo"));
        verify_slices_are_equal(actual.as_ref(), expected.as_ref()).is_ok()
    };
    is_demo(&credentials.username) & is_demo(&credentials.password)
}

fn reply(status: StatusCode, json: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(json));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_demo_user_with_its_password_is_valid() {
        let accepts = |username: &str, password: &str| {
            is_valid(&Credentials { username: username.to_owned(), password: password.to_owned() })
        };
        assert!(accepts("demo", "demo"));
        for (username, password) in [("demo", "Demo"), ("root", "demo"), ("", ""), ("demo", ""), ("demo\0", "demo")] {
            assert!(!accepts(username, password), "{username} {password}");
        }
    }
}
