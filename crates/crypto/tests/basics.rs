//! What does not depend on keys, and what a build without a backend does.

use unexpired_crypto::{
    CryptoError, b64, backend, constant_time_eq, random, random_array, sha256, sha256_parts, uuid_v4,
};

const HAS_BACKEND: bool = cfg!(any(feature = "ring", feature = "aws-lc-rs"));

#[test]
fn the_backend_is_the_one_the_features_choose() {
    let expected = if cfg!(feature = "fips") {
        "aws-lc-rs (fips)"
    } else if cfg!(feature = "ring") {
        "ring"
    } else if cfg!(feature = "aws-lc-rs") {
        "aws-lc-rs"
    } else {
        "none"
    };
    assert_eq!(backend(), expected);
}

#[test]
fn parts_are_one_message() {
    let message: Vec<u8> = (0..200).collect();
    for at in 0..message.len() {
        let (a, b) = message.split_at(at);
        assert_eq!(sha256_parts(&[a, &[], b]), sha256(&message));
    }
    assert_eq!(sha256_parts(&[]), sha256(b""));
}

#[test]
fn base64_keeps_its_alphabets_apart() {
    for len in 0..20u8 {
        let data: Vec<u8> = (0..len).map(|i| 255 - i).collect();
        let (url, standard) = (b64::url_encode(&data), b64::std_encode(&data));
        assert!(!url.contains('='));
        assert_eq!(standard.len() % 4, 0);
        assert_eq!(b64::url_decode(&url).unwrap(), data);
        assert_eq!(b64::std_decode(&standard).unwrap(), data);
        assert_eq!(b64::std_decode(standard.trim_end_matches('=')).unwrap(), data);
        let padded = url.clone() + &"=".repeat((4 - url.len() % 4) % 4);
        assert_eq!(b64::url_decode(&padded).unwrap(), data);
    }
    for text in ["+/8", "a", "ab=c", "a b", "ab\n", "-_9", "====", "é"] {
        assert_eq!(b64::url_decode(text), Err(CryptoError::BadBase64), "{text:?}");
    }
    assert_eq!(b64::std_decode("-_8="), Err(CryptoError::BadBase64));
}

#[test]
fn equality_looks_at_everything() {
    assert!(constant_time_eq(b"", b""));
    assert!(constant_time_eq(&[1; 40], &[1; 40]));
    assert!(!constant_time_eq(b"a", b""));
    for at in 0..40 {
        for bit in 0..8 {
            let mut other = [1u8; 40];
            other[at] ^= 1 << bit;
            assert!(!constant_time_eq(&[1; 40], &other));
        }
    }
}

#[test]
fn random_bytes_differ_and_uuids_have_their_form() {
    if !HAS_BACKEND {
        assert_eq!(random(&mut [0; 4]), Err(CryptoError::NoBackend));
        assert_eq!(uuid_v4(), Err(CryptoError::NoBackend));
        return;
    }
    assert_ne!(random_array::<32>().unwrap(), random_array::<32>().unwrap());
    let mut large = vec![0; 10_000];
    random(&mut large).unwrap();
    assert!((0..=255).all(|byte| large.contains(&byte)));

    let mut seen = std::collections::HashSet::new();
    for _ in 0..200 {
        let uuid = uuid_v4().unwrap();
        let groups: Vec<&str> = uuid.split('-').collect();
        assert_eq!(groups.iter().map(|group| group.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(groups.concat().bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{uuid}");
        assert!(groups[2].starts_with('4') && groups[3].starts_with(['8', '9', 'a', 'b']), "{uuid}");
        assert!(seen.insert(uuid));
    }
}

#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
#[test]
fn without_a_backend_keys_say_so() {
    use unexpired_crypto::{SigningKey, VerifyingKey, generate_es256};
    assert!(matches!(SigningKey::hmac_key(&[0; 64]), Err(CryptoError::NoBackend)));
    assert!(matches!(generate_es256(), Err(CryptoError::NoBackend)));
    assert!(matches!(VerifyingKey::ed25519(&b64::url_encode(&[1; 32])), Err(CryptoError::NoBackend)));
    assert!(CryptoError::NoBackend.to_string().contains("`ring` or `aws-lc-rs`"));
}

#[cfg(feature = "tls")]
#[test]
fn the_tls_provider_is_one_and_never_the_process_default() {
    use std::sync::Arc;
    use unexpired_crypto::tls_provider;

    let provider = tls_provider();
    assert!(Arc::ptr_eq(&provider, &tls_provider()));
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    assert_eq!(provider.cipher_suites.is_empty(), !HAS_BACKEND);
    assert_eq!(provider.fips(), cfg!(feature = "fips"));
    let built = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    assert_eq!(built.is_ok(), HAS_BACKEND);
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
}

#[test]
fn values_are_equal_in_every_byte_or_not_at_all() {
    let value: Vec<u8> = (0..40).collect();
    for length in 0..value.len() {
        let one = &value[..length];
        assert!(constant_time_eq(one, &value.clone()[..length]));
        assert!(!constant_time_eq(one, &value[..length + 1]) && !constant_time_eq(&value[..length + 1], one));
        for at in 0..length {
            for bit in 0..8 {
                let mut other = one.to_vec();
                other[at] ^= 1 << bit;
                assert!(!constant_time_eq(one, &other), "{length} {at} {bit}");
            }
        }
    }
}
