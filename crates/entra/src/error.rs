//! What the errors of the token endpoint ask for.

use crate::client_secret::NAME;
use std::time::Duration;
use unexpired_core::text::one_line;
use unexpired_core::{ErrorKind, MintError, Secret};
use unexpired_http::Response;

/// The error that an answer without a token stands for. `error` is what the answer means by its status and OAuth's fields alone.
///
/// A known `AADSTS` code decides the kind, the text and the remedy. An unknown one leaves the kind and shows Microsoft's own text.
pub(crate) fn refusal(response: &Response, error: MintError, secret: &Secret) -> MintError {
    let failure = response.failure();
    let number = failure.codes.first().copied().or_else(|| aadsts(failure.error_code.as_deref()?));
    let Some(number) = number else { return error.from_source(NAME) };
    let code = format!("AADSTS{number}");
    let id = match (&failure.trace, &failure.correlation_id) {
        (Some(trace), _) => format!(" (trace {trace})"),
        (None, Some(correlation)) => format!(" (correlation {correlation})"),
        (None, None) => String::new(),
    };
    let finish = |kind: ErrorKind, message: &str, remedy: &str, wait: Option<Duration>| {
        MintError::new(kind, format!("{message}{id}"))
            .code(&code)
            .host(response.host())
            .remedy(remedy)
            .retry_after(wait)
            .from_source(NAME)
    };
    match meaning(number) {
        // Throttled or failing: whatever the code says is about that moment.
        Some((_, message, _)) if matches!(response.status(), 429 | 500..=599) => {
            finish(ErrorKind::Unavailable, message, WAIT, response.retry_after())
        }
        Some((kind, message, remedy)) => {
            let wait = response.retry_after().or_else(|| (number == CLIENT_LOOP).then_some(LOOP_PAUSE));
            let remedy = if WRONG_SECRET.contains(&number) && is_uuid(secret.expose()) { SECRET_ID } else { remedy };
            finish(kind, message, remedy, wait.filter(|_| kind.is_transient()))
        }
        None => {
            let described = failure.description.as_deref().unwrap_or_default();
            let text = described
                .split_once(':')
                .filter(|(prefix, _)| prefix.starts_with("AADSTS"))
                .map_or(described, |(_, text)| text);
            let message = match text.trim() {
                "" if failure.is_echo => error.message(),
                "" => failure.error.as_deref().unwrap_or("refused"),
                text => text,
            };
            let remedy = if error.kind().is_transient() { WAIT } else { LOOK_UP };
            finish(error.kind(), &one_line(message, 120), remedy, error.wait())
        }
    }
}

/// `AADSTS7000215` as a number.
fn aadsts(code: &str) -> Option<u64> {
    code.strip_prefix("AADSTS")?.parse().ok()
}

