use crate::{CryptoError, backend};

/// Fills `buf` from the backend's cryptographically secure generator.
///
/// # Errors
///
/// [`CryptoError::NoRandom`] if the operating system gives none, [`CryptoError::NoBackend`].
pub fn random(buf: &mut [u8]) -> Result<(), CryptoError> {
    backend::random(buf)
}

/// `N` random bytes.
///
/// # Errors
///
/// As [`random`].
pub fn random_array<const N: usize>() -> Result<[u8; N], CryptoError> {
    let mut bytes = [0; N];
    random(&mut bytes)?;
    Ok(bytes)
}

/// A random UUID (RFC 9562 §5.4) in lower case, for `jti` and correlation ids: 122 random bits.
///
/// # Errors
///
/// As [`random`].
pub fn uuid_v4() -> Result<String, CryptoError> {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = random_array::<16>()?;
    let (version, variant) = (g & 0x0f | 0x40, i & 0x3f | 0x80);
    Ok(format!(
        "{a:02x}{b:02x}{c:02x}{d:02x}-{e:02x}{f:02x}-{version:02x}{h:02x}-{variant:02x}{j:02x}-\
         {k:02x}{l:02x}{m:02x}{n:02x}{o:02x}{p:02x}"
    ))
}
