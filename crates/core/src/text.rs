//! Texts from elsewhere (error bodies, stderr of a command) made fit to be shown.

use std::fmt::Write as _;

/// Bytes as hexadecimal digits in lower case.
///
/// ```
/// assert_eq!(unexpired_core::text::hex(&[0, 0x1f, 0xa0]), "001fa0");
/// ```
pub fn hex(bytes: &[u8]) -> String {
    let digit =
        |half: u8| char::from(if half < 10 { b'0'.saturating_add(half) } else { b'a'.saturating_add(half - 10) });
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}

/// `text` on one line, at most `max` characters: control and bidirectional characters are escaped, a cut is shown by `…`.
///
/// ```
/// use unexpired_core::text::one_line;
///
/// assert_eq!(one_line("two\nlines\u{202e}", 40), "two lines\\u{202e}");
/// assert_eq!(one_line("too long", 4), "too…");
/// ```
pub fn one_line(text: &str, max: usize) -> String {
    let mut line = String::new();
    let mut length = 0_usize;
    for character in text.trim().chars() {
        let mut piece = String::new();
        match character {
            '\n' | '\r' | '\t' => piece.push(if line.ends_with(' ') { '\u{0}' } else { ' ' }),
            c if c.is_control() || is_format(c) => {
                let _ = write!(piece, "{}", c.escape_unicode());
            }
            c => piece.push(c),
        }
        if piece == "\u{0}" {
            continue;
        }
        length = length.saturating_add(piece.chars().count());
        if length > max {
            while line.chars().count() >= max {
                line.pop();
            }
            line.push('…');
            return line;
        }
        line.push_str(&piece);
    }
    line
}

/// `text` with everything that looks like a token replaced by `[masked]`: JWTs, long runs of letters and digits. UUIDs stay, since support
/// desks ask for them.
///
/// ```
/// use unexpired_core::text::mask;
///
/// assert_eq!(mask("bad token eyJhbGciOi.eyJzdWIiOi.c2ln!"), "bad token [masked]!");
/// assert_eq!(mask("trace 11111111-2222-4333-8444-555555555555"), "trace 11111111-2222-4333-8444-555555555555");
/// ```
pub fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let run = rest.find(|c: char| !is_token_character(c)).unwrap_or(rest.len());
        let (head, tail) = rest.split_at(run);
        if looks_secret(head) {
            masked.push_str("[masked]");
        } else {
            masked.push_str(head);
        }
        let next = tail.find(is_token_character).unwrap_or(tail.len());
        let (between, after) = tail.split_at(next);
        masked.push_str(between);
        rest = after;
    }
    masked
}

/// Whether `value` is an RFC 6750 `b64token`, the only thing that may follow `Bearer `.
///
/// ```
/// use unexpired_core::text::is_b64token;
///
/// assert!(is_b64token("abc-._~+/=="));
/// assert!(!is_b64token("abc\r\nX: y") && !is_b64token("") && !is_b64token("==") && !is_b64token("a=b"));
/// ```
pub fn is_b64token(value: &str) -> bool {
    let body = value.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
}

fn is_token_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~+/=%".contains(c)
}

fn looks_secret(run: &str) -> bool {
    let known = |text: &str| text.len() >= 12 && KNOWN_PREFIXES.iter().any(|prefix| text.starts_with(prefix));
    if (run.starts_with("eyJ") && run.len() > 8) || known(run) {
        return true;
    }
    run.split(['.', '/']).any(|part| {
        let digits = part.bytes().any(|b| b.is_ascii_digit());
        let letters = part.bytes().filter(u8::is_ascii_alphabetic).count();
        // Codes such as `AudienceNotSupported` are words; random text without a digit is long.
        let mixed_case = part.bytes().any(|b| b.is_ascii_uppercase()) && part.bytes().any(|b| b.is_ascii_lowercase());
        known(part)
            || (part.len() >= 20 && letters >= 4 && (digits || part.len() >= 40 && mixed_case) && !is_uuid(part))
            || part.len() >= 64
    })
}

fn is_uuid(part: &str) -> bool {
    let part = part.trim_end_matches('.');
    part.len() == 36
        && part.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// Characters without a shape of their own that change how their neighbours are read.
fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// How well-known tokens begin.
const KNOWN_PREFIXES: [&str; 8] = ["ya29", "gho_", "ghp_", "ghs_", "github_pat_", "sk-", "xox", "AKIA"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_diagnostics_stay() {
        for secret in [
            "eyJ.fake",
            "ya29.c.fake-sa-token-0001",
            "fAkE~s3cr3t-value-0123456789",
            "QWxhZGRpbjpPcGVuU2VzYW1lQWJj",
            "a%2Bb%2Bc%2Bd%2Be0123456789x",
        ] {
            let text = format!("got '{secret}' from us");
            let masked = mask(&text);
            assert!(secret.len() <= 8 || !masked.contains(secret), "{masked}");
        }
        for fine in [
            "AADSTS7000215: Invalid client secret provided.",
            "login.microsoftonline.us",
            "Trace ID: 0000aaaa-11bb-4ccc-8d33-eeeeee333333 Correlation ID: 5a5a5a5a-0000-4000-8000-00000000000a Timestamp: 2026-01-01 00:00:00Z",
            "https://cognitiveservices.azure.us/.default",
            "invalid_grant: refresh token already used",
            "AudienceNotSupported",
        ] {
            assert_eq!(mask(fine), fine);
        }
    }

    #[test]
    fn a_line_is_one_line_and_never_longer_than_asked() {
        let line = one_line("a\r\n\r\nb\u{1b}[31m\u{7}", 200);
        assert_eq!(line, "a b\\u{1b}[31m\\u{7}");
        for max in 1..30 {
            assert!(one_line("control \u{1}\u{2}\u{3} and ünïcödé text", max).chars().count() <= max);
        }
    }
}
