//! The examples of the RFCs and of the providers' documentation.
#![cfg(any(feature = "ring", feature = "aws-lc-rs"))]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too, which clippy does not see")]

use unexpired_crypto::{Algorithm, PublicJwk, SigningKey, VerifyingKey, b64, jwt, sha256};

/// A key, and a compact JWS that it signed.
struct Example {
    source: &'static str,
    key: VerifyingKey,
    algorithm: Algorithm,
    jws: &'static str,
}

#[test]
fn signatures_of_the_rfcs_verify_and_altered_ones_do_not() {
    for Example { source, key, algorithm, jws } in examples() {
        let (input, signature) = jws.rsplit_once('.').unwrap();
        let signature = b64::url_decode(signature).unwrap();
        assert!(key.verify(algorithm, input.as_bytes(), &signature), "{source}");

        assert!(!key.verify(algorithm, &input.as_bytes()[1..], &signature), "{source}: another message");
        for at in [0, signature.len() / 2, signature.len() - 1] {
            let mut altered = signature.clone();
            altered[at] ^= 1;
            assert!(!key.verify(algorithm, input.as_bytes(), &altered), "{source}: byte {at}");
        }
        for cut in [0, 1, signature.len() - 1] {
            assert!(!key.verify(algorithm, input.as_bytes(), &signature[..cut]), "{source}: {cut} bytes");
        }
        assert!(!key.verify(algorithm, input.as_bytes(), &[&signature[..], &[0]].concat()), "{source}: longer");
        for other in Algorithm::ALL.into_iter().filter(|other| *other != algorithm) {
            assert!(!key.verify(other, input.as_bytes(), &signature), "{source}: read as {other}");
        }
    }
}

#[test]
fn an_all_zero_ecdsa_signature_is_refused() {
    let key = VerifyingKey::ec("P-256", A3_X, A3_Y).unwrap();
    assert!(!key.verify(Algorithm::Es256, b"", &[0; 64]));
}

#[test]
fn hs256_of_rfc_7515_a1_is_reproduced() {
    let key = SigningKey::hmac_key(&b64::url_decode(A1_K).unwrap()).unwrap();
    let (input, signature) = A1.rsplit_once('.').unwrap();
    assert_eq!(b64::url_encode(&key.sign(Algorithm::Hs256, input.as_bytes()).unwrap()), signature);
}

#[test]
fn ed25519_of_rfc_8037_a4_is_reproduced() {
    let seed = b64::url_decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
    let mut pkcs8 = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    pkcs8.extend(seed);
    let key = SigningKey::from_pkcs8(&pkcs8).unwrap();
    assert_eq!(key.public_jwk(), Some(PublicJwk::Ed25519 { x: ED_X.into() }));
    let (input, signature) = ED_JWS.rsplit_once('.').unwrap();
    assert_eq!(b64::url_encode(&key.sign(Algorithm::EdDsa, input.as_bytes()).unwrap()), signature);
}

