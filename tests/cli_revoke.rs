//! `route-token revoke`: its arguments, its admin token, and answers that the admin API would not give.
//! spec/revoke_command_spec.lua runs it against the admin API.

#[path = "support/program.rs"]
mod program;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::thread;

use program::{Run, run, run_with};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Answers each of several requests with one text. Returns the address, and the requests when all have come.
fn serve(answers: Vec<String>) -> (String, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let serving = thread::spawn(move || answers.iter().map(|answer| serve_one(&listener, answer)).collect());
    (address, serving)
}

fn serve_one(listener: &TcpListener, answer: &str) -> String {
    let (mut connection, _) = listener.accept().expect("a connection");
    let (mut request, mut part) = (Vec::new(), [0; 4096]);
    while !is_whole(&request) {
        let length = connection.read(&mut part).expect("a request");
        assert_ne!(length, 0, "the request ended early");
        request.extend_from_slice(&part[..length]);
    }
    // The program may have ended before it has read all.
    let _ = connection.write_all(answer.as_bytes());
    String::from_utf8(request).expect("a text")
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().expect("a number"))
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// Runs `revoke` with an admin token in the environment.
fn revoke(arguments: &[&str], input: &str) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_route-token"));
    run_with(command.arg("revoke").args(arguments).env("ROUTE_ADMIN_TOKEN", "adm.in.token"), input)
}

