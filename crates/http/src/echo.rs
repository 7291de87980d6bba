//! Whether an answer repeats a secret of the request, however it writes it. Some gateways and servers do, and no rule about the looks of a token
//! finds a short secret.

use unexpired_core::Secret;
use zeroize::Zeroizing;

/// Whether `text` holds one of the secrets: as it is, or escaped as JSON, URLs, forms and HTML escape, up to three times over. Letters of the
/// other case count too.
pub(crate) fn repeats(text: &[u8], secrets: &[Secret]) -> bool {
    secrets.iter().map(|secret| secret.expose().trim_ascii()).filter(|secret| !secret.is_empty()).any(|secret| {
        let mut text = Zeroizing::new(text.to_vec());
        // What is escaped in the text may be escaped in the secret itself: each form of the one is looked for in each of the other.
        let mut forms = vec![Zeroizing::new(secret.as_bytes().to_vec())];
        for _ in 0..ROUNDS {
            if forms.iter().any(|form| holds(&text, form)) {
                return true;
            }
            text = unescape(&text);
            let next = forms.last().map(|form| unescape(form));
            forms.extend(next);
        }
        forms.iter().any(|form| holds(&text, form))
    })
}

fn holds(text: &[u8], secret: &[u8]) -> bool {
    !secret.is_empty() && text.windows(secret.len()).any(|window| window.eq_ignore_ascii_case(secret))
}

/// Takes back one round of escapes: `\u002b` and `\/`, `%2B` and `+`, `&amp;` and `&#43;`.
fn unescape(text: &[u8]) -> Zeroizing<Vec<u8>> {
    // Nothing gets longer.
    let mut plain = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let (character, length) = match first {
            b'\\' => backslash(after),
            b'%' => number(after.get(..2), 16).map(|byte| (Unescaped::Byte(byte as u8), 3)),
            b'+' => Some((Unescaped::Byte(b' '), 1)),
            b'&' => reference(after),
            _ => None,
        }
        .unwrap_or((Unescaped::Byte(first), 1));
        match character {
            Unescaped::Byte(byte) => plain.push(byte),
            Unescaped::Char(c) => plain.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    plain
}

enum Unescaped {
    Byte(u8),
    Char(char),
}

/// JSON's escapes, with the length that they have together with the backslash.
fn backslash(after: &[u8]) -> Option<(Unescaped, usize)> {
    let byte = match after.first()? {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'f' => 12,
        b'u' => {
            let unit = number(after.get(1..5), 16)?;
            let low = (after.get(5..7) == Some(b"\\u")).then(|| number(after.get(7..11), 16)).flatten();
            let pair = |low: u32| char::decode_utf16([unit as u16, low as u16]).next()?.ok();
            return match (char::from_u32(unit), low) {
                (Some(c), _) => Some((Unescaped::Char(c), 6)),
                (None, Some(low)) => Some((Unescaped::Char(pair(low)?), 12)),
                (None, None) => None,
            };
        }
        &other => other,
    };
    Some((Unescaped::Byte(byte), 2))
}

/// HTML's character references, with the length that they have together with the `&`.
fn reference(after: &[u8]) -> Option<(Unescaped, usize)> {
    let end = after.iter().take(LONGEST_REFERENCE).position(|&b| b == b';')?;
    let name = after.get(..end)?;
    let c = match name {
        b"amp" => '&',
        b"lt" => '<',
        b"gt" => '>',
        b"quot" => '"',
        b"apos" => '\'',
        [b'#', b'x' | b'X', digits @ ..] => char::from_u32(number(Some(digits), 16)?)?,
        [b'#', digits @ ..] => char::from_u32(number(Some(digits), 10)?)?,
        _ => return None,
    };
    Some((Unescaped::Char(c), end + 2))
}

fn number(digits: Option<&[u8]>, radix: u32) -> Option<u32> {
    let digits = std::str::from_utf8(digits?).ok().filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u32::from_str_radix(digits, radix).ok()
}

const ROUNDS: usize = 3;
const LONGEST_REFERENCE: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(text: &str, secret: &str) -> bool {
        repeats(text.as_bytes(), &[Secret::new("something-else"), Secret::new(secret)])
    }

    #[test]
    fn a_secret_is_found_however_it_is_written() {
        for (text, secret) in [
            ("not hunter-two!", "hunter-two"),
            ("NOT HUNTER-TWO!", "hunter-two"),
            (r"a\/b", "a/b"),
            (r"a\u002bb", "a+b"),
            (r"a\u002Bb", "a+b"),
            (r"\ud83d\ude00x", "😀x"),
            (r"\u00fcx", "üx"),
            ("p%40ss", "p@ss"),
            ("p%2540ss", "p@ss"),
            ("a+b%26c", "a b&c"),
            ("a&amp;b", "a&b"),
            ("a&#43;b&#x2f;c", "a+b/c"),
            (r"a\\\/b", r"a\/b"),
            (r"a\\nb", r"a\nb"),
            (r"a\/%41", "a/%41"),
            (r#"{\"secret\":\"a\\\/b\"}"#, "a/b"),
            ("fake%3A%2F%2B%25%26+secret", "fake:/+%& secret"),
            ("rt-1", "rt-1\n"),
        ] {
            assert!(found(text, secret), "{text}");
        }
        for (text, secret) in
            [("hunter two", "hunter-two"), ("hunter-tw", "hunter-two"), ("", "x"), ("x", ""), ("x", "\n")]
        {
            assert!(!found(text, secret), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_json_and_forms_hide_nothing(
            noise in prop::collection::vec(any::<u8>(), 0..60),
            secret in "[!-~ü😀]{1,20}",
        ) {
            let secrets = [Secret::new(&*secret)];
            let _ = repeats(&noise, &secrets);
            let json = serde_json::json!({ "error_description": format!("not {secret} {secret}") }).to_string();
            prop_assert!(repeats(json.as_bytes(), &secrets));
            let twice = serde_json::json!({ "message": json }).to_string();
            prop_assert!(repeats(twice.as_bytes(), &secrets));
            prop_assert!(repeats(crate::form_encode(&secret).as_bytes(), &secrets));
            prop_assert!(repeats(crate::percent_encode(&secret).as_bytes(), &secrets));
        }
    }
}
