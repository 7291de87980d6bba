//! The Secret Service of the session bus (GNOME Keyring, KWallet, KeePassXC): <https://specifications.freedesktop.org/secret-service/latest/>.
//!
//! Secrets pass in the `plain` form: they go through a socket that only this user's processes reach, as the bus and the keyring do themselves.

use super::bus::{Answer, Body, Bus, Call, Fault};
use super::{Keyring, KeyringError, LIMIT};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use unexpired_core::Secret;
use zeroize::Zeroizing;

#[derive(Default)]
pub(super) struct SecretService {
    /// The bus, if not the one that the environment names.
    address: Option<String>,
    /// A connection is kept for as long as it works.
    kept: Mutex<Option<Session>>,
}

impl Keyring for SecretService {
    fn get(&self, service: &str, account: &str) -> Result<Option<Secret>, KeyringError> {
        self.with(|session| {
            let Some(item) = session.find(service, account)? else { return Ok(None) };
            session.secret(&item).map(Some)
        })
    }

    fn set(&self, service: &str, account: &str, secret: &str) -> Result<(), KeyringError> {
        self.with(|session| match session.find(service, account)? {
            Some(item) => session.replace(&item, secret),
            None => session.create(service, account, secret),
        })
    }

    fn remove(&self, service: &str, account: &str) -> Result<bool, KeyringError> {
        self.with(|session| match session.find(service, account)? {
            Some(item) => session.delete(&item).map(|()| true),
            None => Ok(false),
        })
    }

    fn check(&self) -> Result<(), KeyringError> {
        self.with(|session| session.default_collection().map(drop))
    }

    fn longest(&self) -> usize {
        // What goes through the bus in one message is far longer.
        1 << 20
    }
}

impl SecretService {
    pub(super) fn on_bus(address: String) -> Self {
        Self { address: Some(address), kept: Mutex::default() }
    }

    /// Does it on the connection that is kept, or on a new one: the keyring may have been started anew since, and all that is done here may be
    /// done twice.
    fn with<T>(&self, work: impl Fn(&mut Session) -> Result<T, Trouble>) -> Result<T, KeyringError> {
        let end = Instant::now().checked_add(LIMIT).unwrap_or_else(Instant::now);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // A forked child must not talk on its parent's connection.
        let old = kept.take().filter(|session| session.process == std::process::id());
        if let Some(mut session) = old {
            session.end = end;
            if let Ok(done) = work(&mut session) {
                *kept = Some(session);
                return Ok(done);
            }
        }
        let mut session = Session::open(self.address.clone().or_else(address), end).map_err(Trouble::told)?;
        let done = work(&mut session).map_err(Trouble::told)?;
        *kept = Some(session);
        Ok(done)
    }
}

impl fmt::Debug for SecretService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretService")
    }
}

enum Trouble {
    Bus(Fault),
    Known(KeyringError),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Said(name) if name == "org.freedesktop.Secret.Error.IsLocked" => Self::Known(KeyringError::locked()),
            Fault::Said(name) if NOBODY_THERE.contains(&name.as_str()) => Self::Known(KeyringError::new(
                "no program on the session bus keeps secrets (org.freedesktop.secrets)",
                "start one: gnome-keyring-daemon, KWallet or KeePassXC",
            )),
            fault => Self::Bus(fault),
        }
    }
}

impl Trouble {
    fn told(self) -> KeyringError {
        let fault = match self {
            Self::Known(error) => return error,
            Self::Bus(fault) => fault,
        };
        match fault {
            Fault::TimedOut => KeyringError::timed_out(),
            Fault::Broken(why) => KeyringError::new(
                format!("the session bus, on which the keyring is, cannot be used: {why}"),
                "see whether DBUS_SESSION_BUS_ADDRESS is that of a bus which runs",
            ),
            Fault::Said(name) => {
                KeyringError::new(format!("the keyring answers {name}"), "see to it with the keyring's own program")
            }
            Fault::Malformed => KeyringError::new(
                "the keyring gives an answer that makes no sense",
                "see to it with the keyring's own program",
            ),
        }
    }
}

