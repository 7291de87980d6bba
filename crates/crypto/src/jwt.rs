//! Signed JWTs in the compact form (RFC 7515 §3.1, RFC 7519).

use zeroize::Zeroizing;

use crate::{Algorithm, CryptoError, SigningKey, b64, json};

/// Signs `claims_json` and returns the compact JWS.
///
/// The header is `alg`, `typ` (`JWT`, unless `header_extra` brings its own `typ`), then `header_extra` in its order, all
/// as strings. `claims_json` is signed as it stands and is not parsed.
///
/// The result is a credential while it lasts, so it is wiped when dropped.
///
/// # Errors
///
/// [`CryptoError::WrongAlgorithm`] if the key does not fit, [`CryptoError::BadHeader`] if `header_extra` names `alg` or
/// one name twice, and what [`SigningKey::sign`] returns.
///
/// ```
/// # #[cfg(any(feature = "ring", feature = "aws-lc-rs"))] {
/// use unexpired_crypto::{Algorithm, SigningKey, jwt};
///
/// let key = SigningKey::hmac_key(b"0123456789abcdef0123456789abcdef")?;
/// let jws = jwt::sign(&key, Algorithm::Hs256, &[("kid", "k1")], r#"{"iss":"client-123"}"#)?;
/// // {"alg":"HS256","typ":"JWT","kid":"k1"}
/// assert!(jws.starts_with("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImsxIn0."));
/// # }
/// # Ok::<(), unexpired_crypto::CryptoError>(())
/// ```
pub fn sign(
    key: &SigningKey,
    alg: Algorithm,
    header_extra: &[(&str, &str)],
    claims_json: &str,
) -> Result<Zeroizing<String>, CryptoError> {
    for (i, (name, _)) in header_extra.iter().enumerate() {
        if *name == "alg" {
            return Err(CryptoError::BadHeader(
                "the header member `alg` follows from the algorithm and cannot be given",
            ));
        }
        if header_extra.iter().take(i).any(|(earlier, _)| earlier == name) {
            return Err(CryptoError::BadHeader("a header member was given twice (RFC 7515 section 4 forbids it)"));
        }
    }
    let typ = header_extra.iter().find(|(name, _)| *name == "typ").map_or("JWT", |(_, value)| *value);
    let rest = header_extra.iter().copied().filter(|(name, _)| *name != "typ");
    let header = json::object([("alg", alg.as_str()), ("typ", typ)].into_iter().chain(rest));
    sign_with_header(key, alg, &header, claims_json)
}

/// Signs with a header that the caller wrote, for members that are no strings: `x5c` is an array, DPoP's `jwk` an object.
///
/// `header_json` is a JSON object whose `alg` must be [`alg.as_str()`](Algorithm::as_str); it is not parsed.
///
/// # Errors
///
/// [`CryptoError::WrongAlgorithm`] if the key does not fit, and what [`SigningKey::sign`] returns.
pub fn sign_with_header(
    key: &SigningKey,
    alg: Algorithm,
    header_json: &str,
    claims_json: &str,
) -> Result<Zeroizing<String>, CryptoError> {
    let encoded_len = |n: usize| n.div_ceil(3).saturating_mul(4);
    let capacity = encoded_len(header_json.len())
        .saturating_add(encoded_len(claims_json.len()))
        .saturating_add(encoded_len(MAX_SIGNATURE).saturating_add(2));

    let mut jws = Zeroizing::new(String::with_capacity(capacity));
    b64::url_encode_onto(&mut jws, header_json.as_bytes());
    jws.push('.');
    b64::url_encode_onto(&mut jws, claims_json.as_bytes());
    let signature = key.sign(alg, jws.as_bytes())?;
    jws.push('.');
    b64::url_encode_onto(&mut jws, &signature);
    Ok(jws)
}

/// RSA with 8192 bits: the largest key that a backend signs with.
const MAX_SIGNATURE: usize = 1024;
