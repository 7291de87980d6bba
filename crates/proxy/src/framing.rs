//! Where each request begins and ends, read beside the server that serves it, and only to say no: hyper takes two equal lengths for one, and of a length and an
//! encoding the encoding; a server before or behind us may do otherwise, and what one takes for a body is a request to the other (RFC 9112 sections
//! 6.1, 6.3 and 11.2).

/// One client's requests, as their bytes come.
#[derive(Debug)]
pub(crate) struct Framing {
    at: At,
    /// Of the head that is being read.
    length: Option<u64>,
    chunked: bool,
    /// A line of this head was there.
    begun: bool,
    /// The beginning of a line whose end has not come.
    cut: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Head,
    /// So many bytes of a body, or of a chunk and its line end.
    Bytes {
        left: u64,
        chunk: bool,
    },
    ChunkSize,
    Trailer,
}

/// What two servers may read differently: the line that ends, or would end, at this byte of what was read last.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bad(pub(crate) usize);

impl Framing {
    pub(crate) const fn new() -> Self {
        Self { at: At::Head, length: None, chunked: false, begun: false, cut: Vec::new() }
    }

    /// Whether a head comes now, or has just been found bad.
    pub(crate) fn is_at_head(&self) -> bool {
        self.at == At::Head
    }

    /// Whether a head is there in part.
    pub(crate) fn is_in_head(&self) -> bool {
        self.is_at_head() && (self.begun || !self.cut.is_empty())
    }

