use core::fmt;

use crate::{Algorithm, KeyKind};

/// Why a cryptographic operation could not be done. The text never contains key material or signed content.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CryptoError {
    /// Neither `ring` nor `aws-lc-rs` was compiled in.
    NoBackend,
    /// The operating system gave no random bytes.
    NoRandom,
    /// The key cannot be used; the text says what is wrong and what to do.
    BadKey(&'static str),
    /// The key cannot make or check signatures of this algorithm.
    WrongAlgorithm {
        /// The algorithm that was asked for.
        algorithm: Algorithm,
        /// The key at hand.
        key: KeyKind,
    },
    /// The text is not base64 of the expected alphabet.
    BadBase64,
    /// A JOSE header member may not be given, or was given twice.
    BadHeader(&'static str),
    /// The backend refused to sign; a damaged RSA key may be noticed only then.
    SigningFailed,
}

impl fmt::Display for CryptoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBackend => f.write_str("no cryptography was compiled in: enable the feature `ring` or `aws-lc-rs`"),
            Self::NoRandom => f.write_str("the operating system gave no random bytes"),
            Self::BadKey(what) => f.write_str(what),
            Self::WrongAlgorithm { algorithm, key } => write!(f, "{algorithm} cannot be used with this key ({key})"),
            Self::BadBase64 => f.write_str("not valid base64"),
            Self::BadHeader(what) => f.write_str(what),
            Self::SigningFailed => {
                f.write_str("the cryptography backend refused to sign: the private key may be damaged")
            }
        }
    }
}

impl std::error::Error for CryptoError {}
