//! Another implementation verifies what we sign, and we verify what it signs.
#![cfg(any(feature = "ring", feature = "aws-lc-rs"))]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too, which clippy does not see")]

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation};
use unexpired_crypto::{Algorithm, SigningKey, b64, jwt};

const CLAIMS: &str = r#"{"aud":"https://as.example.com","iss":"client-123"}"#;
const SECRET: &[u8; 64] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn it_verifies_what_we_sign() {
    for (ours, theirs, key, _) in cases() {
        let jws = jwt::sign(&key, ours, &[("kid", "k1")], CLAIMS).unwrap();
        let decoding = match key.public_jwk() {
            // Through the JSON that a JWKS would carry.
            Some(jwk) => {
                let json = jwk.to_json(&[("kid", "k1"), ("use", "sig"), ("alg", ours.as_str())]);
                DecodingKey::from_jwk(&serde_json::from_str::<Jwk>(&json).unwrap()).unwrap()
            }
            None => DecodingKey::from_secret(SECRET),
        };
        let mut validation = Validation::new(theirs);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.set_audience(&["https://as.example.com"]);
        let decoded = jsonwebtoken::decode::<serde_json::Value>(jws.as_str(), &decoding, &validation)
            .unwrap_or_else(|e| panic!("{ours}: {e}"));
        assert_eq!(decoded.header.kid.as_deref(), Some("k1"));
        assert_eq!(decoded.claims, serde_json::from_str::<serde_json::Value>(CLAIMS).unwrap());
    }
}

#[test]
fn we_verify_what_it_signs() {
    for (ours, theirs, key, encoding) in cases() {
        let claims: serde_json::Value = serde_json::from_str(CLAIMS).unwrap();
        let jws = jsonwebtoken::encode(&Header::new(theirs), &claims, &encoding).unwrap();
        let (input, signature) = jws.rsplit_once('.').unwrap();
        let signature = b64::url_decode(signature).unwrap();
        let verifying = key.verifying_key().unwrap();
        assert!(verifying.verify(ours, input.as_bytes(), &signature), "{ours}");
        assert!(!verifying.verify(ours, b"another message", &signature), "{ours}");
    }
}

#[test]
fn deterministic_signatures_are_the_same_bytes() {
    for (ours, theirs, key, encoding) in cases() {
        let randomised = matches!(
            ours,
            Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512 | Algorithm::Es256 | Algorithm::Es384
        );
        if !randomised {
            let expected = jsonwebtoken::crypto::sign(b"message", &encoding, theirs).unwrap();
            assert_eq!(b64::url_encode(&key.sign(ours, b"message").unwrap()), expected, "{ours}");
        }
    }
}

/// Every algorithm, with the same key on both sides.
fn cases() -> Vec<(Algorithm, jsonwebtoken::Algorithm, SigningKey, EncodingKey)> {
    Algorithm::ALL
        .into_iter()
        .map(|ours| {
            let theirs: jsonwebtoken::Algorithm = ours.as_str().parse().unwrap();
            let (key, encoding) = match ours {
                Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => {
                    (SigningKey::hmac_key(SECRET).unwrap(), EncodingKey::from_secret(SECRET))
                }
                Algorithm::Es256 => both("test-ec-p256.pem", EncodingKey::from_ec_pem),
                Algorithm::Es384 => both("test-ec-p384.pem", EncodingKey::from_ec_pem),
                Algorithm::EdDsa => both("test-ed25519.pem", EncodingKey::from_ed_pem),
                _ => both("test-rsa-2048.pem", EncodingKey::from_rsa_pem),
            };
            (ours, theirs, key, encoding)
        })
        .collect()
}

fn both(file: &str, theirs: fn(&[u8]) -> jsonwebtoken::errors::Result<EncodingKey>) -> (SigningKey, EncodingKey) {
    let path = format!("{}/../../fixtures/keys/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    (SigningKey::from_pem(&text).unwrap(), theirs(text.as_bytes()).unwrap())
}
