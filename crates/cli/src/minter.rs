//! The minter: this program once more, in a process of its own, for a mint that must outlive whoever asked for it.

use crate::args::{Args, MintArgs};
use crate::commands::runtime;
use crate::failure::{Failure, OTHER, USAGE};
use crate::handout::HereClock;
use crate::project::Project;
use crate::shared::{self, Subject};
use crate::sys;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use unexpired::config::Export;
use unexpired::store::{FileStore, Locked};
use unexpired::{ErrorKind, MintRequest, SystemClock, Timestamp, TokenManager, TokenOptions};

/// How to start it for one token.
pub(crate) struct Minter(Vec<OsString>);

impl Minter {
    pub(crate) fn configured(config: &Path, name: &str) -> Self {
        let config = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
        Self(vec!["--config".into(), config.into(), "--".into(), name.into()])
    }

    pub(crate) fn of_environment(provider: &str, scope: Option<&str>) -> Self {
        let mut args: Vec<OsString> = vec!["--provider".into(), provider.into()];
        if let Some(scope) = scope {
            args.push(format!("--scope={scope}").into());
        }
        Self(args)
    }

    /// Starts it in a process group of its own, with nothing of ours but the environment and, where there is one, the lock: it is never free in
    /// between.
    ///
    /// A token that arrived before `asked` is not good enough, nor is one that lives less than `least`.
    pub(crate) fn start(
        &self,
        locked: Option<Locked>,
        asked: Option<Timestamp>,
        least: Duration,
    ) -> std::io::Result<Child> {
        let mut command = Command::new(sys::this_program()?);
        command.arg("mint");
        if let Some(asked) = asked {
            command.arg(format!("--asked-at={}", asked.boot_nanos()));
        }
        if !least.is_zero() {
            command.arg(format!("--min-ttl={}ms", least.as_millis()));
        }
        command.args(&self.0).current_dir(sys::ROOT).stdout(Stdio::null()).stderr(Stdio::null());
        match locked {
            Some(locked) if Locked::CAN_HAND_OVER => command.stdin(Stdio::from(locked.hand_over()?)),
            _ => command.stdin(Stdio::null()),
        };
        sys::detach(&mut command);
        command.spawn()
    }
}

/// `unexpired mint`: takes the lock, or has inherited it, and mints.
pub(crate) fn run(args: &Args, own: &MintArgs) -> Result<(), Failure> {
    let subject = match (&own.name, own.provider) {
        (Some(name), _) => {
            let project = Project::load(args)?;
            if project.token(name)?.export() == Export::Never {
                return Err(Failure::of(
                    ErrorKind::Forbidden,
                    format!("{name}: the token is not kept: export = \"never\""),
                ));
            }
            Subject::configured(&project, name)?
        }
        (None, Some(provider)) => Subject::of_environment(provider.name(), own.scope.as_deref())?,
        (None, None) => return Err(Failure::new(USAGE, "name a token or a provider")),
    };
    let Some(store) = shared::open(args, subject.store)?.map(FileStore::in_place) else {
        return Err(Failure::new(OTHER, "the store cannot be used").hint("see why: unexpired doctor"));
    };
    let key = subject.stored(store.clone()).key();
    let inherited = match sys::inherited_lock() {
        Some(file) => store.inherit(&key, file).unwrap_or_default(),
        None => None,
    };
    let locked = match inherited {
        Some(locked) => Some(locked),
        None => store.lock_now(&key, LONGEST_WAIT).map_err(|error| Failure::of(ErrorKind::Unavailable, error))?,
    };
    let Some(locked) = locked else {
        return Err(Failure::of(
            ErrorKind::TimedOut,
            format!("{}: another process is minting all the time", subject.name),
        ));
    };
    let held = shared::look(&store, &key, &*subject.source).usable(now()).is_some();
    let mut stored = subject.stored(store.handing_out(locked));
    if let Some(asked) = own.asked_at {
        stored = stored.newer_than(Timestamp::from_nanos(asked, 0));
    }
    let least = own.min_ttl.unwrap_or_default();
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        if held {
            // Nobody waits: one attempt, and the next is somebody else's.
            let request = MintRequest::standalone_on(Arc::new(HereClock)).with_min_ttl(least);
            stored.renew(request).await.map(drop).map_err(|error| Failure::of(error.kind(), &error))
        } else {
            let handle = runtime.handle().clone();
            let manager = TokenManager::builder(subject.name.as_str(), stored)
                .min_ttl(subject.min_ttl)
                .clock(Arc::new(HereClock))
                .spawner(move |flight| drop(handle.spawn(flight)))
                .build();
            manager.token_with(TokenOptions::new().min_ttl(least)).await.map(drop).map_err(Failure::from)
        }
    });
    runtime.shutdown_background();
    outcome
}

fn now() -> Timestamp {
    use unexpired::Clock as _;
    SystemClock.now()
}

/// Longer than any mint takes.
const LONGEST_WAIT: Duration = Duration::from_secs(25);
