//! A login backend that knows one user, `demo` with the password `demo`: what an application's own login is elsewhere.

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

/// What is said of the user: it becomes the claims of a token.
const USER: &str = r#"{"sub":"demo","name":"Demo User","scope":"secure"}"#;

#[derive(Deserialize)]
struct Credentials {
    username: String,
    password: String,
}

/// Serves one connection until either side is done with it.
pub async fn serve(stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await;
}

/// Answers one login: 200 with the user, or 401, whatever the path.
async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    if request.method() != Method::POST {
        return Ok(reply(StatusCode::METHOD_NOT_ALLOWED, r#"{"error":"method_not_allowed"}"#));
    }
    let Ok(body) = Limited::new(request.into_body(), MAX_BODY_BYTES).collect().await else {
        return Ok(reply(StatusCode::PAYLOAD_TOO_LARGE, r#"{"error":"body_too_large"}"#));
    };
    Ok(match serde_json::from_slice::<Credentials>(&body.to_bytes()) {
        Err(_) => reply(StatusCode::BAD_REQUEST, r#"{"error":"username_and_password_needed"}"#),
        Ok(given) if known(&given) => reply(StatusCode::OK, USER),
        Ok(_) => reply(StatusCode::UNAUTHORIZED, r#"{"error":"wrong_username_or_password"}"#),
    })
}

/// The same work for every name and password: both are compared, by digests of one length.
fn known(given: &Credentials) -> bool {
    let same = |text: &str| {
        let (given, wanted) = (digest(&SHA256, text.as_bytes()), digest(&SHA256, b"demo"));
        verify_slices_are_equal(given.as_ref(), wanted.as_ref()).is_ok()
    };
    same(&given.username) & same(&given.password)
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
    fn knows_one_user_with_one_password() {
        let knows = |username: &str, password: &str| {
            known(&Credentials { username: username.to_owned(), password: password.to_owned() })
        };
        assert!(knows("demo", "demo"));
        for (username, password) in [("demo", "Demo"), ("root", "demo"), ("", ""), ("demo", ""), ("demo\0", "demo")] {
            assert!(!knows(username, password), "{username} {password}");
        }
    }
}
