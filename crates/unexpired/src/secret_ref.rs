//! Where a secret is: a file, an environment variable, an entry of the keyring, the output of a program.

use crate::{BoxFuture, ErrorKind, MintError, Secret, SecretSource};
use std::fmt;
use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The place of a secret. The secret is read when it is needed, at every mint, and never kept: a replaced file takes effect without a restart.
///
/// ```
/// use std::sync::Arc;
/// use unexpired::{SecretRef, SecretSource};
///
/// let client_secret: Arc<dyn SecretSource> = Arc::new(SecretRef::file("/run/secrets/corp"));
/// # let _ = client_secret;
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SecretRef {
    /// A file of at most 1 MiB of UTF-8. One line end after the secret is not part of it.
    ///
    /// [`revision`](SecretSource::revision) is made of the file's number, size and time of change, so a refusal is forgotten as soon as the
    /// file is replaced.
    File(PathBuf),
    /// An environment variable of this process.
    Env(String),
    /// A program and its arguments, without a shell. It is started in `/` with nothing on its standard input, may take 10 s, and prints the
    /// secret and nothing else; one line end after it is not part of it. A program without a path is looked up in the absolute entries of `PATH`.
    #[cfg(feature = "command")]
    Command(Vec<String>),
    /// An entry of the operating system's keyring: see [`unexpired_store::keyring`]. It is read at every mint, which takes at most 4 s; nobody is
    /// asked to unlock a keyring that is locked. [`revision`](SecretSource::revision) does not look at it, so a refusal that is remembered
    /// is not forgotten when the entry changes.
    #[cfg(feature = "keyring")]
    Keyring {
        /// The service.
        service: String,
        /// The account at that service.
        account: String,
    },
}

impl SecretRef {
    /// A secret in a file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::File(path.into())
    }

    /// A secret in an environment variable.
    pub fn env(name: impl Into<String>) -> Self {
        Self::Env(name.into())
    }

    /// A secret that a program prints.
    #[cfg(feature = "command")]
    pub fn command<T: Into<String>>(argv: impl IntoIterator<Item = T>) -> Self {
        Self::Command(argv.into_iter().map(Into::into).collect())
    }

    /// A secret in the operating system's keyring.
    #[cfg(feature = "keyring")]
    pub fn keyring(service: impl Into<String>, account: impl Into<String>) -> Self {
        Self::Keyring { service: service.into(), account: account.into() }
    }

    /// A text that only the same place has. To be digested, not shown: a command's arguments are in it.
    #[cfg(feature = "config")]
    pub(crate) fn place(&self) -> String {
        match self {
            Self::File(path) => format!("file\0{}", path.display()),
            Self::Env(name) => format!("env\0{name}"),
            Self::Command(argv) => format!("command\0{}", argv.join("\0")),
            #[cfg(feature = "keyring")]
            Self::Keyring { service, account } => format!("keyring\0{service}\0{account}"),
        }
    }
}

impl SecretRef {
    /// Whether there is something at the place, without reading it. What a program would print is not asked, and neither is the keyring: it would
    /// give the secret away.
    #[cfg(feature = "config")]
    pub(crate) fn check(&self) -> Result<(), MintError> {
        match self {
            Self::File(path) => open_now(path).map(drop),
            Self::Env(name) => read_variable(name).map(drop),
            #[cfg(feature = "command")]
            Self::Command(_) => Ok(()),
            #[cfg(feature = "keyring")]
            Self::Keyring { .. } => Ok(()),
        }
    }
}

impl SecretSource for SecretRef {
    fn secret(&self) -> BoxFuture<'_, Result<Secret, MintError>> {
        match self {
            Self::File(path) => Box::pin(read_file(path.clone())),
            Self::Env(name) => Box::pin(std::future::ready(read_variable(name))),
            #[cfg(feature = "command")]
            Self::Command(argv) => Box::pin(run(argv.clone())),
            #[cfg(feature = "keyring")]
            Self::Keyring { service, account } => Box::pin(keyring::read(service.clone(), account.clone())),
        }
    }

    fn revision(&self) -> u64 {
        match self {
            Self::File(path) => fs::metadata(path).map_or(0, |metadata| stamp(&metadata)),
            _ => 0,
        }
    }
}

/// Shows the place, and of a command the program alone: arguments may say more than they should.
impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "SecretRef(file {path:?})"),
            Self::Env(name) => write!(f, "SecretRef(env {name})"),
            #[cfg(feature = "command")]
            Self::Command(argv) => {
                write!(f, "SecretRef(command {:?} …)", argv.first().map(String::as_str).unwrap_or_default())
            }
            #[cfg(feature = "keyring")]
            Self::Keyring { service, account } => write!(f, "SecretRef(keyring {service}/{account})"),
        }
    }
}

/// The file may lie on a disk that does not answer: the thread that waits for it must not be the one that all mints share.
async fn read_file(path: PathBuf) -> Result<Secret, MintError> {
    let given_up = || Err(MintError::new(ErrorKind::Unavailable, "reading the secret's file was given up"));
    off_thread(move || read_now(&path)).await.unwrap_or_else(given_up)
}

