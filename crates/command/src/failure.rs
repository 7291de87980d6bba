//! What the end of a command means, read from its status and its stderr.

use crate::sys::Tail;
use std::fmt::Write as _;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;
use unexpired_core::text::{mask, one_line};
use unexpired_core::{ErrorKind, MintError, Secret};

/// The variables that were set for the command: their values are masked.
type Env = [(String, Secret)];

/// It ended with a status other than 0, or by a signal.
pub(crate) fn exited(program: &str, status: Option<ExitStatus>, stderr: &Tail, env: &Env) -> MintError {
    let code = status.and_then(|status| status.code());
    let how = match (code, status) {
        (Some(code), _) => format!("exited with {code}"),
        (None, Some(status)) => format!("was ended by {status}"),
        (None, None) => "ended".into(),
    };
    of(program, &how, code, stderr, env)
}

/// It ended well and said nothing on stdout.
pub(crate) fn printed_nothing(program: &str, stderr: &Tail, env: &Env) -> MintError {
    let error = of(program, "printed nothing", None, stderr, env);
    if error.kind() == ErrorKind::Denied { error } else { error.with_kind(ErrorKind::Malformed) }
}

/// Its time was up.
pub(crate) fn timed_out(program: &str, allowed: Duration, stderr: Option<&Tail>, env: &Env) -> MintError {
    let mut message = format!("{program} gave no answer within {:.1} s and was ended", allowed.as_secs_f64());
    if let Some(line) = stderr.and_then(|tail| telling_line(&shown(tail, env))) {
        let _ = write!(message, ": {line}");
    }
    MintError::new(ErrorKind::TimedOut, message)
        .remedy("run it by hand to see what it waits for; it gets no stdin and no terminal")
}

/// It wrote too much.
pub(crate) fn overflow(program: &str) -> MintError {
    MintError::new(ErrorKind::Malformed, format!("{program} printed more than 64 KiB and was ended"))
        .remedy("the command must print one token, or JSON with a token, and nothing else")
}

/// The system did not start it.
pub(crate) fn not_started(program: &str, error: &io::Error) -> MintError {
    let refused = |message: &str, remedy: &str| {
        MintError::new(ErrorKind::Misconfigured, format!("{program} cannot be started: {message}")).remedy(remedy)
    };
    match error.kind() {
        io::ErrorKind::NotFound => refused(
            "the program, its interpreter or the working folder does not exist",
            "install it, or correct the command and cwd",
        ),
        io::ErrorKind::PermissionDenied => {
            refused("it may not be executed", "give yourself the right to execute it and to enter cwd")
        }
        io::ErrorKind::NotADirectory => refused("part of its path, or cwd, is no folder", "correct the path"),
        io::ErrorKind::ArgumentListTooLong => refused("arguments and environment are too long", "shorten them"),
        _ if error.raw_os_error() == Some(ENOEXEC) => {
            refused("it is no program", "scripts begin with a line #!/bin/sh")
        }
        _ => MintError::new(ErrorKind::Unavailable, format!("{program} cannot be started: {error}")),
    }
}

fn of(program: &str, how: &str, code: Option<i32>, stderr: &Tail, env: &Env) -> MintError {
    let text = shown(stderr, env);
    let mut message = format!("{program} {how}");
    if let Some(line) = telling_line(&text) {
        let _ = write!(message, ": {line}");
    }
    let lower = text.to_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| lower.contains(phrase));
    // The shell's codes for what it cannot find or execute (POSIX 2.8.2), and cmd's.
    if matches!(code, Some(126 | 127 | 9009)) {
        return MintError::new(ErrorKind::Misconfigured, message)
            .remedy("install the program that the command names, or correct the command");
    }
    // First: gcloud and az advise to sign in again when the network is down, too.
    if says(&TRANSIENT) {
        return MintError::new(ErrorKind::Unavailable, message);
    }
    if let Some((_, remedy)) = SIGN_IN.iter().find(|(phrase, _)| lower.contains(phrase)) {
        return MintError::new(ErrorKind::Denied, message).remedy(remedy);
    }
    if says(&REFUSED) {
        return MintError::new(ErrorKind::Denied, message)
            .remedy(format!("sign in to {program} again, or correct what it asks for"));
    }
    MintError::new(ErrorKind::Unavailable, message).remedy("run it by hand to see why it fails")
}

/// stderr without colours, with everything that looks like a token, and the values that we set, masked.
fn shown(stderr: &Tail, env: &Env) -> String {
    let mut text = without_colours(&stderr.text());
    for value in env.iter().map(|(_, value)| value.expose()).filter(|value| value.len() >= SHORTEST_MASKED) {
        text = text.replace(value, "[masked]");
    }
    mask(&text)
}

/// The line that says most: the last one that speaks of an error, else the last one.
fn telling_line(text: &str) -> Option<String> {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = lines().rfind(|line| line.to_lowercase().contains("error"));
    error.or_else(|| lines().next_back()).map(|line| one_line(line, 150))
}

