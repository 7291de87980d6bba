use core::fmt;

/// A JWS signature algorithm (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256 and a salt of 32 bytes.
    Ps256,
    /// RSASSA-PSS with SHA-384 and a salt of 48 bytes.
    Ps384,
    /// RSASSA-PSS with SHA-512 and a salt of 64 bytes.
    Ps512,
    /// ECDSA on P-256 with SHA-256; the signature is R and S, 64 bytes.
    Es256,
    /// ECDSA on P-384 with SHA-384; the signature is R and S, 96 bytes.
    Es384,
    /// Ed25519.
    EdDsa,
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
}

impl Algorithm {
    /// Every algorithm of this crate.
    pub const ALL: [Self; 12] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
    ];

    /// The `alg` value, for instance `RS256` or `EdDSA`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        }
    }

    /// The algorithm of this `alg` value (case matters, RFC 7515 §4.1.1). `none` is not one.
    ///
    /// ```
    /// use unexpired_crypto::Algorithm;
    /// assert_eq!(Algorithm::from_name("PS256"), Some(Algorithm::Ps256));
    /// assert_eq!(Algorithm::from_name("none"), None);
    /// ```
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What sort of key this is, and how large. All that `Debug` of a key shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyKind {
    /// RSA.
    Rsa {
        /// Length of the modulus.
        bits: usize,
    },
    /// EC on P-256.
    P256,
    /// EC on P-384.
    P384,
    /// Ed25519.
    Ed25519,
    /// A shared secret.
    Hmac {
        /// Length of the secret.
        bits: usize,
    },
}

impl KeyKind {
    /// What a key of this kind can sign with; the customary choice first.
    ///
    /// A shared secret must be at least as long as the digest (RFC 7518 §3.2).
    pub(crate) fn algorithms(self) -> &'static [Algorithm] {
        use Algorithm::*;
        match self {
            Self::Rsa { .. } => &[Rs256, Ps256, Rs384, Ps384, Rs512, Ps512],
            Self::P256 => &[Es256],
            Self::P384 => &[Es384],
            Self::Ed25519 => &[EdDsa],
            Self::Hmac { bits } if bits >= 512 => &[Hs256, Hs384, Hs512],
            Self::Hmac { bits } if bits >= 384 => &[Hs256, Hs384],
            Self::Hmac { bits } if bits >= 256 => &[Hs256],
            Self::Hmac { .. } => &[],
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa { bits } => write!(f, "RSA, {bits} bits"),
            Self::P256 => f.write_str("EC P-256"),
            Self::P384 => f.write_str("EC P-384"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Hmac { bits } => write!(f, "HMAC, {bits} bits"),
        }
    }
}