    /// Reads on.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<(), Bad> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if let At::Bytes { left, chunk } = self.at {
                let passed = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                rest = rest.get(passed..).unwrap_or_default();
                self.at = match left.saturating_sub(passed as u64) {
                    0 if chunk => At::ChunkSize,
                    0 => At::Head,
                    left => At::Bytes { left, chunk },
                };
                continue;
            }
            let Some(end) = memchr::memchr(b'\n', rest) else {
                return self.keep(rest).map_err(|()| Bad(bytes.len().saturating_sub(1)));
            };
            let (line, after) = (rest.get(..end).unwrap_or_default(), rest.get(end + 1..).unwrap_or_default());
            let read = if self.cut.is_empty() {
                self.line(line)
            } else {
                let joined = self.keep(line).map(|()| std::mem::take(&mut self.cut));
                joined.and_then(|line| self.line(&line))
            };
            read.map_err(|()| Bad(bytes.len() - after.len() - 1))?;
            rest = after;
        }
        Ok(())
    }

    /// No line is longer than a head may be.
    fn keep(&mut self, piece: &[u8]) -> Result<(), ()> {
        if self.cut.len().saturating_add(piece.len()) > MOST_LINE {
            return Err(());
        }
        self.cut.extend_from_slice(piece);
        Ok(())
    }

    /// One line, without its line feed.
    fn line(&mut self, line: &[u8]) -> Result<(), ()> {
        // A line feed alone ends a line to some, and is part of a value to others.
        let Some((b'\r', line)) = line.split_last() else { return Err(()) };
        match self.at {
            At::Head => self.head_line(line),
            At::ChunkSize => {
                self.at = match chunk_size(line)? {
                    0 => At::Trailer,
                    size => At::Bytes { left: size.checked_add(2).ok_or(())?, chunk: true },
                };
                Ok(())
            }
            At::Trailer => {
                if line.is_empty() {
                    self.at = At::Head;
                }
                Ok(())
            }
            At::Bytes { .. } => Ok(()),
        }
    }

    fn head_line(&mut self, line: &[u8]) -> Result<(), ()> {
        self.begun = true;
        // Every line is looked at by its first letter; the request's own has no colon behind a name.
        match line.first() {
            None => {
                self.at = match (self.chunked, self.length.unwrap_or(0)) {
                    (true, _) => At::ChunkSize,
                    (false, 0) => At::Head,
                    (false, left) => At::Bytes { left, chunk: false },
                };
                (self.length, self.chunked, self.begun) = (None, false, false);
                Ok(())
            }
            Some(b'c' | b'C') => match value(line, b"content-length") {
                Some(value) if self.length.is_none() && !self.chunked => {
                    self.length = Some(decimal(value)?);
                    Ok(())
                }
                Some(_) => Err(()),
                None => Ok(()),
            },
            Some(b't' | b'T') => match value(line, b"transfer-encoding") {
                Some(value) if self.length.is_none() && !self.chunked && value.eq_ignore_ascii_case(b"chunked") => {
                    self.chunked = true;
                    Ok(())
                }
                Some(_) => Err(()),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

/// The value, if the line's name is this one.
fn value<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let (given, rest) = line.split_at_checked(name.len())?;
    let (b':', value) = rest.split_first()? else { return None };
    given.eq_ignore_ascii_case(name).then(|| trim(value))
}

/// Blanks and tabs: what a header's value may have around it, and nothing else.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

fn decimal(digits: &[u8]) -> Result<u64, ()> {
    if digits.is_empty() {
        return Err(());
    }
    digits.iter().try_fold(0_u64, |sum, digit| {
        let digit = u64::from(digit.checked_sub(b'0').filter(|digit| *digit < 10).ok_or(())?);
        sum.checked_mul(10).and_then(|sum| sum.checked_add(digit)).ok_or(())
    })
}

/// Hexadecimal digits, and behind them nothing, or blanks, or an extension.
fn chunk_size(line: &[u8]) -> Result<u64, ()> {
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let (digits, rest) = line.split_at(end);
    if digits.is_empty() || !matches!(rest.first(), None | Some(b' ' | b'\t' | b';')) {
        return Err(());
    }
    digits.iter().try_fold(0_u64, |sum, digit| {
        let digit = u64::from(char::from(*digit).to_digit(16).ok_or(())?);
        sum.checked_mul(16).and_then(|sum| sum.checked_add(digit)).ok_or(())
    })
}

/// As long as a whole head may be.
const MOST_LINE: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads it whole, byte by byte, and cut in two anywhere: the outcome is the same.
    fn read(text: &str) -> bool {
        let mut whole = Framing::new();
        let outcome = whole.read(text.as_bytes()).is_ok();
        for size in [1, 2, 3, 7] {
            let mut pieces = Framing::new();
            let read = text.as_bytes().chunks(size).try_for_each(|piece| pieces.read(piece));
            assert_eq!(read.is_ok(), outcome, "{text:?} by {size}");
            if outcome {
                assert_eq!((pieces.at, pieces.is_in_head()), (whole.at, whole.is_in_head()), "{text:?} by {size}");
            }
        }
        outcome && whole.at == At::Head && !whole.is_in_head()
    }

    const TWO: &str = "content-length: 1\r\ncontent-length: 1\r\n\r\n";

    #[test]
    fn requests_of_one_meaning_are_followed_to_their_ends() {
        for body in [
            "\r\n",
            "Content-Length: 5\r\n\r\nhello",
            "content-length:\t5 \r\nx: y\r\n\r\nhello",
            "content-length: 0\r\n\r\n",
            "content-length: 17\r\n\r\nGET / HTTP/1.1\r\n\n",
            "Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "transfer-encoding: chunked\r\n\r\n005;a=\"b\"\r\nh\r\nlo\r\nA \r\n0123456789\r\n0\r\nx-end: 1\r\nx: 2\r\n\r\n",
            "content-type: x\r\ncontent-lengths: 1\r\ntransfer-encodings: x\r\ntrailer: x\r\n\r\n",
        ] {
            let one = format!("POST / HTTP/1.1\r\nhost: x\r\n{body}");
            assert!(read(&one) && read(&one.repeat(3)), "{body:?}");
            assert!(!read(&format!("{one}GET / HTTP/1.1\r\n{TWO}")), "the next is a request: {body:?}");
        }
        assert!(!read("GET / HTTP/1.1\r\nhost: x\r\n"));
    }

    #[test]
    fn what_may_mean_two_things_is_seen() {
        for head in [
            TWO,
            "content-length: 1\r\nContent-Length: 2\r\n\r\n",
            "content-length: 1, 1\r\n\r\n",
            "content-length: +1\r\n\r\n",
            "content-length:\r\n\r\n",
            "content-length: 0x1\r\n\r\n",
            "content-length: 1 1\r\n\r\n",
            "content-length: 18446744073709551616\r\n\r\n",
            "content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 0\r\n\r\n",
            "transfer-encoding: gzip, chunked\r\n\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
            "transfer-encoding: identity\r\n\r\n",
            "transfer-encoding: xchunked\r\n\r\n",
            "transfer-encoding:\r\n chunked\r\n\r\n",
            "transfer-encoding: \x0bchunked\r\n\r\n",
            "host: x\n\r\n",
            "transfer-encoding: chunked\r\n\r\n5\nhello",
            "transfer-encoding: chunked\r\n\r\n\r\n",
            "transfer-encoding: chunked\r\n\r\n0x5\r\n",
            "transfer-encoding: chunked\r\n\r\n5_\r\n",
            "transfer-encoding: chunked\r\n\r\n-5\r\n",
            "transfer-encoding: chunked\r\n\r\n10000000000000000\r\n",
            "transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            "transfer-encoding: chunked\r\n\r\n0\r\nx: 1\n\r\n",
        ] {
            let mut framing = Framing::new();
            let text = format!("POST / HTTP/1.1\r\n{head}");
            assert!(framing.read(text.as_bytes()).is_err(), "{head:?}");
            assert!(!read(&text), "{head:?}");
        }
    }

    #[test]
    fn a_long_line_is_not_kept_without_end() {
        let mut framing = Framing::new();
        let outcome = (0..100).try_for_each(|_| framing.read(&[b'x'; 1024]));
        assert_eq!(outcome, Err(Bad(1023)));
        assert!(framing.cut.len() <= MOST_LINE);
    }
}