/// Kind, message and remedy of a code, from Microsoft's page "Microsoft Entra authentication and authorization error codes".
///
/// Codes of device, authorization-code and on-behalf-of flows are not here: an application with a secret does not get them.
fn meaning(code: u64) -> Option<(ErrorKind, &'static str, &'static str)> {
    use ErrorKind::{Denied, Misconfigured, Unavailable};
    Some(match code {
        // The credential.
        70002 | 7000215 => (
            Denied,
            "the client secret is wrong",
            "set client_secret to the secret's value, not its id; or make a new one",
        ),
        7000222 => (Denied, "the client secret has expired", "make a new client secret for the application and set it"),
        7000218 => (Misconfigured, "no client secret or assertion arrived", "set client_secret"),
        700025 => (
            Misconfigured,
            "the application is a public client and may send no secret",
            "disable public client flows for it",
        ),
        50012 | 700030 => {
            (Denied, "the certificate is not trusted", "register the certificate or its issuer with the application")
        }
        50048 => (Misconfigured, "the assertion's sub and iss differ", "make both of the client id"),
        700024 => {
            (Denied, "the assertion is not valid at this time", "set this machine's clock, or get a fresh assertion")
        }
        700027 => (
            Denied,
            "the assertion's signature does not fit",
            "upload the certificate to the application, or use its key",
        ),
        700211 => (
            Denied,
            "no federated credential has this issuer",
            "compare the issuer with the application's federated credential",
        ),
        700212 => (
            Denied,
            "no federated credential has this audience",
            "compare the audience with the application's federated credential",
        ),
        70021 | 700213 | 7002138 => {
            (Denied, "no federated credential fits", "compare the subject, case included; a new one takes minutes")
        }
        700229 => (Denied, "a user's token serves as no assertion", "use an app-only token"),
        90061 => {
            (Unavailable, "Entra cannot reach the assertion's issuer", "make the issuer's keys public, then try again")
        }
        // The application.
        70001 | 7000112 => (Denied, "the application is disabled", "let an administrator enable it"),
        700011 | 700016 => (
            Misconfigured,
            "the application is not in this tenant",
            "check client_id and tenant, and the cloud that they live in",
        ),
        50105 => (Denied, "the application is not assigned to the resource", "assign it a role of the resource"),
        65001 => {
            (Denied, "nobody has consented to the permission", "let an administrator grant consent to the application")
        }
        65005 | 650052 | 650054 | 650056 | 650057 => (
            Denied,
            "the application's permissions lack the resource",
            "add the resource's permission to the application, and consent",
        ),
        90094 | 90095 | 90099 => {
            (Denied, "an administrator must consent", "let an administrator grant consent to the application")
        }
        // The tenant and the cloud.
        90002 => {
            (Misconfigured, "the tenant was not found", "check tenant; if it is right, set cloud to where it lives")
        }
        90038 => (
            Misconfigured,
            "the tenant lives in another national cloud",
            "set cloud to the tenant's: public, us-government or china",
        ),
        900382 | 900432 => (
            Misconfigured,
            "an application with a secret cannot cross clouds",
            "set cloud to where the application is registered",
        ),
        900439 => (
            Misconfigured,
            "an application of the US Government cloud is asked for elsewhere",
            "set cloud to us-government",
        ),
        50049 => (Misconfigured, "the authority is unknown", "check authority, and the cloud that it belongs to"),
        50059 | 50128 | 90019 => (
            Misconfigured,
            "the request names no tenant that exists",
            "set tenant to the directory's id or a domain of it",
        ),
        50194 => (Misconfigured, "the application serves one tenant only", "set tenant to that tenant's id"),
        9001023 | 90124 | 90130 => (
            Misconfigured,
            "this needs a tenant of its own",
            "set tenant to the directory's id, not common or consumers",
        ),
        9002332 => (Misconfigured, "the application is for work accounts only", "set tenant to the directory's id"),
        100007 => (
            Misconfigured,
            "a regional endpoint is for Microsoft's own applications",
            "set authority to the login host without a region",
        ),
        // The scope.
        50001 | 500011 => (
            Misconfigured,
            "the tenant has no such resource",
            "check scope; it may be the resource's name in another cloud",
        ),
        70003 => (Misconfigured, "the grant is not supported", "check that authority is Entra's v2.0 endpoint"),
        70011 | 28002 => (Misconfigured, "the scope is not valid", "set scope to one resource and /.default"),
        700022 | 700023 => {
            (Misconfigured, "the scope names several resources", "configure one token for each resource")
        }
        1002012 => {
            (Misconfigured, "an app-only scope must end in /.default", "set scope to one resource and /.default")
        }
        90009 => {
            (Misconfigured, "the application asks for a token for itself", "set scope to its client id and /.default")
        }
        901002 => (Misconfigured, "the parameter resource was sent to the v2.0 endpoint", "use scope in its place"),
        90013 | 90014 | 900144 | 90023 | 9002313 | 90100 => {
            (Misconfigured, "a parameter is missing or malformed", "check tenant, client_id and scope")
        }
        // Policies. The sign-in log tells which; it is searched by the trace (request) id.
        53000..=53002 => {
            (Denied, "a conditional-access policy wants a managed device or application", "ask the administrator")
        }
        53003 | 530032 | 530034 | 530035 => {
            (Denied, "a conditional-access policy blocks it", "show an administrator the trace id for the sign-in log")
        }
        50053 => (Denied, "the account is locked or the address is blocked", "wait, or ask an administrator"),
        50057 => (Denied, "the account is disabled", "let an administrator enable it"),
        50076 | 50079 | 50072 | 50074 | 50078 | 50158 => {
            (Denied, "multi-factor authentication is demanded", "exempt the application, or sign in as a user")
        }
        50089 | 50132 | 50133 | 50173 | 70008 | 70043 | 700082 | 700084 => {
            (Denied, "the grant has expired or was revoked", "sign in again")
        }
        // Not now.
        CLIENT_LOOP => {
            (Unavailable, "the same token was asked for too often", "find who asks without caching; wait some minutes")
        }
        90055 => (Unavailable, "the tenant is throttled", WAIT),
        50033 | 50087 | 90006 | 90012 | 90024 | 90033 | 90090 | 70012 => {
            (Unavailable, "Entra has a passing trouble", WAIT)
        }
        _ => return None,
    })
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text
            .bytes()
            .enumerate()
            .all(|(at, b)| if matches!(at, 8 | 13 | 18 | 23) { b == b'-' } else { b.is_ascii_hexdigit() })
}

