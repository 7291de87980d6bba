//! D-Bus, as much of it as a client needs that calls methods and waits for their answers: `unix:` addresses, `EXTERNAL` authentication, one call at a
//! time, and a moment at which every wait ends.
//!
//! The specification: <https://dbus.freedesktop.org/doc/dbus-specification.html>. The crates that speak it (`zbus` and what goes
//! with it) make a small program 1.7 MB larger, and the command must not grow by a fifth of that.

use super::bounded;
use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// The connection does not come about, or has ended.
    Broken(String),
    /// The time is up.
    TimedOut,
    /// The other side answers with an error of this name.
    Said(String),
    /// What comes is no D-Bus, or not what was asked for.
    Malformed,
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::TimedOut,
            kind => Self::Broken(kind.to_string()),
        }
    }
}

/// What is called.
pub(super) struct Call<'a> {
    pub(super) destination: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
    pub(super) body: Body,
}

/// A connection to a bus.
#[derive(Debug)]
pub(super) struct Bus {
    stream: UnixStream,
    serial: u32,
}

impl Bus {
    /// Connects to the first place of an address that answers, and says who this is.
    pub(super) fn connect(address: &str, end: Instant) -> Result<Self, Fault> {
        let mut last = Fault::Broken("its address names no place that is known here".to_owned());
        for place in places(address) {
            match Self::at(place, end) {
                Ok(bus) => return Ok(bus),
                Err(fault) => last = fault,
            }
        }
        Err(last)
    }

    fn at(place: Place, end: Instant) -> Result<Self, Fault> {
        // A bus that accepts nobody any more would hold up whoever connects.
        let stream = bounded(left(end)?, move || place.connect()).ok_or(Fault::TimedOut)??;
        let mut bus = Self { stream, serial: 0 };
        bus.authenticate(end)?;
        let hello = Call {
            destination: BUS,
            path: "/org/freedesktop/DBus",
            interface: BUS,
            member: "Hello",
            body: Body::default(),
        };
        bus.call(hello, end)?;
        Ok(bus)
    }

