//! Just enough DER (X.690) to find the parts of a private key: definite lengths, one-byte tags.

use crate::CryptoError;

/// A private key as it lies in its envelope.
pub(crate) enum Parsed<'a> {
    /// `RSAPrivateKey` (RFC 8017 appendix A.1.2).
    Rsa(&'a [u8]),
    /// The scalar, and the public point if the key brings one (RFC 5915).
    Ec { curve: Curve, scalar: &'a [u8], point: Option<&'a [u8]> },
    /// The whole PKCS#8, which is what the backends read.
    Ed25519(&'a [u8]),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Curve {
    P256,
    P384,
}

impl Curve {
    /// Length of a coordinate, and of the scalar.
    pub(crate) const fn len(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }
}

/// PKCS#8 `PrivateKeyInfo` or `OneAsymmetricKey` (RFC 5958).
pub(crate) fn pkcs8(der: &[u8]) -> Result<Parsed<'_>, CryptoError> {
    let (algorithm, private_key) = (|| {
        let mut info = Reader(whole(der, SEQUENCE)?);
        info.take(INTEGER)?;
        Some((info.take(SEQUENCE)?, info.take(OCTET_STRING)?))
    })()
    .ok_or(CryptoError::BadKey("the private key is damaged: no PKCS#8 structure inside"))?;

    let mut algorithm = Reader(algorithm);
    match algorithm.take(OID) {
        Some(RSA) => Ok(Parsed::Rsa(private_key)),
        Some(EC) => sec1(private_key, Some(curve(algorithm.take(OID))?)),
        Some(ED25519) => Ok(Parsed::Ed25519(der)),
        Some(RSA_PSS) => Err(CryptoError::BadKey(
            "the key is restricted to RSASSA-PSS by its identifier, which is not supported: use an ordinary RSA key",
        )),
        _ => Err(UNSUPPORTED),
    }
}

/// SEC1 `ECPrivateKey` (RFC 5915). Inside PKCS#8 the envelope names the curve.
pub(crate) fn sec1(der: &[u8], outer: Option<Curve>) -> Result<Parsed<'_>, CryptoError> {
    const DAMAGED: CryptoError = CryptoError::BadKey("the private key is damaged: no EC private key inside");
    let mut key = Reader(whole(der, SEQUENCE).ok_or(DAMAGED)?);
    key.take(INTEGER).ok_or(DAMAGED)?;
    let scalar = key.take(OCTET_STRING).ok_or(DAMAGED)?;
    let inner = match key.take(CONTEXT_0) {
        Some(parameters) => Some(curve(Reader(parameters).take(OID))?),
        None => None,
    };
    let point = match key.take(CONTEXT_1) {
        Some(bits) => Some(Reader(bits).take(BIT_STRING).and_then(|bits| bits.strip_prefix(&[0])).ok_or(DAMAGED)?),
        None => None,
    };
    match (outer, inner) {
        (Some(outer), Some(inner)) if outer != inner => Err(DAMAGED),
        (Some(curve), _) | (None, Some(curve)) => Ok(Parsed::Ec { curve, scalar, point }),
        (None, None) => Err(UNSUPPORTED),
    }
}

/// Modulus and exponent of an `RSAPublicKey`, or of the start of an `RSAPrivateKey`, without leading zeros.
#[cfg_attr(not(any(feature = "ring", feature = "aws-lc-rs")), allow(dead_code, reason = "backends call it"))]
pub(crate) fn rsa_public(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut key = Reader(whole(der, SEQUENCE)?);
    let n = key.take(INTEGER)?;
    let e = key.take(INTEGER)?;
    Some((unsigned(n), unsigned(e)))
}

/// A big-endian number without its leading zeros.
pub(crate) fn unsigned(mut number: &[u8]) -> &[u8] {
    while let Some((0, rest)) = number.split_first() {
        number = rest;
    }
    number
}

/// The content of the one value that `der` consists of.
fn whole(der: &[u8], tag: u8) -> Option<&[u8]> {
    let mut reader = Reader(der);
    let content = reader.take(tag)?;
    reader.0.is_empty().then_some(content)
}

fn curve(oid: Option<&[u8]>) -> Result<Curve, CryptoError> {
    match oid {
        Some(P256) => Ok(Curve::P256),
        Some(P384) => Ok(Curve::P384),
        _ => Err(UNSUPPORTED),
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The content of the next value if it has this tag; otherwise nothing is consumed.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (&found, rest) = self.0.split_first()?;
        if found != tag {
            return None;
        }
        let (&first, mut rest) = rest.split_first()?;
        let len = match first {
            0..=0x7f => usize::from(first),
            // Long form; 65,535 bytes hold every key.
            0x81 | 0x82 => {
                let (bytes, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
                rest = after;
                bytes.iter().fold(0, |len, byte| len << 8 | usize::from(*byte))
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some(content)
    }
}

const UNSUPPORTED: CryptoError = CryptoError::BadKey(
    "the kind of private key is not supported: use RSA (2048 bits or more), EC P-256, EC P-384 or Ed25519",
);

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const CONTEXT_0: u8 = 0xa0;
const CONTEXT_1: u8 = 0xa1;

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01]; // 1.2.840.113549.1.1.1
const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a]; // 1.2.840.113549.1.1.10
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]; // 1.2.840.10045.2.1
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]; // 1.2.840.10045.3.1.7
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22]; // 1.3.132.0.34
const ED25519: &[u8] = &[0x2b, 0x65, 0x70]; // 1.3.101.112
