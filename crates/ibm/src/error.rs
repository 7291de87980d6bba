//! What IAM's errors ask for. Codes decide, never texts: those follow `Accept-Language`.

use crate::api_key::NAME;
use unexpired_core::{ErrorKind, MintError};
use unexpired_http::Response;

/// The error that an answer without a token stands for. `error` is what the answer means by its status alone.
///
/// A known code decides the kind, the text and the remedy. An unknown one leaves the kind and shows IBM's own text.
pub(crate) fn refusal(response: &Response, error: MintError) -> MintError {
    let failure = response.failure();
    let Some(code) = failure.error_code.as_deref() else { return error.from_source(NAME) };
    // A 429 or 5xx is about that moment, whatever its code: IBM publishes none for it.
    let known = meaning(code).filter(|_| !error.kind().is_transient());
    let kind = known.map_or(error.kind(), |(kind, ..)| kind);
    let message = match known {
        Some((_, message, _)) => message,
        None => error.message(),
    };
    let remedy = match known {
        Some((_, _, remedy)) => remedy,
        None if kind.is_transient() => "try again later",
        None if kind == ErrorKind::Misconfigured => "check the endpoint",
        None => "ask the account's administrator or IBM's support",
    };
    let transaction = TRANSACTION_HEADERS.iter().find_map(|name| response.header(name)).or(failure.trace.as_deref());
    let remedy = match transaction.filter(|id| is_transaction(id) && !failure.is_echo) {
        // Here, since it would be masked as token-shaped in the message.
        Some(id) => format!("{remedy} (transaction {id})"),
        None => remedy.to_owned(),
    };
    MintError::new(kind, message)
        .code(code)
        .host(response.host())
        .remedy(remedy)
        .retry_after(error.wait())
        .from_source(NAME)
}

/// Kind, message and remedy of a code. Remedies leave room for a transaction id, which IBM's support asks for.
fn meaning(code: &str) -> Option<(ErrorKind, &'static str, &'static str)> {
    use ErrorKind::{Denied, Misconfigured};
    Some(match code {
        "BXNIM0060E" => {
            (Misconfigured, "no token endpoint at this path", "set the endpoint to https://iam.cloud.ibm.com")
        }
        "BXNIM0102E" => (Denied, "an object of the request does not exist", "check the key's owner and account"),
        "BXNIM0106E" => (Misconfigured, "a parameter has a value that IAM does not take", "check scope and endpoint"),
        "BXNIM0109E" => (Misconfigured, "a parameter is missing or empty", "check that the API key is not empty"),
        "BXNIM0141E" => (Denied, "the key's owner is no member of the account", "use a key of a member"),
        "BXNIM0308E" => (Misconfigured, "IAM wants a client id and secret", "set client_id and client_secret"),
        "BXNIM0310E" => (Misconfigured, "IAM does not know the client id", "correct client_id, or leave out both"),
        "BXNIM0400E" => {
            (Denied, "the login needs more than the API key", "sign in at cloud.ibm.com and follow the steps there")
        }
        "BXNIM0407E" | "BXNIM0408E" | "BXNIM0439E" => (Denied, "the session is over", "make a new API key"),
        "BXNIM0410E" => {
            (Denied, "the key's owner does not exist or is not active", "make a key of an active user or service id")
        }
        "BXNIM0415E" => (
            Denied,
            "the API key was not found: wrong, deleted, or of the other environment",
            "make a new key, or match endpoint and key (test or production)",
        ),
        "BXNIM0430E" => {
            (Denied, "this machine's IP address is not in the allowed list", "let the account's owner allow it")
        }
        "BXNIM0434E" => (Denied, "the API key is blocked", "unblock or replace it under Manage > Access (IAM)"),
        "BXNIM0436E" => (Denied, "the key's owner is suspended in the account", "ask the account's administrator"),
        "BXNIM0462E" => (Denied, "the API key is disabled", "enable or replace it under Manage > Access (IAM)"),
        "BXNIM0501E" | "BXNIM0513E" | "BXNIM0515E" => {
            (Denied, "the key's owner may not do this", "grant the access policy in IAM")
        }
        "BXNIM0602E" => (Denied, "user name or password is wrong", "correct the client's id and secret"),
        _ => return None,
    })
}

/// Whether this may be shown as an id: it comes from outside, and must not become a place for anything else.
fn is_transaction(id: &str) -> bool {
    (1..=56).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        && !id.starts_with("eyJ")
}

const TRANSACTION_HEADERS: [&str; 4] =
    ["transaction-id", "x-correlation-id", "x-request-id", "x-global-transaction-id"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_remedy_leaves_room_for_the_longest_transaction_id() {
        let mut known = 0;
        for number in 0..1000 {
            if let Some((kind, message, remedy)) = meaning(&format!("BXNIM{number:04}E")) {
                known += 1;
                assert!(matches!(kind, ErrorKind::Denied | ErrorKind::Misconfigured), "{message}");
                assert!(remedy.len() + " (transaction )".len() + 56 <= 140, "{remedy}");
                assert!(message.len() <= 100, "{message}");
            }
        }
        assert_eq!(known, 21);
    }

    #[test]
    fn only_ids_are_shown_as_ids() {
        assert!(is_transaction("ZmFrZQ-00000000000000000000000000000002"));
        for id in ["", "a b", "eyJhbGci", "<script>", "a\u{202e}b", &"a".repeat(57)] {
            assert!(!is_transaction(id), "{id}");
        }
    }
}