struct Session {
    bus: Bus,
    /// The session's object, for secrets that pass.
    path: String,
    /// When the operation that runs must be over.
    end: Instant,
    process: u32,
}

impl Session {
    fn open(address: Option<String>, end: Instant) -> Result<Self, Trouble> {
        let address = address.ok_or_else(|| {
            Trouble::Known(KeyringError::new(
                "there is no session bus, on which a keyring would be",
                "sign in to the desktop, or start one (dbus-run-session) and set DBUS_SESSION_BUS_ADDRESS",
            ))
        })?;
        let bus = Bus::connect(&address, end)?;
        let mut session = Self { bus, path: String::new(), end, process: std::process::id() };
        let mut body = Body::new("sv", 64);
        body.string("plain");
        body.signature("s");
        body.string("");
        let answer = session.call(SERVICE, SERVICE_INTERFACE, "OpenSession", body)?;
        let mut reader = answer.reader();
        // A variant, which is empty, and the session.
        let path = (|| {
            (reader.signature()? == "s").then_some(())?;
            reader.string()?;
            reader.string()
        })();
        session.path = path.ok_or(Fault::Malformed)?.to_owned();
        Ok(session)
    }

    fn call(&mut self, path: &str, interface: &str, member: &str, body: Body) -> Result<Answer, Trouble> {
        Ok(self.bus.call(Call { destination: NAME, path, interface, member, body }, self.end)?)
    }

    /// The item of this service and account. Other programs call the account `username`.
    fn find(&mut self, service: &str, account: &str) -> Result<Option<String>, Trouble> {
        for name in ["account", "username"] {
            let mut body = Body::new("a{ss}", 256);
            body.dictionary(&[("service", service), (name, account)]);
            let answer = self.call(SERVICE, SERVICE_INTERFACE, "SearchItems", body)?;
            let mut reader = answer.reader();
            let unlocked = reader.paths().ok_or(Fault::Malformed)?;
            let locked = reader.paths().ok_or(Fault::Malformed)?;
            // Of several always the same one.
            if let Some(item) = unlocked.into_iter().min() {
                return Ok(Some(item.to_owned()));
            }
            if let Some(item) = locked.into_iter().min() {
                let item = item.to_owned();
                self.unlock(&item)?;
                return Ok(Some(item));
            }
        }
        // A keyring that is locked may not know what is in it.
        self.default_collection()?;
        Ok(None)
    }

    /// Where new items go, and whether it is open.
    fn default_collection(&mut self) -> Result<String, Trouble> {
        let mut body = Body::new("s", 32);
        body.string("default");
        let answer = self.call(SERVICE, SERVICE_INTERFACE, "ReadAlias", body)?;
        let path = answer.reader().string().ok_or(Fault::Malformed)?.to_owned();
        if path == NONE {
            return Err(Trouble::Known(KeyringError::new(
                "there is no default keyring",
                "create one with the keyring's own program, or sign in to the desktop once",
            )));
        }
        let mut body = Body::new("ss", 128);
        body.string(COLLECTION_INTERFACE);
        body.string("Locked");
        let answer = self.call(&path, "org.freedesktop.DBus.Properties", "Get", body)?;
        let mut reader = answer.reader();
        match (reader.signature(), reader.bool()) {
            (Some("b"), Some(false)) => {}
            (Some("b"), Some(true)) => self.unlock(&path)?,
            _ => return Err(Fault::Malformed.into()),
        }
        Ok(path)
    }

    /// Unlocks what can be unlocked without asking anybody.
    fn unlock(&mut self, path: &str) -> Result<(), Trouble> {
        let mut body = Body::new("ao", 256);
        body.array(4, |body| body.string(path));
        let answer = self.call(SERVICE, SERVICE_INTERFACE, "Unlock", body)?;
        let mut reader = answer.reader();
        reader.paths().ok_or(Fault::Malformed)?;
        self.without_prompt(reader.string())
    }