/// Runs what may wait for a disk on a thread for such things, if there is a runtime that has one. `None`: the runtime ended.
pub(crate) async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime.spawn_blocking(work).await.ok(),
        Err(_) => Some(work()),
    }
}

pub(crate) fn read_now(path: &Path) -> Result<Secret, MintError> {
    let wrong = |what: &str, remedy: &str| wrong_file(path, what, remedy);
    let (file, size) = open_now(path)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(size.min(MAX_SIZE)).unwrap_or_default()));
    file.take(MAX_SIZE.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(wrong("is larger than 1 MiB", "name a file that holds the secret and nothing else"));
    }
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return Err(wrong("is not UTF-8", "name a file that holds the secret as text"));
    };
    let text = without_line_end(text);
    if text.is_empty() {
        return Err(wrong("is empty", "put the secret there"));
    }
    Ok(Secret::new(text))
}

/// The file and its size.
fn open_now(path: &Path) -> Result<(fs::File, u64), MintError> {
    // A pipe would have to be opened to learn that it is one, and that waits for a writer.
    let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        return Err(wrong_file(path, "is no regular file", "name a file that holds the secret"));
    }
    let file = fs::File::open(path).map_err(|error| unreadable(path, &error))?;
    Ok((file, metadata.len()))
}

fn unreadable(path: &Path, error: &std::io::Error) -> MintError {
    let what = match error.kind() {
        std::io::ErrorKind::NotFound => "does not exist".to_owned(),
        kind => format!("cannot be read: {kind}"),
    };
    wrong_file(path, &what, "put the secret there, readable for this user")
}

fn wrong_file(path: &Path, what: &str, remedy: &str) -> MintError {
    MintError::new(ErrorKind::Misconfigured, format!("the secret's file {} {what}", shown(path))).remedy(remedy)
}

fn read_variable(name: &str) -> Result<Secret, MintError> {
    let wrong = |what: &str| {
        MintError::new(ErrorKind::Misconfigured, format!("the environment variable {name} {what}"))
            .remedy(format!("set {name} to the secret"))
    };
    match std::env::var(name) {
        Ok(text) if text.is_empty() => Err(wrong("is empty")),
        Ok(text) => Ok(Secret::new(text)),
        Err(std::env::VarError::NotPresent) => Err(wrong("is not set")),
        Err(std::env::VarError::NotUnicode(_)) => Err(wrong("is not UTF-8")),
    }
}

/// An empty secret would be sent as one.
#[cfg(feature = "command")]
async fn run(argv: Vec<String>) -> Result<Secret, MintError> {
    // It must not be taken for a source of the same name.
    let secrets = |error: MintError| {
        let told = MintError::new(error.kind(), format!("the secret's command: {}", error.message()));
        match error.remedy_text() {
            Some(remedy) => told.remedy(remedy),
            None => told,
        }
    };
    let command = unexpired_command::Command::argv(argv).build().map_err(secrets)?;
    let secret = command.secret().await.map_err(secrets)?;
    if secret.is_empty() {
        return Err(MintError::new(ErrorKind::Misconfigured, "the secret's command printed an empty line"));
    }
    Ok(secret)
}

#[cfg(feature = "keyring")]
mod keyring {
    use super::{ErrorKind, MintError, Secret, off_thread};
    use unexpired_core::text::one_line;
    use unexpired_store::keyring::{Keyring, KeyringError, SystemKeyring};

    /// The keyring may be slow, or wait for a person.
    pub(super) async fn read(service: String, account: String) -> Result<Secret, MintError> {
        let given_up = || Err(MintError::new(ErrorKind::Unavailable, "asking the keyring was given up"));
        off_thread(move || read_now(&SystemKeyring::new(), &service, &account)).await.unwrap_or_else(given_up)
    }

    pub(super) fn read_now(keyring: &dyn Keyring, service: &str, account: &str) -> Result<Secret, MintError> {
        let entry = one_line(&format!("{service}/{account}"), 80);
        let wrong = |what: &str| {
            let remedy = format!("put the secret there: unexpired secret set {entry}");
            Err(MintError::new(ErrorKind::Misconfigured, format!("the keyring's entry {entry} {what}")).remedy(remedy))
        };
        match keyring.get(service, account) {
            Ok(Some(secret)) if secret.is_empty() => wrong("is empty"),
            Ok(Some(secret)) => Ok(secret),
            Ok(None) => wrong("does not exist"),
            Err(error) => Err(told(&error)),
        }
    }

    fn told(error: &KeyringError) -> MintError {
        MintError::new(ErrorKind::Unavailable, error.what()).remedy(error.remedy())
    }
}

/// Without the one line end that editors and `echo` put after a text.
pub(crate) fn without_line_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// Changes when the file is replaced or written.
pub(crate) fn stamp(metadata: &Metadata) -> u64 {
    let mut hasher = DefaultHasher::new();
    metadata.modified().ok().hash(&mut hasher);
    metadata.len().hash(&mut hasher);
    crate::sys::file_number(metadata).hash(&mut hasher);
    hasher.finish()
}