    /// SASL's `EXTERNAL`: the socket itself tells who we are.
    fn authenticate(&mut self, end: Instant) -> Result<(), Fault> {
        let user = rustix::process::geteuid().as_raw().to_string();
        let line = format!("\0AUTH EXTERNAL {}\r\n", unexpired_core::text::hex(user.as_bytes()));
        self.write(line.as_bytes(), end)?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n") {
            let mut byte = [0];
            self.read(&mut byte, end)?;
            answer.extend(byte);
            if answer.len() > LONGEST_LINE {
                return Err(Fault::Malformed);
            }
        }
        if !answer.starts_with(b"OK ") {
            return Err(Fault::Broken("it does not know this user".to_owned()));
        }
        self.write(b"BEGIN\r\n", end)
    }

    /// Calls a method and waits for its answer.
    pub(super) fn call(&mut self, call: Call<'_>, end: Instant) -> Result<Answer, Fault> {
        self.serial = self.serial.checked_add(1).ok_or(Fault::Malformed)?;
        self.write(&message(&call, self.serial)?, end)?;
        loop {
            let answer = self.message(end)?;
            if answer.to != Some(self.serial) {
                // A signal, or somebody's call: nothing that is waited for here.
                continue;
            }
            return match answer.kind {
                METHOD_RETURN => Ok(answer),
                ERROR => Err(Fault::Said(answer.error.unwrap_or_default())),
                _ => continue,
            };
        }
    }

    fn message(&mut self, end: Instant) -> Result<Answer, Fault> {
        let mut fixed = [0; 16];
        self.read(&mut fixed, end)?;
        let big = match fixed {
            [b'l', ..] => false,
            [b'B', ..] => true,
            _ => return Err(Fault::Malformed),
        };
        let mut head = Reader { bytes: &fixed, at: 1, big };
        let kind = head.byte().ok_or(Fault::Malformed)?;
        head.at = 4;
        let body_length = head.u32().ok_or(Fault::Malformed)? as usize;
        head.at = 12;
        let fields_length = head.u32().ok_or(Fault::Malformed)? as usize;
        if body_length > LONGEST || fields_length > LONGEST_FIELDS {
            return Err(Fault::Malformed);
        }
        // The fields are an array of structures that begins at byte 16.
        let mut fields = vec![0; fields_length.next_multiple_of(8)];
        self.read(&mut fields, end)?;
        let mut body = Zeroizing::new(vec![0; body_length]);
        self.read(&mut body, end)?;
        let mut answer = Answer { kind, to: None, error: None, body, big };
        let fields = fields.get(..fields_length).ok_or(Fault::Malformed)?;
        answer.read_fields(fields).ok_or(Fault::Malformed)?;
        Ok(answer)
    }

    fn write(&mut self, bytes: &[u8], end: Instant) -> Result<(), Fault> {
        let mut rest = bytes;
        while !rest.is_empty() {
            self.stream.set_write_timeout(Some(left(end)?))?;
            match self.stream.write(rest) {
                Ok(0) => return Err(Fault::Broken("the connection has ended".to_owned())),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn read(&mut self, into: &mut [u8], end: Instant) -> Result<(), Fault> {
        let mut at = 0;
        while let Some(room) = into.get_mut(at..).filter(|room| !room.is_empty()) {
            self.stream.set_read_timeout(Some(left(end)?))?;
            match self.stream.read(room) {
                Ok(0) => return Err(Fault::Broken("the connection has ended".to_owned())),
                Ok(read) => at = at.saturating_add(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// What is left until then; not nothing, which would mean for ever.
fn left(end: Instant) -> Result<Duration, Fault> {
    let left = end.saturating_duration_since(Instant::now());
    if left < Duration::from_millis(1) { Err(Fault::TimedOut) } else { Ok(left) }
}

/// An answer, whose values are read in their order.
#[derive(Debug)]
pub(super) struct Answer {
    kind: u8,
    to: Option<u32>,
    error: Option<String>,
    body: Zeroizing<Vec<u8>>,
    big: bool,
}

impl Answer {
    pub(super) fn reader(&self) -> Reader<'_> {
        Reader { bytes: &self.body, at: 0, big: self.big }
    }

    /// `a(yv)`: of the values only those that are strings or numbers are of interest.
    fn read_fields(&mut self, bytes: &[u8]) -> Option<()> {
        let mut reader = Reader { bytes, at: 0, big: self.big };
        while reader.at < bytes.len() {
            reader.align(8)?;
            let code = reader.byte()?;
            match reader.signature()? {
                "u" => {
                    let value = reader.u32()?;
                    if code == REPLY_SERIAL {
                        self.to = Some(value);
                    }
                }
                "s" | "o" => {
                    let value = reader.string()?;
                    if code == ERROR_NAME {
                        self.error = Some(value.to_owned());
                    }
                }
                "g" => drop(reader.signature()?),
                _ => return None,
            }
        }
        Some(())
    }
}

/// Values, one after the other. `None` where something else stands.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    big: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn align(&mut self, to: usize) -> Option<()> {
        self.at = self.at.checked_next_multiple_of(to)?;
        (self.at <= self.bytes.len()).then_some(())
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.align(4)?;
        let bytes: [u8; 4] = self.take(4)?.try_into().ok()?;
        Some(if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    pub(super) fn bool(&mut self) -> Option<bool> {
        Some(self.u32()? != 0)
    }

    /// A string, or a path.
    pub(super) fn string(&mut self) -> Option<&'a str> {
        let length = self.u32()? as usize;
        self.text(length)
    }

    pub(super) fn signature(&mut self) -> Option<&'a str> {
        let length = self.byte()?;
        self.text(length.into())
    }

    fn text(&mut self, length: usize) -> Option<&'a str> {
        let text = std::str::from_utf8(self.take(length)?).ok()?;
        (self.byte()? == 0).then_some(text)
    }

    /// `ay`
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()? as usize;
        self.take(length)
    }

    /// `ao`
    pub(super) fn paths(&mut self) -> Option<Vec<&'a str>> {
        let length = self.u32()? as usize;
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        let mut paths = Vec::new();
        while self.at < end {
            paths.push(self.string()?);
        }
        (self.at == end).then_some(paths)
    }
}

/// The arguments of a call, one after the other; little-endian.
#[derive(Debug, Default)]
pub(super) struct Body {
    bytes: Zeroizing<Vec<u8>>,
    signature: &'static str,
}

impl Body {
    /// With this signature, and room for so many bytes: a buffer that grew would leave copies behind.
    pub(super) fn new(signature: &'static str, room: usize) -> Self {
        Self { bytes: Zeroizing::new(Vec::with_capacity(room)), signature }
    }

    pub(super) fn align(&mut self, to: usize) {
        let length = self.bytes.len().next_multiple_of(to);
        self.bytes.resize(length, 0);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.align(4);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A string, or a path.
    pub(super) fn string(&mut self, text: &str) {
        self.blob(text.as_bytes());
        self.bytes.push(0);
    }

    /// `ay`
    pub(super) fn blob(&mut self, bytes: &[u8]) {
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn signature(&mut self, text: &str) {
        self.bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
    }

    /// An array of what is aligned like this.
    pub(super) fn array(&mut self, alignment: usize, fill: impl FnOnce(&mut Self)) {
        self.u32(0);
        let length_at = self.bytes.len().saturating_sub(4);
        self.align(alignment);
        let start = self.bytes.len();
        fill(self);
        let length = u32::try_from(self.bytes.len().saturating_sub(start)).unwrap_or(u32::MAX);
        for (byte, new) in self.bytes.iter_mut().skip(length_at).zip(length.to_le_bytes()) {
            *byte = new;
        }
    }

    /// `a{ss}`
    pub(super) fn dictionary(&mut self, pairs: &[(&str, &str)]) {
        self.array(8, |body| {
            for (name, value) in pairs {
                body.align(8);
                body.string(name);
                body.string(value);
            }
        });
    }
}

/// A method call as it goes out: the fixed part, the fields, the body.
fn message(call: &Call<'_>, serial: u32) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let length = u32::try_from(call.body.bytes.len()).ok().filter(|length| *length as usize <= LONGEST);
    let mut head = Body::new("", 512_usize.saturating_add(call.body.bytes.len()));
    head.bytes.extend_from_slice(&[b'l', METHOD_CALL, 0, 1]);
    head.u32(length.ok_or(Fault::Malformed)?);
    head.u32(serial);
    head.array(8, |head| {
        for (code, signature, text) in [
            (PATH, "o", call.path),
            (INTERFACE, "s", call.interface),
            (MEMBER, "s", call.member),
            (DESTINATION, "s", call.destination),
        ] {
            head.align(8);
            head.bytes.push(code);
            head.signature(signature);
            head.string(text);
        }
        if !call.body.signature.is_empty() {
            head.align(8);
            head.bytes.push(SIGNATURE);
            head.signature("g");
            head.signature(call.body.signature);
        }
    });
    head.align(8);
    head.bytes.extend_from_slice(&call.body.bytes);
    Ok(head.bytes)
}

#[derive(Debug, PartialEq)]
enum Place {
    Path(PathBuf),
    #[cfg(target_os = "linux")]
    Abstract(Vec<u8>),
}

impl Place {
    fn connect(&self) -> io::Result<UnixStream> {
        match self {
            Self::Path(path) => UnixStream::connect(path),
            #[cfg(target_os = "linux")]
            Self::Abstract(name) => {
                use std::os::linux::net::SocketAddrExt as _;
                UnixStream::connect_addr(&std::os::unix::net::SocketAddr::from_abstract_name(name)?)
            }
        }
    }
}

/// The places of an address: `unix:path=/run/user/1000/bus;unix:abstract=…`. Of other kinds (`tcp:`, `unixexec:`) none is taken.
fn places(address: &str) -> Vec<Place> {
    let place = |one: &str| {
        let pairs = one.strip_prefix("unix:")?.split(',');
        pairs.filter_map(|pair| pair.split_once('=')).find_map(|(key, value)| match key {
            "path" => Some(Place::Path(OsString::from_vec(unescaped(value)?).into())),
            #[cfg(target_os = "linux")]
            "abstract" => Some(Place::Abstract(unescaped(value)?)),
            _ => None,
        })
    };
    address.split(';').filter_map(place).collect()
}

/// `%20` and the like.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        bytes.push(match byte {
            b'%' => u8::try_from(digit(rest.next())? * 16 + digit(rest.next())?).ok()?,
            plain => plain,
        });
    }
    Some(bytes)
}

