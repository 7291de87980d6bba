//! What a compressed refusal says. Only read here: the client gets the bytes as they came.

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
    } else if is(&["br"]) {
        read(brotli_decompressor::Decompressor::new(body, BUFFER), most)
    } else if is(&["zstd"]) {
        // The decoder takes as much memory as the frame asks for.
        read(ruzstd::decoding::StreamingDecoder::new_with_max_window_size(body, WINDOW).ok()?, most)
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

const BUFFER: usize = 4 << 10;
/// RFC 9659: no frame of this coding needs more.
const WINDOW: u64 = 8 << 20;

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

    fn zstd(body: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(body, ruzstd::encoding::CompressionLevel::Fastest)
    }

    /// `{"a":"hello, hello, hello"}`, as Node's zlib writes it.
    const BR: [u8; 31] = [
        11, 13, 128, 123, 34, 97, 34, 58, 34, 104, 101, 108, 108, 111, 44, 32, 104, 101, 108, 108, 111, 44, 32, 104,
        101, 108, 108, 111, 34, 125, 3,
    ];

    #[test]
    fn each_coding_is_read_and_an_unknown_one_is_not() {
        let text: &[u8] = br#"{"a":"hello, hello, hello"}"#;
        for (coding, body) in [
            ("", text.to_vec()),
            ("identity", text.to_vec()),
            ("gzip", gzip(text)),
            ("X-GZip", gzip(text)),
            ("zstd", zstd(text)),
            (" br", BR.to_vec()),
        ] {
            assert_eq!(decode(coding.as_bytes(), &body, MOST).as_deref(), Some(text), "{coding}");
        }
        for coding in ["compress", "gzip, gzip", "br;q=1", "deflate", "br", "zstd"] {
            assert_eq!(decode(coding.as_bytes(), &gzip(text), MOST), None, "{coding}");
        }
    }

    #[test]
    fn what_grows_too_large_is_left_alone() {
        for (length, is_read) in [(MOST, true), (MOST + 1, false), (4 << 20, false)] {
            let large = vec![b' '; length];
            for (coding, body) in [("gzip", gzip(&large)), ("zstd", zstd(&large))] {
                assert_eq!(decode(coding.as_bytes(), &body, MOST).is_some(), is_read, "{coding} {length}");
            }
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
        for (coding, body) in
            [("gzip", gzip(&text)), ("deflate", gzip(&text).split_off(10)), ("zstd", zstd(&text)), ("br", BR.to_vec())]
        {
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
