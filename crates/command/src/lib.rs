//! Tokens that another program prints: `az`, `gcloud`, `ibmcloud`, a Kubernetes exec plugin, a script.
//!
//! ```
//! use std::time::Duration;
//! use unexpired_command::Command;
//!
//! # fn main() -> Result<(), unexpired_core::MintError> {
//! let azure_cli = Command::argv(["az", "account", "get-access-token", "--resource", "https://management.azure.com", "--output", "json"])
//!     .timeout(Duration::from_secs(15))
//!     .build()?;
//! # let _ = azure_cli;
//! # Ok(())
//! # }
//! ```
//!
//! # How a command is run
//!
//! | | |
//! |---|---|
//! | program | an absolute path, or a name that is looked up in the absolute entries of `PATH`; never in the working folder |
//! | shell string | `/bin/sh -c STRING`; on Windows `cmd /d /s /c "STRING"` |
//! | stdin | null |
//! | working folder | `/` (Windows: `%SystemRoot%`), unless [`cwd`](CommandBuilder::cwd) says otherwise |
//! | environment | inherited; `PATH` without relative entries; `PWD` is the working folder; unless they are set: `NO_COLOR=1`, `AZURE_CORE_NO_COLOR=true`, `CLOUDSDK_CORE_DISABLE_PROMPTS=1`; then what [`env`](CommandBuilder::env) sets; `UNEXPIRED_CLAIMS` holds a claims challenge, if there is one |
//! | time | [`timeout`](CommandBuilder::timeout), 10 s by default, and never more than the engine has left |
//! | stdout | at most 64 KiB |
//! | stderr | the last 4 KiB; one line of it goes into the error, token-shaped runs and the values set by `env` masked |
//!
//! The command leads a process group of its own, which is killed when time is up, when the future is dropped and when stdout
//! overflows. A program that leaves the group (a daemon) survives; so does one that a successful command left in the background.
//! On Windows the tree of processes is ended by `taskkill /T`. No thread of the caller's runtime waits.
//!
//! # Answers
//!
//! | answer | token | expiry |
//! |---|---|---|
//! | one bare token, on one line (also in double quotes, or after `Bearer` or `IAM token:`) | the text | |
//! | `az account get-access-token` | `accessToken` | `expires_on`; `expiresOn` is local time without a zone and is not believed |
//! | `gcloud config config-helper --format=json` | `credential.access_token` | `credential.token_expiry`, which may be empty |
//! | Kubernetes `ExecCredential` (`v1`, `v1beta1`) | `status.token` | `status.expirationTimestamp` |
//! | Google's executable source ([AIP-4117](https://google.aip.dev/auth/4117)) | `id_token` | `expiration_time` |
//! | any JSON object | `access_token`, `token`, `accessToken` or `iam_token` | `expires_in`, `expires_on`, `expires_at`, `expiry`, `expiration`, … |
//! | AWS `credential_process` | refused: these are keys that sign requests, and no part of them is a bearer token; with [`aws_credentials`](CommandBuilder::aws_credentials) the only answer that is taken, see [`AwsCredentials`] | `Expiration` |
//!
//! A moment is RFC 3339 with a zone, or seconds since 1970 (more than 10<sup>11</sup> are taken for milliseconds), as number or string. The
//! `exp` of a JWT counts beside what the answer says, and the shorter wins. Where neither says anything the token lives for
//! [`ttl`](CommandBuilder::ttl), by default 5 minutes.
//!
//! # Errors
//!
//! | what happened | kind |
//! |---|---|
//! | the program is not installed, is no program, or its name is a relative path; AWS keys; a client certificate; exit 126, 127 | `Misconfigured` |
//! | it failed and its stderr speaks of the network or an overloaded server | `Unavailable` |
//! | it failed and its stderr says "sign in", or that access is denied | `Denied`, with the command that signs in |
//! | it failed otherwise, or a signal ended it | `Unavailable`: what nobody understands may pass |
//! | the answer says `"success": false`, or is an OAuth error | `Denied` (OAuth's transient codes: `Unavailable`) |
//! | time is up | `TimedOut` |
//! | anything else on stdout: nothing, two lines, colours, HTML, not UTF-8, more than 64 KiB | `Malformed` |
//!
//! A missing program is `Misconfigured`, not `NotConfigured`: somebody named it. No error holds any part of stdout, except the code and the
//! message of an answer that says that it is an error.

mod answer;
mod aws;
mod command;
mod failure;
mod program;
mod rfc3339;
mod sys;

pub use aws::AwsCredentials;
pub use command::{Command, CommandBuilder};