/// Takes out `ESC [ … letter`.
fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut pieces = text.split("\u{1b}[");
    plain.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let end = piece.find(|c: char| !(c.is_ascii_digit() || c == ';')).unwrap_or(piece.len());
        let mut rest = piece.get(end..).unwrap_or_default().chars();
        rest.next();
        plain.push_str(rest.as_str());
    }
    plain
}

/// Shorter values would mask half the message.
const SHORTEST_MASKED: usize = 6;
/// `ENOEXEC` everywhere but on Windows, where the number means something that no start returns.
const ENOEXEC: i32 = 8;

/// What network and server trouble looks like in the words of Python, Go, Node, .NET, curl and the C library.
const TRANSIENT: [&str; 29] = [
    "timed out",
    "timeout",
    "connection refused",
    "connection reset",
    "connection aborted",
    "connectionerror",
    "connection error",
    "failed to establish a new connection",
    "max retries exceeded",
    "could not resolve",
    "couldn't resolve",
    "name or service not known",
    "name resolution",
    "nodename nor servname",
    "no such host",
    "getaddrinfo",
    "enotfound",
    "econnrefused",
    "econnreset",
    "network is unreachable",
    "network is down",
    "no route to host",
    "temporarily unavailable",
    "service unavailable",
    "bad gateway",
    "too many requests",
    "internal server error",
    "try again later",
    "could not reach",
];

/// Words of a program whose user is not signed in, and what to do.
const SIGN_IN: [(&str, &str); 12] = [
    ("az login", "run az login"),
    ("az account set", "run az account set, or az login"),
    ("aadsts", "run az login, or look the AADSTS code up"),
    ("gcloud auth login", "run gcloud auth login"),
    ("gcloud auth application-default login", "run gcloud auth application-default login"),
    ("active account selected", "run gcloud auth login"),
    ("reauthentication", "run gcloud auth login"),
    ("aws sso login", "run aws sso login"),
    ("aws login", "run aws login"),
    ("ibmcloud login", "run ibmcloud login"),
    ("azd auth login", "run azd auth login"),
    ("not logged in", "sign in with the command's own login"),
];

/// Other words of a refusal.
const REFUSED: [&str; 16] = [
    "not signed in",
    "login required",
    "log in to",
    "please log in",
    "please sign in",
    "please login",
    "sign in again",
    "interaction_required",
    "invalid_grant",
    "invalid_client",
    "unauthorized",
    "access denied",
    "access_denied",
    "permission denied",
    "permission_denied",
    "forbidden",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> MintError {
        let mut tail = Tail::new();
        tail.push(text.as_bytes());
        of("az", "exited with 1", Some(1), &tail, &[])
    }

    #[test]
    fn a_program_that_is_not_signed_in_is_a_refusal_with_a_remedy() {
        for (stderr, remedy) in [
            ("ERROR: Please run 'az login' to setup account.", "run az login"),
            (
                "ERROR: AADSTS700082: The refresh token has expired due to inactivity.\nTo re-authenticate, please run:\naz login",
                "run az login",
            ),
            (
                "ERROR: (gcloud.config.config-helper) There was a problem refreshing your current auth tokens: Reauthentication failed. cannot prompt during non-interactive execution.",
                "run gcloud auth login",
            ),
            (
                "ERROR: (gcloud.auth.print-access-token) You do not currently have an active account selected.\nPlease run:\n\n  $ gcloud auth login\n",
                "run gcloud auth login",
            ),
            ("Error loading SSO Token: Token for corp does not exist, run `aws sso login`", "run aws sso login"),
            ("HTTP 403 Forbidden", "sign in to az again"),
        ] {
            let error = said(stderr);
            assert_eq!(error.kind(), ErrorKind::Denied, "{stderr}");
            assert!(error.to_string().contains(remedy), "{error}");
        }
    }

    #[test]
    fn trouble_with_the_network_is_no_refusal_even_if_it_advises_to_sign_in() {
        for stderr in [
            "ERROR: There was a problem refreshing auth tokens: HTTPSConnectionPool(host='oauth2.googleapis.com', port=443): Max retries exceeded\nPlease run:\n  $ gcloud auth login",
            "dial tcp: lookup login.microsoftonline.us: no such host",
            "curl: (28) Connection timed out",
            "HTTP 503 Service Unavailable",
        ] {
            assert_eq!(said(stderr).kind(), ErrorKind::Unavailable, "{stderr}");
        }
        assert_eq!(said("Segmentation fault").kind(), ErrorKind::Unavailable);
        assert_eq!(said("").kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn the_line_that_says_most_is_shown_without_colours_and_secrets() {
        let mut tail = Tail::new();
        tail.push(
            b"Traceback:\n  File x\n\x1b[31mERROR: no token for eyJhbGciOiJub25lIn0.eyJhIjoxfQ.c2ln with hunter2-long\x1b[0m\nbye\n",
        );
        let env = [("PASSWORD".to_owned(), Secret::new("hunter2-long"))];
        let error = of("tool", "exited with 3", Some(3), &tail, &env).to_string();
        assert_eq!(
            error,
            "tool exited with 3: ERROR: no token for [masked] with [masked]; run it by hand to see why it fails"
        );
    }
}