#[test]
fn thumbprints_of_the_rfcs() {
    let rsa = PublicJwk::Rsa { n: THUMBPRINT_N.into(), e: "AQAB".into() };
    assert_eq!(rsa.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "RFC 7638 section 3.1");
    let ed = PublicJwk::Ed25519 { x: ED_X.into() };
    assert_eq!(ed.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", "RFC 8037 appendix A.3");
    let ec = PublicJwk::Ec { crv: "P-256", x: DPOP_X.into(), y: DPOP_Y.into() };
    assert_eq!(ec.thumbprint(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", "RFC 9449 section 6.1");
}

#[test]
fn digests_of_the_rfcs() {
    for (text, expected) in [
        // RFC 7636 appendix B: the PKCE challenge.
        ("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        // RFC 9449 section 7.1: `ath`.
        ("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU", "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"),
    ] {
        assert_eq!(b64::url_encode(&sha256(text.as_bytes())), expected);
    }
}

#[test]
fn a_client_assertion_with_a_shared_secret() {
    let key = SigningKey::hmac_key(b"0123456789abcdef0123456789abcdef").unwrap();
    let claims = r#"{"iss":"client-123","sub":"client-123","aud":"https://as.example.com","jti":"a1b2c3","iat":1767323045,"nbf":1767323045,"exp":1767323105}"#;
    let jws = jwt::sign(&key, Algorithm::Hs256, &[], claims).unwrap();
    assert_eq!(
        *jws,
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJjbGllbnQtMTIzIiwic3ViIjoiY2xpZW50LTEyMyIsImF1ZCI6Imh0dHBzOi8vYXMuZXhhbXBsZS5jb20iLCJqdGkiOiJhMWIyYzMiLCJpYXQiOjE3NjczMjMwNDUsIm5iZiI6MTc2NzMyMzA0NSwiZXhwIjoxNzY3MzIzMTA1fQ.BXRvwBg4TCJtyd_qo2cuNWiW5vvEo6lZzw6OzC05-gA"
    );
}

#[test]
fn a_service_account_assertion() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/keys/test-rsa-2048.pem");
    let key = SigningKey::from_pem(&std::fs::read_to_string(path).unwrap()).unwrap();
    let claims = r#"{"iss":"ci-bot@demo-project.iam.gserviceaccount.com","scope":"https://www.googleapis.com/auth/cloud-platform","aud":"https://oauth2.googleapis.com/token","iat":1767323045,"exp":1767326645}"#;
    let jws = jwt::sign(&key, Algorithm::Rs256, &[("kid", "k1")], claims).unwrap();
    let (input, signature) = jws.rsplit_once('.').unwrap();
    assert_eq!(
        input,
        "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImsxIn0.eyJpc3MiOiJjaS1ib3RAZGVtby1wcm9qZWN0LmlhbS5nc2VydmljZWFjY291bnQuY29tIiwic2NvcGUiOiJodHRwczovL3d3dy5nb29nbGVhcGlzLmNvbS9hdXRoL2Nsb3VkLXBsYXRmb3JtIiwiYXVkIjoiaHR0cHM6Ly9vYXV0aDIuZ29vZ2xlYXBpcy5jb20vdG9rZW4iLCJpYXQiOjE3NjczMjMwNDUsImV4cCI6MTc2NzMyNjY0NX0"
    );
    let signature = b64::url_decode(signature).unwrap();
    assert!(key.verifying_key().unwrap().verify(Algorithm::Rs256, input.as_bytes(), &signature));
}

fn examples() -> Vec<Example> {
    vec![
        Example {
            source: "RFC 7515 appendix A.1",
            key: VerifyingKey::hmac_key(&b64::url_decode(A1_K).unwrap()).unwrap(),
            algorithm: Algorithm::Hs256,
            jws: A1,
        },
        Example {
            source: "RFC 7515 appendix A.2",
            key: VerifyingKey::rsa(A2_N, "AQAB").unwrap(),
            algorithm: Algorithm::Rs256,
            jws: A2,
        },
        Example {
            source: "RFC 7515 appendix A.3",
            key: VerifyingKey::ec("P-256", A3_X, A3_Y).unwrap(),
            algorithm: Algorithm::Es256,
            jws: A3,
        },
        Example {
            source: "RFC 9449 section 5",
            key: VerifyingKey::ec("P-256", DPOP_X, DPOP_Y).unwrap(),
            algorithm: Algorithm::Es256,
            jws: DPOP,
        },
        Example {
            source: "RFC 8037 appendix A.4",
            key: VerifyingKey::ed25519(ED_X).unwrap(),
            algorithm: Algorithm::EdDsa,
            jws: ED_JWS,
        },
    ]
}

const A1_K: &str = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
const A1: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const A2_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const A2: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
const A3_X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
const A3_Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
const A3: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
const DPOP_X: &str = "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs";
const DPOP_Y: &str = "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA";
const DPOP: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
const ED_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const ED_JWS: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
const THUMBPRINT_N: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