/// Runs `revoke` against a server that answers 201, and returns the request.
fn request_of(arguments: &[&str], input: &str) -> String {
    let (address, serving) = serve(vec![answer("201 Created", r#"{"id":7}"#)]);
    assert_eq!(revoke(&[&["--server", &address], arguments].concat(), input).succeeds(), "7");
    serving.join().expect("no panic").remove(0)
}

#[test]
fn every_name_and_limit_is_a_member_of_the_request() {
    let directory = TempDir::new().expect("a temporary directory");
    let file = directory.path().join("token").display().to_string();
    fs::write(&file, "Bearer a.b.c\n").expect("the file can be written");
    let digits = "0123456789abcdef".repeat(4);
    for (arguments, input, body) in [
        (&["--sub", "ada"][..], "", json!({"sub": "ada"})),
        (&["--jti", "7", "--iss", "https://id.example"], "", json!({"jti": "7", "iss": "https://id.example"})),
        (&["--sid", "s", "--before", "3", "--ends", "4"], "", json!({"sid": "s", "before": 3, "ends": 4})),
        (&["--target", "10.0.0.7"], "", json!({"target": "10.0.0.7"})),
        (&["--kid", "\"\u{e9}\n"], "", json!({"kid": "\"\u{e9}\n"})),
        (&["--token-sha256", &digits], "", json!({"token_sha256": digits})),
        (&["--token-file", &file], "", json!({"token": "a.b.c"})),
        (&["--token-file", "-"], "a.b.c", json!({"token": "a.b.c"})),
    ] {
        let request = request_of(arguments, input);
        let (head, sent) = request.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("POST /revocations HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nauthorization: Bearer adm.in.token\r\n"), "{head}");
        assert!(head.contains("\r\ncontent-type: application/json\r\n"), "{head}");
        assert_eq!(serde_json::from_str::<Value>(sent).ok(), Some(body));
    }
}

#[test]
fn the_admin_token_of_a_file_or_standard_input_goes_before_that_of_the_environment() {
    let directory = TempDir::new().expect("a temporary directory");
    let file = directory.path().join("admin").display().to_string();
    fs::write(&file, "fi.le.token\n").expect("the file can be written");
    for (source, input, token) in [(file.as_str(), "", "fi.le.token"), ("-", " Bearer st.din.token", "st.din.token")] {
        let request = request_of(&["--sub", "a", "--admin-token-file", source], input);
        assert!(request.contains(&format!("\r\nauthorization: Bearer {token}\r\n")), "{request}");
    }
}

#[test]
fn a_list_is_read_page_by_page_up_to_the_limit_and_prints_one_object_a_line() {
    let page = |from: u64, count: u64| {
        let items: Vec<_> = (0..count).map(|i| json!({"id": from - i, "sub": "a\u{9b}"})).collect();
        answer("200 OK", &json!({"revocations": items, "below": from - count + 1}).to_string())
    };
    let (address, serving) = serve(vec![page(300, 100), page(200, 20)]);
    let output = run(&["revoke", "list", "--server", &address, "--limit", "120"], "").succeeds();
    let requests = serving.join().expect("no panic");
    assert!(requests[0].starts_with("GET /revocations?limit=100 HTTP/1.1\r\n"), "{}", requests[0]);
    assert!(requests[1].starts_with("GET /revocations?limit=20&below=201 HTTP/1.1\r\n"), "{}", requests[1]);
    let lines: Vec<_> = output.lines().collect();
    assert_eq!((lines.len(), lines[0]), (120, r#"{"id":300,"sub":"a\u009b"}"#));
}

#[test]
fn a_list_that_does_not_go_on_ends() {
    let same = answer("200 OK", r#"{"revocations":[],"below":5}"#);
    let (address, serving) = serve(vec![same.clone(), same]);
    assert_eq!(run(&["revoke", "list", "--server", &address], "").succeeds(), "");
    assert_eq!(serving.join().expect("no panic").len(), 2);
}

#[test]
fn a_wrong_answer_is_one_sentence() {
    let long = format!(r#"{{"message":"a \"b\" \u001b[2J\u009b{}"}}"#, "x".repeat(9999));
    for (text, sentence) in [
        (answer("200 OK", "hello"), "the answer is none of the admin API: does --server name it?".to_owned()),
        (answer("200 OK", "{}"), "the answer is none of the admin API: does --server name it?".to_owned()),
        (answer("502 Bad Gateway", "<html>"), "the admin API answers 502".to_owned()),
        (answer("302 Found", ""), "the admin API answers 302".to_owned()),
        (
            answer("401 Unauthorized", r#"{"code":"x","message":"The token is invalid"}"#),
            "the admin API answers 401: The token is invalid".to_owned(),
        ),
        // Nothing of it may control the terminal.
        (answer("400 Bad Request", &long), format!("the admin API answers 400: a \"b\" [2J{}", "x".repeat(291))),
    ] {
        let (address, serving) = serve(vec![text.clone()]);
        let message = revoke(&["--sub", "a", "--server", &address], "").fails(1);
        assert_eq!(message, sentence);
        serving.join().expect("no panic");
    }
    let endless = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", "x".repeat(5 << 20));
    for text in [endless.as_str(), "", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "SSH-2.0\r\n\r\n"] {
        let (address, serving) = serve(vec![text.to_owned()]);
        let message = revoke(&["--sub", "a", "--server", &address], "").fails(1);
        assert!(message.starts_with(&format!("{address} gives no answer: ")), "{message}");
        serving.join().expect("no panic");
    }
}

#[test]
fn a_mistake_in_the_arguments_is_a_usage_error_and_shows_no_token() {
    let directory = TempDir::new().expect("a temporary directory");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name).display().to_string();
        fs::write(&path, text).expect("the file can be written");
        path
    };
    let (empty, two) = (file("empty", "\n"), file("two", "secret.a.b secret.c.d"));
    for (arguments, part) in [
        (&["--sub", "a", "--server", "gateway:80"][..], "--server must be unix:PATH, "),
        (&["--sub", "a", "--server", "http://ops:secret@h"], "--server must be unix:PATH, "),
        (&["--sub", "a", "--server", "https://h/admin"], "--server must be unix:PATH, "),
        (&["--sub", "a", "--server", "https://h", "--ca", &empty], "--ca must be a file with certificates"),
        (&["--sub", "a", "--admin-token-file", "/none"], "/none cannot be read: "),
        (&["--sub", "a", "--admin-token-file", &empty], "--admin-token-file must hold one token"),
        (&["--sub", "a", "--admin-token-file", &two], "--admin-token-file must hold one token"),
        (&["--token-file", &empty], "--token-file must hold one token"),
        (&["--token-file", &two], "--token-file must hold one token"),
        (&["--token-file", "-", "--admin-token-file", "-"], "standard input cannot be both tokens"),
    ] {
        let message = revoke(arguments, "in.pu.t").fails(2);
        assert!(message.starts_with(part) && !message.contains("secret"), "{arguments:?}: {message}");
    }
    let message = run(&["revoke", "withdraw", "7"], "").fails(2);
    assert_eq!(message, "a change needs an admin token: --admin-key, --admin-token-file or ROUTE_ADMIN_TOKEN");
    for wrong in [&[][..], &["--sub", "a", "--sid", "b"], &["withdraw"], &["withdraw", "-1"], &["--sub", "a", "list"]] {
        assert_eq!(revoke(wrong, "").status, 2, "{wrong:?}");
    }
}

#[test]
fn the_default_address_is_the_socket_in_the_run_directory() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_route-token"));
    let message = run_with(command.args(["revoke", "list"]).env("ROUTE_RUN_DIR", "/none"), "").fails(1);
    assert_eq!(message, "unix:/none/admin.sock cannot be reached: No such file or directory (os error 2)");
}
