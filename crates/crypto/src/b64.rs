//! Base64, in the two alphabets of RFC 4648.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::CryptoError;

/// base64url without padding (RFC 7515 §2).
///
/// ```
/// assert_eq!(unexpired_crypto::b64::url_encode(&[0xfb, 0xff]), "-_8");
/// ```
#[must_use]
pub fn url_encode(data: &[u8]) -> String {
    URL.encode(data)
}

/// Reads base64url, padded or not.
///
/// # Errors
///
/// [`CryptoError::BadBase64`] for anything else, `+` and `/` included.
///
/// ```
/// use unexpired_crypto::b64;
/// assert_eq!(b64::url_decode("-_8=")?, [0xfb, 0xff]);
/// assert!(b64::url_decode("+/8").is_err());
/// # Ok::<(), unexpired_crypto::CryptoError>(())
/// ```
pub fn url_decode(text: &str) -> Result<Vec<u8>, CryptoError> {
    URL.decode(text).map_err(|_| CryptoError::BadBase64)
}

/// Ordinary base64 with padding (RFC 4648 §4).
#[must_use]
pub fn std_encode(data: &[u8]) -> String {
    STANDARD.encode(data)
}

/// Reads ordinary base64, padded or not.
///
/// # Errors
///
/// [`CryptoError::BadBase64`] for anything else, white space, `-` and `_` included.
pub fn std_decode(text: &str) -> Result<Vec<u8>, CryptoError> {
    STANDARD.decode(text).map_err(|_| CryptoError::BadBase64)
}

/// Appends to a string whose capacity the caller reserved, so that no copy is left behind by growing.
pub(crate) fn url_encode_onto(out: &mut String, data: &[u8]) {
    URL.encode_string(data, out);
}

/// Decodes into `out` and returns how much of it was filled.
pub(crate) fn std_decode_into(text: &str, out: &mut [u8]) -> Result<usize, CryptoError> {
    STANDARD.decode_slice(text, out).map_err(|_| CryptoError::BadBase64)
}

const CONFIG: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, CONFIG.with_encode_padding(false));
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, CONFIG);
