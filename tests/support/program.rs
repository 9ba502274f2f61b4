//! The program `route-token`, as its tests run it.
#![allow(dead_code, reason = "each test program uses its part")]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

/// The result of a run.
pub struct Run {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Checks that the program printed only its result, and returns it.
    pub fn succeeds(self) -> String {
        assert_eq!((self.status, self.stderr.as_str()), (0, ""), "{}", self.stdout);
        self.stdout.trim_end_matches('\n').to_owned()
    }

    /// Checks that the program exited with `status` and one message on standard error, and returns the message.
    pub fn fails(self, status: i32) -> String {
        assert_eq!((self.status, self.stdout.as_str()), (status, ""), "{}", self.stderr);
        assert_eq!(self.stderr.matches('\n').count(), 1, "{}", self.stderr);
        self.stderr.trim_end().strip_prefix("route-token: ").expect("the program's name").to_owned()
    }

    /// Returns the output line of a check.
    pub fn line(&self, check: &str) -> &str {
        let of_check = |line: &&str| line.split_whitespace().nth(1) == Some(check);
        self.stdout.lines().find(of_check).unwrap_or_else(|| panic!("no line of {check}:\n{}", self.stdout))
    }
}

/// Runs `route-token`.
pub fn run(arguments: &[&str], input: &str) -> Run {
    run_with(Command::new(env!("CARGO_BIN_EXE_route-token")).args(arguments), input)
}

/// Runs a command with only its own environment variables.
pub fn run_with(command: &mut Command, input: &str) -> Run {
    for variable in
        ["JWT_DESKTOP_SIGNING_PUBLIC_KEY", "JWT_DESKTOP_PAYLOAD_PRIVATE_KEY", "ROUTE_ADMIN_TOKEN", "ROUTE_RUN_DIR"]
    {
        if !command.get_envs().any(|(name, _)| name == variable) {
            command.env_remove(variable);
        }
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // The write fails if the program exits without reading its input.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().expect("the program ends");
    Run {
        status: status.code().expect("no signal"),
        stdout: String::from_utf8(stdout).expect("UTF-8"),
        stderr: String::from_utf8(stderr).expect("UTF-8"),
    }
}
