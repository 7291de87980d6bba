//! What a compressed refusal says. Only read here: the client gets the bytes as they came. Of brotli and zstd, whose decoders are large, nothing comes: what
//! cannot be read is not asked for.

use std::borrow::Cow;
use std::io::Read;

/// The body without its content coding, if both are small and the coding is one that clients accept.
pub(crate) fn decode<'b>(coding: &[u8], body: &'b [u8], most: usize) -> Option<Cow<'b, [u8]>> {
    let is = |names: &[&str]| names.iter().any(|name| coding.trim_ascii().eq_ignore_ascii_case(name.as_bytes()));
    let decoded = if is(&["", "identity"]) {
        return Some(Cow::Borrowed(body));
    } else if is(&["gzip", "x-gzip"]) {
        read(flate2::read::MultiGzDecoder::new(body), most)
    } else if is(&["deflate"]) {
        // In zlib's frame as RFC 9110 section 8.4.1.2 has it, or without, as some servers do.
        read(flate2::read::ZlibDecoder::new(body), most).or_else(|| read(flate2::read::DeflateDecoder::new(body), most))
    } else {
        None
    };
    decoded.map(Cow::Owned)
}

/// `None` if it is broken or too large.
fn read(decoder: impl Read, most: usize) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    decoder.take(most as u64 + 1).read_to_end(&mut decoded).ok()?;
    (decoded.len() <= most).then_some(decoded)
}

/// The codings of an `Accept-Encoding` that can be read here, if it names others too.
pub(crate) fn readable(accepted: &[&[u8]]) -> Option<Vec<u8>> {
    let all = || accepted.iter().flat_map(|line| line.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let can_be_read = |item: &&[u8]| {
        let name = item.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        READABLE.iter().any(|readable| name.eq_ignore_ascii_case(readable.as_bytes()))
    };
    if all().all(|item| item.is_empty() || can_be_read(&item)) {
        return None;
    }
    let kept: Vec<&[u8]> = all().filter(can_be_read).collect();
    // Without a word any coding would do (RFC 9110 section 12.5.3).
    Some(if kept.is_empty() { b"identity".to_vec() } else { kept.join(&b", "[..]) })
}

const READABLE: [&str; 4] = ["gzip", "deflate", "x-gzip", "identity"];

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    const MOST: usize = 64 << 10;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn each_coding_is_read_and_an_unknown_one_is_not() {
        let text: &[u8] = br#"{"a":"hello, hello, hello"}"#;
        for (coding, body) in [
            ("", text.to_vec()),
            ("identity", text.to_vec()),
            ("gzip", gzip(text)),
            ("X-GZip", gzip(text)),
            (" gzip ", gzip(text)),
        ] {
            assert_eq!(decode(coding.as_bytes(), &body, MOST).as_deref(), Some(text), "{coding}");
        }
        for coding in ["compress", "gzip, gzip", "br;q=1", "deflate", "br", "zstd"] {
            assert_eq!(decode(coding.as_bytes(), &gzip(text), MOST), None, "{coding}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_asked_for() {
        for (accepted, expected) in [
            (&["gzip"][..], None),
            (&["gzip, deflate;q=0.5", " Identity;q=0"], None),
            (&[""], None),
            (&["gzip, deflate, br, zstd"], Some("gzip, deflate")),
            (&["br;q=1.0,GZIP; q=0.8", "*;q=0.1"], Some("GZIP; q=0.8")),
            (&["br"], Some("identity")),
            (&["*"], Some("identity")),
        ] {
            let accepted: Vec<&[u8]> = accepted.iter().map(|line| line.as_bytes()).collect();
            assert_eq!(readable(&accepted).as_deref(), expected.map(str::as_bytes), "{accepted:?}");
        }
    }

    #[test]
    fn what_grows_too_large_is_left_alone() {
        for (length, is_read) in [(MOST, true), (MOST + 1, false), (4 << 20, false)] {
            let large = vec![b' '; length];
            assert_eq!(decode(b"gzip", &gzip(&large), MOST).is_some(), is_read, "{length}");
        }
    }

    /// An upstream may send anything.
    #[test]
    fn broken_bodies_are_no_text_and_no_panic() {
        let text: Vec<u8> =
            (0..3000_u32).flat_map(|at| at.wrapping_mul(2_654_435_761).to_string().into_bytes()).collect();
        let mut seed = 1_u64;
        let mut random = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize
        };
        for (coding, body) in [("gzip", gzip(&text)), ("deflate", gzip(&text).split_off(10))] {
            for _ in 0..400 {
                let mut broken = body.clone();
                for _ in 0..=random() % 4 {
                    let at = random() % broken.len();
                    broken[at] = random() as u8;
                }
                broken.truncate(broken.len() - random() % 2 * (random() % broken.len()));
                let _ = decode(coding.as_bytes(), &broken, MOST);
                let _ = decode(coding.as_bytes(), &broken[..broken.len().min(random() % 9)], MOST);
            }
        }
    }
}
