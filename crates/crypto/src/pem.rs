//! PEM (RFC 7468), read generously: CRLF, blanks, text between the blocks, a block folded onto one line.

use zeroize::Zeroizing;

use crate::{CryptoError, b64};

/// The DER of every `CERTIFICATE` block, in the order of the file. Other blocks are passed over.
///
/// The certificates are not parsed. Their SHA-256 is `x5t#S256` (RFC 7515 §4.1.8).
///
/// # Errors
///
/// [`CryptoError::BadKey`] if the text is damaged PEM or has no certificate.
pub fn certificates(text: &str) -> Result<Vec<Vec<u8>>, CryptoError> {
    let found = blocks(text)?
        .iter()
        .filter(|block| matches!(block.label, "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE"))
        .map(|block| block.decode().map(|der| der.to_vec()))
        .collect::<Result<Vec<_>, _>>()?;
    if found.is_empty() {
        return Err(CryptoError::BadKey("the PEM text has no certificate (BEGIN CERTIFICATE)"));
    }
    Ok(found)
}

/// Writes `der` as one PEM block with lines of 64 characters, for instance with the label `PRIVATE KEY`.
///
/// ```
/// let pem = unexpired_crypto::pem::encode("CERTIFICATE", b"hello");
/// assert_eq!(*pem, "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n");
/// ```
#[must_use]
pub fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(b64::std_encode(der));
    // Reserved at once: growing would leave copies of the key behind.
    let markers = 2 * (label.len() + "-----BEGIN -----\n".len());
    let mut out = Zeroizing::new(String::with_capacity(body.len() + body.len() / LINE + 1 + markers));
    out.push_str("-----BEGIN ");
    out.push_str(label);
    out.push_str("-----\n");
    for (i, c) in body.chars().enumerate() {
        if i > 0 && i % LINE == 0 {
            out.push('\n');
        }
        out.push(c);
    }
    out.push_str("\n-----END ");
    out.push_str(label);
    out.push_str("-----\n");
    out
}

/// One block, not decoded yet.
pub(crate) struct Block<'a> {
    pub(crate) label: &'a str,
    body: &'a str,
}

impl Block<'_> {
    /// The header of the old OpenSSL encryption (RFC 1421 §4.6.1.1).
    pub(crate) fn is_encrypted(&self) -> bool {
        self.body.contains("Proc-Type:") || self.label == "ENCRYPTED PRIVATE KEY"
    }

    pub(crate) fn decode(&self) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        if self.body.contains('\\') {
            return Err(CryptoError::BadKey(
                "the PEM text has backslashes in it: its line breaks were escaped; replace each \\n by a line break",
            ));
        }
        let mut text = Zeroizing::new(String::with_capacity(self.body.len()));
        text.extend(self.body.chars().filter(|c| !c.is_ascii_whitespace()));
        let mut der = Zeroizing::new(vec![0; text.len().div_ceil(4).saturating_mul(3)]);
        let len = b64::std_decode_into(&text, &mut der)
            .map_err(|_| CryptoError::BadKey("the PEM text is damaged: a block is not valid base64"))?;
        der.truncate(len);
        Ok(der)
    }
}

pub(crate) fn blocks(text: &str) -> Result<Vec<Block<'_>>, CryptoError> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let (label, after) = after
            .split_once("-----")
            .filter(|(label, _)| label.len() <= 64 && !label.contains(['\r', '\n']))
            .ok_or(CryptoError::BadKey("the PEM text is damaged: a BEGIN line is cut off"))?;
        let (body, after) = after
            .split_once("-----END ")
            .and_then(|(body, after)| Some((body, after.strip_prefix(label)?.strip_prefix("-----")?)))
            .ok_or(CryptoError::BadKey("the PEM text is damaged: the END line of a block is missing"))?;
        found.push(Block { label, body });
        rest = after;
    }
    Ok(found)
}

const LINE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_text_is_an_error_and_never_a_panic() {
        let whole = encode("CERTIFICATE", &[7; 100]);
        assert_eq!(certificates(&whole).unwrap(), [vec![7; 100]]);
        for cut in 0..whole.trim_end().len() {
            assert!(certificates(&whole[..cut]).is_err(), "cut at {cut}");
        }
        for text in [
            "-----BEGIN CERTIFICATE-----\nab*d\n-----END CERTIFICATE-----",
            "-----BEGIN CERTIFICATE-----\nabcd\n-----END PRIVATE KEY-----",
            "-----BEGIN CERTIFICATE-----\\nabcd\\n-----END CERTIFICATE-----",
            "-----BEGIN \n-----\n-----END \n-----",
        ] {
            assert!(certificates(text).is_err(), "{text}");
        }
    }

    #[test]
    fn files_of_the_wild_are_read() {
        let one = encode("CERTIFICATE", &[1; 90]);
        let two = encode("CERTIFICATE", &[2; 90]);
        let crlf =
            format!("\u{feff}Bag Attributes\r\n{}subject=x\r\n{}\r\n  ", one.replace('\n', "  \r\n"), two.as_str());
        let folded = format!("{} {}", one.replace('\n', " "), two.replace('\n', " "));
        for text in [crlf, folded] {
            assert_eq!(certificates(&text).unwrap(), [vec![1; 90], vec![2; 90]]);
        }
    }
}