/// Of a long path the end tells more. Paths are not masked by accident: `MintError` masks what looks like a token.
pub(crate) fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    let skip = text.chars().count().saturating_sub(80);
    if skip == 0 { text } else { format!("…{}", text.chars().skip(skip).collect::<String>()) }
}

const MAX_SIZE: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "keyring")]
    use unexpired_store::keyring::{Keyring, KeyringError};

    fn secret_of(place: &SecretRef) -> Result<String, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let inside = runtime.block_on(place.secret());
        inside.map(|secret| secret.expose().to_owned()).map_err(|error| {
            assert_eq!(error.kind(), ErrorKind::Misconfigured);
            error.to_string()
        })
    }

    #[test]
    fn a_file_is_read_anew_and_one_line_end_is_not_part_of_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let place = SecretRef::file(&path);
        assert!(secret_of(&place).unwrap_err().contains("does not exist"));
        let absent = place.revision();
        let mut seen = vec![absent];
        for (text, secret) in
            [("a", "a"), ("bb\n", "bb"), ("ccc\r\n", "ccc"), ("dddd\n\n", "dddd\n"), (" e e ", " e e ")]
        {
            // Replaced as tools do it: a new file takes the name.
            let new = folder.path().join("new");
            fs::write(&new, text).unwrap();
            fs::rename(&new, &path).unwrap();
            assert_eq!(secret_of(&place).as_deref(), Ok(secret));
            assert!(!seen.contains(&place.revision()), "{text:?}");
            seen.push(place.revision());
        }
    }

    #[test]
    fn what_is_no_secret_is_refused_without_showing_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let place = SecretRef::file(&path);
        fs::write(&path, "\n").unwrap();
        assert!(secret_of(&place).unwrap_err().contains("is empty"));
        fs::write(&path, b"hunter2\xff").unwrap();
        let error = secret_of(&place).unwrap_err();
        assert!(error.contains("not UTF-8") && !error.contains("hunter2"));
        fs::write(&path, "x".repeat((1 << 20) + 1)).unwrap();
        assert!(secret_of(&place).unwrap_err().contains("larger than"));
        assert!(secret_of(&SecretRef::file(folder.path())).unwrap_err().contains("no regular file"));
        assert!(secret_of(&SecretRef::env("UNEXPIRED_TEST_SURELY_UNSET")).unwrap_err().contains("is not set"));
    }

    /// A keyring with one entry, or none that can be asked.
    #[cfg(feature = "keyring")]
    #[derive(Debug)]
    struct Fake(Option<&'static str>);

    #[cfg(feature = "keyring")]
    impl Keyring for Fake {
        fn get(&self, service: &str, account: &str) -> Result<Option<Secret>, KeyringError> {
            let Some(text) = self.0 else {
                return Err(KeyringError::new("the keyring is locked", "unlock it"));
            };
            Ok(((service, account) == ("corp", "ci")).then(|| Secret::new(text)))
        }

        fn set(&self, _: &str, _: &str, _: &str) -> Result<(), KeyringError> {
            unreachable!("it is only read")
        }

        fn remove(&self, _: &str, _: &str) -> Result<bool, KeyringError> {
            unreachable!("it is only read")
        }

        fn check(&self) -> Result<(), KeyringError> {
            unreachable!("it is only read")
        }

        fn longest(&self) -> usize {
            100
        }
    }

    #[cfg(feature = "keyring")]
    #[test]
    fn an_entry_of_the_keyring() {
        let read = |held, account| keyring::read_now(&Fake(held), "corp", account);
        assert_eq!(read(Some("fake"), "ci").unwrap().expose(), "fake");
        for (held, account, kind, text) in [
            (
                Some("fake"),
                "no",
                ErrorKind::Misconfigured,
                "the keyring's entry corp/no does not exist; put the secret there: unexpired secret set corp/no",
            ),
            (Some(""), "ci", ErrorKind::Misconfigured, "is empty"),
            (None, "ci", ErrorKind::Unavailable, "the keyring is locked; unlock it"),
        ] {
            let error = read(held, account).unwrap_err();
            assert!(error.kind() == kind && error.to_string().contains(text), "{error}");
        }
        let place = SecretRef::keyring("corp", "ci");
        assert_eq!(place.revision(), 0, "and nothing was asked");
        assert_eq!(format!("{place:?}"), "SecretRef(keyring corp/ci)");
    }

    #[test]
    fn debug_shows_the_place_only() {
        assert_eq!(format!("{:?}", SecretRef::file("/a/b")), "SecretRef(file \"/a/b\")");
        assert_eq!(format!("{:?}", SecretRef::env("N")), "SecretRef(env N)");
        #[cfg(feature = "command")]
        assert_eq!(format!("{:?}", SecretRef::command(["p", "hunter2"])), "SecretRef(command \"p\" …)");
    }
}