const WRONG_SECRET: [u64; 2] = [70002, 7000215];
const SECRET_ID: &str = "client_secret is a UUID: that is the secret's id; set its value, or make a new secret";

const CLIENT_LOOP: u64 = 50196;
/// The service names no time. Minutes, says Microsoft's page on throttling.
const LOOP_PAUSE: Duration = Duration::from_secs(300);

const WAIT: &str = "try again later";
const LOOK_UP: &str = "look the code up at https://login.microsoftonline.com/error";

#[cfg(test)]
mod tests {
    use super::*;

    const CODES: [u64; 95] = [
        70002, 7000215, 7000222, 7000218, 700025, 50012, 700030, 50048, 700024, 700027, 700211, 700212, 70021, 700213,
        7002138, 700229, 90061, 70001, 7000112, 700011, 700016, 50105, 65001, 65005, 650052, 650054, 650056, 650057,
        90094, 90095, 90099, 90002, 90038, 900382, 900432, 900439, 50049, 50059, 50128, 90019, 50194, 9001023, 90124,
        90130, 9002332, 100007, 50001, 500011, 70003, 70011, 28002, 700022, 700023, 1002012, 90009, 901002, 90013,
        90014, 900144, 90023, 9002313, 90100, 53000, 53001, 53002, 53003, 530032, 530034, 530035, 50053, 50057, 50076,
        50079, 50072, 50074, 50078, 50158, 50089, 50132, 50133, 50173, 70008, 70043, 700082, 700084, 50196, 90055,
        50033, 50087, 90006, 90012, 90024, 90033, 90090, 70012,
    ];

    #[test]
    fn every_known_code_has_a_short_text_and_a_remedy_that_is_never_cut() {
        for code in CODES {
            let (kind, message, remedy) = meaning(code).unwrap_or_else(|| panic!("{code}"));
            assert!(!message.is_empty() && message.len() <= 75, "{code}: {message}");
            assert!(!remedy.is_empty() && remedy.len() <= 90, "{code}: {remedy}");
            assert!(matches!(kind, ErrorKind::Denied | ErrorKind::Misconfigured | ErrorKind::Unavailable), "{code}");
        }
        assert!(SECRET_ID.len() <= 90);
    }

    #[test]
    fn transient_codes_are_the_ones_that_microsoft_calls_so() {
        let transient: Vec<u64> =
            CODES.into_iter().filter(|code| meaning(*code).is_some_and(|(kind, ..)| kind.is_transient())).collect();
        assert_eq!(transient, [90061, 50196, 90055, 50033, 50087, 90006, 90012, 90024, 90033, 90090, 70012]);
    }

    #[test]
    fn a_code_is_a_number() {
        assert_eq!(aadsts("AADSTS90002"), Some(90002));
        for text in ["", "AADSTS", "90002", "AADSTSx", " AADSTS1", "AADSTS99999999999999999999999"] {
            assert_eq!(aadsts(text), None, "{text}");
        }
    }
}