    /// What needs a prompt is not done.
    fn without_prompt(&mut self, prompt: Option<&str>) -> Result<(), Trouble> {
        match prompt {
            Some(NONE) => Ok(()),
            Some(prompt) => {
                // Best effort: it ends with the connection, too.
                let _ = self.call(prompt, "org.freedesktop.Secret.Prompt", "Dismiss", Body::default());
                Err(Trouble::Known(KeyringError::locked()))
            }
            None => Err(Fault::Malformed.into()),
        }
    }

    fn secret(&mut self, item: &str) -> Result<Secret, Trouble> {
        let mut body = Body::new("o", 256);
        body.string(&self.path);
        let answer = self.call(item, ITEM_INTERFACE, "GetSecret", body)?;
        let mut reader = answer.reader();
        // `(oayays)`: session, parameters, value, content type.
        let value = (|| {
            reader.align(8)?;
            reader.string()?;
            reader.bytes()?;
            reader.bytes()
        })();
        let text = std::str::from_utf8(value.ok_or(Fault::Malformed)?);
        let text = text.map_err(|_| Trouble::Known(KeyringError::no_text()))?;
        Ok(Secret::from(Zeroizing::new(text.to_owned())))
    }

    fn replace(&mut self, item: &str, secret: &str) -> Result<(), Trouble> {
        let mut body = Body::new("(oayays)", secret.len().saturating_add(512));
        self.put(&mut body, secret);
        self.call(item, ITEM_INTERFACE, "SetSecret", body).map(drop)
    }

    fn create(&mut self, service: &str, account: &str, secret: &str) -> Result<(), Trouble> {
        let collection = self.default_collection()?;
        let label = format!("{service}/{account}");
        let room = [secret.len(), label.len(), label.len(), 1024].iter().sum();
        let mut body = Body::new("a{sv}(oayays)b", room);
        body.array(8, |body| {
            body.align(8);
            body.string("org.freedesktop.Secret.Item.Label");
            body.signature("s");
            body.string(&label);
            body.align(8);
            body.string("org.freedesktop.Secret.Item.Attributes");
            body.signature("a{ss}");
            body.dictionary(&[("service", service), ("account", account)]);
        });
        self.put(&mut body, secret);
        // An item with these attributes is replaced, should somebody have made one meanwhile.
        body.u32(1);
        let answer = self.call(&collection, COLLECTION_INTERFACE, "CreateItem", body)?;
        let mut reader = answer.reader();
        reader.string().ok_or(Fault::Malformed)?;
        self.without_prompt(reader.string())
    }

    fn put(&self, body: &mut Body, secret: &str) {
        body.align(8);
        body.string(&self.path);
        body.blob(&[]);
        body.blob(secret.as_bytes());
        body.string("text/plain; charset=utf8");
    }

    fn delete(&mut self, item: &str) -> Result<(), Trouble> {
        let answer = self.call(item, ITEM_INTERFACE, "Delete", Body::default())?;
        self.without_prompt(answer.reader().string())
    }
}

/// The session bus: what the environment says; for programs that are started without one, the place where systemd has it.
fn address() -> Option<String> {
    let said = std::env::var("DBUS_SESSION_BUS_ADDRESS").ok().filter(|address| !address.is_empty());
    said.or_else(|| {
        let place = format!("/run/user/{}/bus", rustix::process::geteuid().as_raw());
        std::fs::symlink_metadata(&place).is_ok().then(|| format!("unix:path={place}"))
    })
}

const NAME: &str = "org.freedesktop.secrets";
const SERVICE: &str = "/org/freedesktop/secrets";
const SERVICE_INTERFACE: &str = "org.freedesktop.Secret.Service";
const COLLECTION_INTERFACE: &str = "org.freedesktop.Secret.Collection";
const ITEM_INTERFACE: &str = "org.freedesktop.Secret.Item";
/// The path that stands for nothing.
const NONE: &str = "/";
const NOBODY_THERE: [&str; 3] = [
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.DBus.Error.NameHasNoOwner",
    "org.freedesktop.DBus.Error.Spawn.ServiceNotFound",
];