const BUS: &str = "org.freedesktop.DBus";

const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;

const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

const LONGEST: usize = 4 << 20;
const LONGEST_FIELDS: usize = 64 * 1024;
const LONGEST_LINE: usize = 1024;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may fail loudly")]
mod tests {
    use super::*;

    #[test]
    fn the_places_of_an_address() {
        let path = |text: &str| Place::Path(text.into());
        assert_eq!(places("unix:path=/run/user/1000/bus"), [path("/run/user/1000/bus")]);
        assert_eq!(places("unix:guid=1,path=/a%20b;unix:path=/c"), [path("/a b"), path("/c")]);
        #[cfg(target_os = "linux")]
        assert_eq!(places("unix:abstract=/tmp/dbus-x,guid=1"), [Place::Abstract(b"/tmp/dbus-x".to_vec())]);
        for none in ["", "tcp:host=127.0.0.1,port=1", "unixexec:path=/bin/sh", "unix:path=%zz", "unix:", "path=/x"] {
            assert_eq!(places(none), [], "{none}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut body = Body::new("", 256);
        body.u32(7);
        body.string("ünï");
        body.signature("a{ss}");
        body.array(4, |body| ["/a", "/b/c"].into_iter().for_each(|path| body.string(path)));
        body.blob(b"\0\x01");
        let mut reader = Reader { bytes: &body.bytes, at: 0, big: false };
        assert_eq!(reader.u32(), Some(7));
        assert_eq!(reader.string(), Some("ünï"));
        assert_eq!(reader.signature(), Some("a{ss}"));
        assert_eq!(reader.paths().unwrap(), ["/a", "/b/c"]);
        assert_eq!(reader.bytes(), Some(&b"\0\x01"[..]));
        assert_eq!(reader.u32(), None);
    }

    /// The example of a dictionary that the specification lays out: eight bytes for each entry's beginning.
    #[test]
    fn a_dictionary_is_aligned() {
        let mut body = Body::new("a{ss}", 64);
        body.dictionary(&[("a", "b"), ("c", "d")]);
        assert_eq!(body.bytes.len(), 4 + 4 + 16 + 14);
        assert_eq!(body.bytes.first(), Some(&30));
    }

    #[test]
    fn nothing_that_comes_makes_it_panic() {
        let mut whole = Body::new("", 64);
        whole.string("abc");
        whole.array(4, |body| body.string("/a"));
        for end in 0..whole.bytes.len() {
            let mut reader = Reader { bytes: &whole.bytes[..end], at: 0, big: false };
            assert!(reader.string().and_then(|_| reader.paths()).is_none(), "{end}");
        }
        for length in [u32::MAX, u32::MAX - 7, 1 << 31] {
            let bytes = length.to_le_bytes();
            let reader = || Reader { bytes: &bytes, at: 0, big: false };
            assert!(reader().string().is_none() && reader().bytes().is_none() && reader().paths().is_none());
        }
    }

    /// What a bus that says this, and then nothing more, is taken for.
    fn met_by(says: &'static [u8], ends: bool) -> Fault {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("bus");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let bus = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.write_all(says);
            if !ends {
                // Until the other side gives up.
                let _ = stream.read_to_end(&mut Vec::new());
            }
        });
        let end = Instant::now().checked_add(Duration::from_millis(if ends { 10_000 } else { 100 })).unwrap();
        let fault = Bus::connect(&format!("unix:path={}", socket.display()), end).unwrap_err();
        bus.join().unwrap();
        fault
    }

    #[test]
    fn a_bus_that_is_none_or_says_nothing_is_given_up() {
        assert!(matches!(met_by(b"REJECTED EXTERNAL\r\n", true), Fault::Broken(_)));
        assert!(matches!(met_by(b"", true), Fault::Broken(_)));
        assert!(matches!(met_by(&[b'x'; 2000], true), Fault::Malformed | Fault::Broken(_)));
        assert!(matches!(met_by(b"OK 1\r\nHTTP/1.1 400 Bad Request\r\n\r\n", false), Fault::Malformed));
        // A message that says that it is 4 GiB long.
        assert!(matches!(
            met_by(b"OK 1\r\nl\x02\0\x01\xff\xff\xff\xff\x01\0\0\0\xff\xff\xff\xff", false),
            Fault::Malformed
        ));
        for silent in [&b""[..], b"OK", b"OK 1\r\n", b"OK 1\r\nl\x02\0\x01\x08\0\0\0\x01\0\0\0\x08\0\0\0"] {
            assert!(matches!(met_by(silent, false), Fault::TimedOut), "{silent:?}");
        }
    }
}
