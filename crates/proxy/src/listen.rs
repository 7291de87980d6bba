//! Where the proxy listens.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
#[cfg(unix)]
use std::path::{Path, PathBuf};
use std::sync::Arc;
use unexpired_core::{ErrorKind, MintError};

/// A place to listen at: loopback, or a socket that only its owner may connect to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Listen {
    /// This port of `127.0.0.1`, and of `::1` where there is one. `0`: any free port of `127.0.0.1`.
    Port(u16),
    /// A listener that is there already: from a service manager, or a test.
    Tcp(Arc<TcpListener>),
    /// A Unix socket at this path, made with mode 0600 and removed at the end. One that nobody listens on is replaced.
    #[cfg(unix)]
    Socket(PathBuf),
    /// A Unix listener that is there already. Who may connect is its maker's affair.
    #[cfg(unix)]
    Unix(Arc<std::os::unix::net::UnixListener>),
    /// All of these: one route's IPv4 and IPv6 listeners, say.
    Several(Vec<Listen>),
}

/// Where it is listened at, as a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// An address, always of loopback.
    Tcp(SocketAddr),
    /// A Unix socket's path; empty if it has none.
    #[cfg(unix)]
    Socket(PathBuf),
}

impl Place {
    /// `http://127.0.0.1:8639`, or `unix:/path`.
    pub fn url(&self) -> String {
        match self {
            Self::Tcp(address) => format!("http://{address}"),
            #[cfg(unix)]
            Self::Socket(path) => format!("unix:{}", path.display()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url())
    }
}

/// A listener that is bound.
#[derive(Debug)]
pub(crate) enum Bound {
    Tcp(TcpListener, SocketAddr),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixListener, Cleanup),
}

impl Bound {
    pub(crate) fn place(&self) -> Place {
        match self {
            Self::Tcp(_, address) => Place::Tcp(*address),
            #[cfg(unix)]
            Self::Unix(_, cleanup) => Place::Socket(cleanup.path.clone()),
        }
    }
}

/// Removes a socket that we made, if it is still ours.
#[cfg(unix)]
#[derive(Debug)]
pub(crate) struct Cleanup {
    path: PathBuf,
    number: Option<u64>,
}

#[cfg(unix)]
impl Drop for Cleanup {
    fn drop(&mut self) {
        if self.number.is_some() && number(&self.path) == self.number {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(unix)]
fn number(path: &Path) -> Option<u64> {
    std::fs::symlink_metadata(path).ok().map(|metadata| crate::sys::file_number(&metadata))
}

impl Listen {
    /// Listens.
    pub(crate) fn bind(&self) -> Result<Vec<Bound>, MintError> {
        match self {
            Self::Several(places) => {
                let bound: Result<Vec<_>, _> = places.iter().map(Self::bind).collect();
                Ok(bound?.into_iter().flatten().collect())
            }
            Self::Port(port) => bind_port(*port),
            Self::Tcp(listener) => {
                let copy = listener.try_clone().and_then(|listener| Ok((listener.local_addr()?, listener)));
                let (address, listener) = copy.map_err(|error| cannot("the listener", &error))?;
                if !address.ip().is_loopback() {
                    return Err(MintError::new(ErrorKind::Misconfigured, format!("{address} is not on loopback"))
                        .remedy("listen on 127.0.0.1, on ::1 or on a Unix socket"));
                }
                Ok(vec![Bound::Tcp(listener, address)])
            }
            #[cfg(unix)]
            Self::Socket(path) => {
                let suffix = unexpired_crypto::random_array::<6>().map_err(|_| io::Error::other("no random numbers"));
                let listener = suffix
                    .map(|bytes| format!(".{}", unexpired_crypto::b64::url_encode(&bytes)))
                    .and_then(|suffix| crate::sys::bind_private(path, &suffix))
                    .map_err(|error| cannot(&format!("the socket {}", path.display()), &error))?;
                let cleanup = Cleanup { number: number(path), path: path.clone() };
                Ok(vec![Bound::Unix(listener, cleanup)])
            }
            #[cfg(unix)]
            Self::Unix(listener) => {
                let copy = listener.try_clone().map_err(|error| cannot("the socket", &error))?;
                let address = copy.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname()).map(Path::to_owned);
                let cleanup = Cleanup { path: path.unwrap_or_default(), number: None };
                Ok(vec![Bound::Unix(copy, cleanup)])
            }
        }
    }
}

fn bind_port(port: u16) -> Result<Vec<Bound>, MintError> {
    let first = bind_address((Ipv4Addr::LOCALHOST, port).into())?;
    if port == 0 {
        return Ok(vec![first]);
    }
    // `localhost` may mean ::1 to a client. If somebody else listens there, it must not get what is meant for us.
    match TcpListener::bind((Ipv6Addr::LOCALHOST, port)) {
        Ok(listener) => {
            let address = (Ipv6Addr::LOCALHOST, port).into();
            Ok(vec![first, Bound::Tcp(listener, address)])
        }
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(taken((Ipv6Addr::LOCALHOST, port).into())),
        // A machine without IPv6.
        Err(_) => Ok(vec![first]),
    }
}

fn bind_address(address: SocketAddr) -> Result<Bound, MintError> {
    let bound = TcpListener::bind(address).and_then(|listener| Ok((listener.local_addr()?, listener)));
    match bound {
        Ok((address, listener)) => Ok(Bound::Tcp(listener, address)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(taken(address)),
        Err(error) => Err(cannot(&address.to_string(), &error)),
    }
}

fn taken(address: SocketAddr) -> MintError {
    MintError::new(ErrorKind::Misconfigured, format!("{address} is taken by another program"))
        .remedy("end that program, or choose another port: --port PORT, or `port` of the route")
}

fn cannot(what: &str, error: &io::Error) -> MintError {
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => "another proxy serves it: end that one, or name another path",
        io::ErrorKind::AlreadyExists => "remove it, or name another path",
        io::ErrorKind::NotFound => "make the folder first",
        _ => "choose another place",
    };
    MintError::new(ErrorKind::Misconfigured, format!("cannot listen at {what}: {error}")).remedy(remedy)
}
