//! Which key files are read, which are refused, and what is said about them.
#![cfg(any(feature = "ring", feature = "aws-lc-rs"))]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too, which clippy does not see")]

use unexpired_crypto::{
    Algorithm, CryptoError, KeyKind, PublicJwk, SigningKey, VerifyingKey, b64, generate_es256, jwt, pem,
};

#[test]
fn each_form_of_a_key_is_the_same_key() {
    for (kind, files) in [
        (KeyKind::Rsa { bits: 2048 }, &["test-rsa-2048.pem", "test-rsa-2048-pkcs1.pem"][..]),
        (KeyKind::P256, &["test-ec-p256.pem", "test-ec-p256-sec1.pem"]),
        (KeyKind::P384, &["test-ec-p384.pem", "test-ec-p384-sec1.pem"]),
        (KeyKind::Ed25519, &["test-ed25519.pem"]),
    ] {
        let jwks: Vec<_> = files
            .iter()
            .map(|file| {
                let key = SigningKey::from_pem(&read(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
                assert_eq!(key.kind(), kind, "{file}");
                key.public_jwk().unwrap()
            })
            .collect();
        assert!(jwks.windows(2).all(|pair| pair[0] == pair[1]), "{files:?}");
    }
}

#[test]
fn every_algorithm_of_a_key_signs_what_its_public_half_verifies_and_no_other_does() {
    for key in
        [key("test-rsa-2048.pem"), key("test-ec-p256.pem"), key("test-ec-p384.pem"), key("test-ed25519.pem"), hmac()]
    {
        let verifying = key.verifying_key().unwrap();
        assert_eq!(verifying.kind(), key.kind());
        for algorithm in Algorithm::ALL {
            let signed = key.sign(algorithm, b"message");
            if key.algorithms().contains(&algorithm) {
                assert!(verifying.verify(algorithm, b"message", &signed.unwrap()), "{key:?} {algorithm}");
            } else {
                assert_eq!(signed, Err(CryptoError::WrongAlgorithm { algorithm, key: key.kind() }));
            }
        }
    }
}

#[test]
fn files_as_people_have_them_are_read() {
    let plain = read("test-ec-p256.pem");
    let expected = key("test-ec-p256.pem").public_jwk();
    let certificate = read("refused/certificate.pem");
    for (what, text) in [
        ("CRLF", plain.replace('\n', "\r\n")),
        ("trailing blanks", plain.replace('\n', " \t\n") + "\n \n"),
        ("a certificate before", certificate.clone() + &plain),
        ("a certificate after", plain.clone() + &certificate),
        (
            "parameters before",
            format!("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{plain}"),
        ),
        ("a byte order mark", format!("\u{feff}{plain}")),
        ("one line", plain.replace('\n', " ")),
        ("no padding", plain.replace("=\n", "\n").replace("=\n", "\n")),
    ] {
        let key = SigningKey::from_pem(&text).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(key.public_jwk(), expected, "{what}");
    }
}

#[test]
fn what_is_no_usable_key_is_refused_with_a_reason() {
    let two = read("test-ec-p256.pem") + &read("test-ed25519.pem");
    let escaped = read("test-rsa-2048.pem").replace('\n', "\\n");
    for (what, text, says) in [
        ("empty", String::new(), "no PEM text"),
        ("not PEM", "hunter2".into(), "no PEM text"),
        ("two keys", two, "more than one private key"),
        ("escaped line breaks", escaped, "backslashes"),
        ("rsa-1024", read("refused/rsa-1024.pem"), "too small"),
        ("rsa-pss", read("refused/rsa-pss-2048.pem"), "RSASSA-PSS"),
        ("ec-p521", read("refused/ec-p521.pem"), "not supported: use RSA"),
        ("x25519", read("refused/x25519.pem"), "not supported: use RSA"),
        ("encrypted PKCS#8", read("refused/encrypted-pkcs8.pem"), "encrypted with a password"),
        ("encrypted, old form", read("refused/encrypted-legacy.pem"), "encrypted with a password"),
        ("public key", read("refused/public.pem"), "this is a public key"),
        ("certificate", read("refused/certificate.pem"), "this is a certificate"),
        ("no public half", read("refused/ec-p256-no-public.pem"), "openssl ec -in KEY"),
        ("no public half, PKCS#8", read("refused/ec-p256-no-public-pkcs8.pem"), "openssl ec -in KEY"),
        ("OpenSSH", pem::encode("OPENSSH PRIVATE KEY", b"x").to_string(), "ssh-keygen -p -m PKCS8"),
        ("DSA", pem::encode("DSA PRIVATE KEY", b"x").to_string(), "not supported"),
        ("rubbish inside", pem::encode("PRIVATE KEY", b"hello").to_string(), "damaged"),
    ] {
        match SigningKey::from_pem(&text) {
            Err(e @ CryptoError::BadKey(_)) => assert!(e.to_string().contains(says), "{what}: {e}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[test]
fn damaged_keys_never_panic_and_never_make_a_signature_of_another_key() {
    for file in ["test-rsa-2048.pem", "test-ec-p256.pem", "test-ec-p384-sec1.pem", "test-ed25519.pem"] {
        let text = read(file);
        let original = key(file).verifying_key().unwrap();
        let label = text.split("-----").nth(1).unwrap().trim_start_matches("BEGIN ").to_owned();
        let body: String = text.lines().filter(|line| !line.starts_with("---")).collect();
        let der = b64::std_decode(&body).unwrap();
        for cut in 0..der.len() {
            assert!(SigningKey::from_pem(&pem::encode(&label, &der[..cut])).is_err(), "{file} cut at {cut}");
        }
        for at in 0..der.len() {
            let mut altered = der.clone();
            altered[at] ^= 0x41;
            let Ok(key) = SigningKey::from_pem(&pem::encode(&label, &altered)) else { continue };
            let algorithm = key.algorithms()[0];
            // Not every altered number is noticed on loading, but then by the backend's own check while signing.
            let Ok(signature) = key.sign(algorithm, b"m") else { continue };
            // An Ed25519 seed has no redundancy: any 32 bytes are a key.
            let verifying = if key.kind() == KeyKind::Ed25519 { &key.verifying_key().unwrap() } else { &original };
            assert!(verifying.verify(algorithm, b"m", &signature), "{file} altered at {at}");
        }
    }
}

#[test]
fn a_short_secret_is_refused_and_a_middling_one_signs_only_what_it_is_long_enough_for() {
    assert!(matches!(SigningKey::hmac_key(&[1; 31]), Err(CryptoError::BadKey(_))));
    assert!(matches!(VerifyingKey::hmac_key(&[1; 31]), Err(CryptoError::BadKey(_))));
    for (len, algorithms) in [
        (32, &[Algorithm::Hs256][..]),
        (48, &[Algorithm::Hs256, Algorithm::Hs384]),
        (64, &[Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512]),
        (200, &[Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512]),
    ] {
        assert_eq!(SigningKey::hmac_key(&vec![1; len]).unwrap().algorithms(), algorithms);
    }
}

#[test]
fn public_keys_of_wrong_size_are_refused() {
    let x = b64::url_encode(&[1; 32]);
    for refused in [
        VerifyingKey::rsa(&b64::url_encode(&[0xff; 128]), "AQAB"),
        VerifyingKey::rsa(&b64::url_encode(&[0xff; 1025]), "AQAB"),
        VerifyingKey::rsa(&b64::url_encode(&[0xff; 256]), "AA"),
        VerifyingKey::ec("P-256", &x, &b64::url_encode(&[1; 31])),
        VerifyingKey::ec("P-384", &x, &x),
        VerifyingKey::ec("secp256k1", &x, &x),
        VerifyingKey::ed25519(&b64::url_encode(&[1; 31])),
    ] {
        assert!(matches!(refused, Err(CryptoError::BadKey(_))), "{refused:?}");
    }
    assert!(matches!(VerifyingKey::rsa("+/", "AQAB"), Err(CryptoError::BadBase64)));
    // A point that is on no curve verifies nothing.
    assert!(!VerifyingKey::ec("P-256", &x, &x).unwrap().verify(Algorithm::Es256, b"m", &[1; 64]));
}

#[test]
fn debug_shows_kind_and_size_only() {
    assert_eq!(format!("{:?}", key("test-rsa-2048.pem")), "SigningKey(RSA, 2048 bits)");
    assert_eq!(format!("{:?}", hmac()), "SigningKey(HMAC, 512 bits)");
    assert_eq!(format!("{:?}", hmac().verifying_key().unwrap()), "VerifyingKey(HMAC, 512 bits)");
}

#[test]
fn a_generated_key_is_new_and_can_be_read_again() {
    let (key, pkcs8) = generate_es256().unwrap();
    assert_eq!(key.kind(), KeyKind::P256);
    let again = SigningKey::from_pem(&pem::encode("PRIVATE KEY", &pkcs8)).unwrap();
    assert_eq!(again.public_jwk(), key.public_jwk());
    assert_ne!(generate_es256().unwrap().0.public_jwk(), key.public_jwk());
    let Some(PublicJwk::Ec { crv, x, y }) = key.public_jwk() else { panic!("an EC key has an EC JWK") };
    assert!(VerifyingKey::ec(crv, &x, &y).is_ok());
}

#[test]
fn the_header_has_its_order_its_escapes_and_no_name_twice() {
    let header = |extra: &[(&str, &str)]| {
        jwt::sign(&hmac(), Algorithm::Hs256, extra, "{}")
            .map(|jws| String::from_utf8(b64::url_decode(jws.split('.').next().unwrap()).unwrap()).unwrap())
    };
    assert_eq!(header(&[]).unwrap(), r#"{"alg":"HS256","typ":"JWT"}"#);
    assert_eq!(
        header(&[("kid", "a\"b\\c\n\u{1}é"), ("x5t#S256", "z")]).unwrap(),
        r#"{"alg":"HS256","typ":"JWT","kid":"a\"b\\c\n\u0001é","x5t#S256":"z"}"#
    );
    assert_eq!(header(&[("kid", "k"), ("typ", "at+jwt")]).unwrap(), r#"{"alg":"HS256","typ":"at+jwt","kid":"k"}"#);
    for refused in [&[("alg", "none")][..], &[("kid", "a"), ("kid", "b")], &[("typ", "a"), ("typ", "b")]] {
        assert!(matches!(header(refused), Err(CryptoError::BadHeader(_))), "{refused:?}");
    }
    assert!(matches!(
        jwt::sign(&hmac(), Algorithm::Rs256, &[], "{}"),
        Err(CryptoError::WrongAlgorithm { algorithm: Algorithm::Rs256, key: KeyKind::Hmac { bits: 512 } })
    ));
}

fn key(file: &str) -> SigningKey {
    SigningKey::from_pem(&read(file)).unwrap()
}

fn hmac() -> SigningKey {
    SigningKey::hmac_key(&[7; 64]).unwrap()
}

fn read(file: &str) -> String {
    std::fs::read_to_string(format!("{}/../../fixtures/keys/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}
