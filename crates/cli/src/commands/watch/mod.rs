//! `unexpired watch`: keeps a token fresh where other programs look for it, in a file or by a program that passes it on.

mod file;
mod form;
mod hook;

use crate::args::{Args, WatchArgs, WatchFormat};
use crate::commands::{rfc3339, runtime};
use crate::failure::{Failure, USAGE};
use crate::out;
use crate::project::{Project, narrate};
use crate::shared::{self, Subject};
use crate::signals::End;
use crate::sys::Owner;
use file::TokenFile;
use form::Form;
use hook::Hook;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use unexpired::config::{Export, TokenConfig};
use unexpired::store::{FileStore, Locked, StoreKind};
use unexpired::{
    Challenge, Clock as _, Error, ErrorKind, Event, StoreKey, SystemClock, Timestamp, Token, TokenManager,
    TokenOptions, TokenRecord, TokenSource,
};

pub(crate) fn run(args: &Args, own: &WatchArgs) -> Result<(), Failure> {
    // Before the first secret is read.
    unexpired_proxy::protect_memory();
    let project = Project::load(args)?;
    let token = project.token(&own.name)?;
    check(token, &project)?;
    let mut file = own.file.as_ref().map(|_| file(own, token)).transpose()?;
    let hooks = hooks(own)?;
    let subject = Subject::configured(&project, &own.name)?;
    let kept = match subject.store {
        StoreKind::File => FileStore::open_default()
            .inspect_err(|error| {
                out::to_stderr(&format!("warning: the token is not shared with other processes: {error}"));
            })
            .ok(),
        kind => shared::open(args, kind)?,
    };
    let kept = kept.map(|store| Kept::new(store, &subject));
    let _lock = match (&kept, &file) {
        (Some(kept), Some(file)) => Some(kept.alone(file)?),
        _ => None,
    };
    if let (Some(kept), Some(file)) = (&kept, &mut file) {
        file.recognise(&kept.any());
    }

    let failed = Arc::new(Notify::new());
    let manager = manager(args, &subject, kept.as_ref(), failed.clone());
    let (pushed, pushes) = watch::channel(None);
    let mut watch = Watch { manager, kept, file, pushed, told: None };
    let runtime = runtime()?;
    runtime.block_on(async {
        // Listened for before anything is said, so that whoever reads it may end this at once.
        let mut end = End::listen()?;
        tell(&watch, &hooks, &own.name);
        let following: Vec<_> = hooks.into_iter().map(|hook| tokio::spawn(hook.follow(pushes.clone()))).collect();
        tokio::select! {
            () = end.wait() => {}
            () = watch.forever(&failed) => {}
        }
        drop(watch);
        // A program that runs may end.
        let ended = async {
            for task in following {
                let _ = task.await;
            }
        };
        let _ = tokio::time::timeout(LONGEST_END, ended).await;
        Ok(())
    })
}

/// Whether it may be written at all.
fn check(token: &TokenConfig, project: &Project) -> Result<(), Failure> {
    let name = token.name();
    if token.export() == Export::Never {
        let line = format!("{name}: the token is written nowhere: export = \"never\"");
        return Err(Failure::of(ErrorKind::Forbidden, line)
            .hint(format!("serve it without showing it: {} proxy ROUTE", project.command)));
    }
    if token.is_aws_credentials() {
        let line = format!("{name}: these are AWS keys, which sign requests and are no bearer token");
        return Err(Failure::of(ErrorKind::Forbidden, line)
            .hint(format!("for AWS clients: credential_process = unexpired helper aws {name}")));
    }
    Ok(())
}

fn file(own: &WatchArgs, token: &TokenConfig) -> Result<TokenFile, Failure> {
    let path = own.file.clone().unwrap_or_default();
    let path = std::path::absolute(&path)
        .map_err(|error| Failure::new(USAGE, format!("{}: {}", path.display(), error.kind())))?;
    let owner = own.owner.as_deref().map_or_else(|| Ok(Owner::default()), Owner::parse);
    let owner = owner.map_err(|what| Failure::new(USAGE, format!("--owner: {what}")))?;
    let form = Form::of(own.format.unwrap_or(WatchFormat::Raw), token)?;
    TokenFile::open(path, form, own.mode.unwrap_or(0o600), owner)
}

fn hooks(own: &WatchArgs) -> Result<Vec<Hook>, Failure> {
    let mut hooks = Vec::new();
    if let Some(argv) = &own.exec {
        hooks.push(Hook::exec(&own.name, argv, own.env.as_deref())?);
    }
    if let Some(provider) = &own.openshell {
        hooks.push(Hook::openshell(&own.name, provider, own.credential.as_deref())?);
    }
    Ok(hooks)
}

fn manager(args: &Args, subject: &Subject, kept: Option<&Kept>, failed: Arc<Notify>) -> TokenManager {
    let source: Arc<dyn TokenSource> = match kept {
        Some(kept) => Arc::new(subject.stored(kept.store.clone())),
        None => subject.source.clone(),
    };
    let verbose = args.verbose;
    let builder = TokenManager::builder(subject.name.as_str(), source).min_ttl(subject.min_ttl);
    let builder = builder.on_event(move |event| {
        if verbose {
            narrate(event);
        }
        if matches!(event, Event::Failed { .. }) {
            failed.notify_one();
        }
    });
    builder.build()
}

/// Says what is done. The token itself is shown nowhere.
fn tell(watch: &Watch, hooks: &[Hook], name: &str) {
    if let Some(file) = &watch.file {
        out::to_stderr(&format!("keeping {} fresh with token {name}", file.path().display()));
    }
    for hook in hooks {
        out::to_stderr(&format!("running {} with each new token {name}", hook.shown()));
    }
}

/// The record that every process of this user shares.
struct Kept {
    store: FileStore,
    key: StoreKey,
    source: Arc<dyn TokenSource>,
}

impl Kept {
    fn new(store: FileStore, subject: &Subject) -> Self {
        let key = subject.stored(store.clone()).key();
        Self { store, key, source: subject.source.clone() }
    }

    /// What is known of the token under its present credential.
    fn record(&self) -> TokenRecord {
        shared::look(&self.store, &self.key, &*self.source)
    }

    /// What was known of it under any credential.
    fn any(&self) -> TokenRecord {
        match self.store.load_now(&self.key) {
            Ok(Some(unexpired::Record::Token(record))) => *record,
            _ => TokenRecord::default(),
        }
    }

    /// Two that keep one file would write in turns for ever.
    fn alone(&self, file: &TokenFile) -> Result<Locked, Failure> {
        let key = StoreKey::of(&["watch", &file.path().to_string_lossy()]);
        let cannot = |why: &dyn std::fmt::Display| Failure::new(USAGE, format!("{}: {why}", file.path().display()));
        match self.store.lock_now(&key, LONGEST_WAIT_FOR_PATH) {
            Ok(Some(lock)) => Ok(lock),
            Ok(None) => Err(cannot(&"another `watch` keeps this file").hint("end that one, or name another file")),
            Err(error) => Err(cannot(&error)),
        }
    }
}

struct Watch {
    manager: TokenManager,
    kept: Option<Kept>,
    file: Option<TokenFile>,
    /// The token for the programs.
    pushed: watch::Sender<Option<Token>>,
    /// The failure that people were told of last.
    told: Option<String>,
}

impl Watch {
    async fn forever(&mut self, failed: &Notify) {
        let mut arrivals = self.manager.subscribe();
        // What comes first is waited for: only then is it known whether there is a token.
        let _ = self.manager.token_with(TokenOptions::new().timeout(LONGEST_MINT)).await;
        self.manager.keep_fresh();
        loop {
            self.step().await;
            tokio::select! {
                _ = arrivals.changed() => {}
                () = failed.notified() => {}
                // Short enough for a machine that slept, a file that somebody took away, a token that another process has got.
                () = tokio::time::sleep(self.pause()) => {}
            }
        }
    }

    /// Brings the file and the programs up to what is known.
    async fn step(&mut self) {
        let now = SystemClock.now();
        let record = self.kept.as_ref().map(Kept::record).unwrap_or_default();
        let token = self.current(&record, now).await;
        let failure = self.failure(&record, token.is_none(), now);
        self.tell(failure.as_ref(), token.as_ref());
        if let Some(token) = token {
            if let Some(file) = &mut self.file {
                file.keep(&token);
            }
            self.pushed.send_if_modified(|pushed| {
                let new = pushed.as_ref().is_none_or(|pushed| pushed.digest() != token.digest());
                if new {
                    *pushed = Some(token);
                }
                new
            });
        } else if let Some(file) = &mut self.file {
            file.clear();
            let (error, next) = failure.map_or_else(
                || ("no token yet".to_owned(), now),
                |failure| (failure.error.to_string(), failure.not_before),
            );
            let next = rfc3339((now + next.since(now)).system_time());
            file.mark(&format!("error: {error}\nnext attempt not before {next}\n"));
        }
    }

    /// The token that is good for use now: the shared one, else the one of this process, else what an earlier run left in the file.
    async fn current(&self, record: &TokenRecord, now: Timestamp) -> Option<Token> {
        if let Some(token) = record.usable(now) {
            return Some(token.clone());
        }
        let refused =
            |token: &Token| record.rejection.as_ref().is_some_and(|rejection| rejection.digest == token.digest());
        if let Some(held) = self.manager.cached() {
            if !refused(&held) {
                return Some(held);
            }
            // Another process says that it was refused. Which replacement is good the store knows, so this process has no doubts of its own.
            self.manager.reject(&held, STORE, &Challenge::Plain);
            let answer = self.manager.token_with(TokenOptions::new().timeout(LONGEST_MINT)).await;
            if let Ok(answer) = answer {
                self.manager.accepted(&answer.token, STORE);
                return Some(answer.token);
            }
        }
        self.file.as_ref()?.living(now).filter(|token| !refused(token)).cloned()
    }

    /// Why there is no newer token, if that is so.
    fn failure(&self, record: &TokenRecord, without: bool, now: Timestamp) -> Option<Trouble> {
        let name = self.manager.name();
        if let Some(failure) = &record.failure {
            return Some(Trouble { error: Error::new(name, failure.error.clone()), not_before: failure.not_before });
        }
        // Without a store, or where the failure is none that others are told of.
        if !without && self.kept.is_some() {
            return None;
        }
        let status = self.manager.status();
        let error = Error::new(name, status.last_error?.cause().clone());
        let wait = status.next_attempt.and_then(|at| at.duration_since(now.system_time()).ok()).unwrap_or_default();
        Some(Trouble { error, not_before: now + wait })
    }

    /// Tells people of a failure once, and of its end.
    fn tell(&mut self, failure: Option<&Trouble>, token: Option<&Token>) {
        let Some(failure) = failure else {
            if self.told.take().is_some() {
                out::to_stderr(&format!("token {} is fresh again", self.manager.name()));
            }
            return;
        };
        let line = failure.error.to_string();
        let until = match token.map(Token::expires_at) {
            Some(Some(at)) => format!("the old token lives until {}", rfc3339(at)),
            Some(None) => "the old token goes on".to_owned(),
            None => "there is no token".to_owned(),
        };
        // The end of the old token is news, too.
        let news = format!("{line}{}", token.is_none());
        if self.told.as_ref() != Some(&news) {
            out::to_stderr(&format!("warning: {line}; {until}"));
            self.told = Some(news);
        }
    }

    /// Until something may have changed that nobody tells of: at the latest when the token in the file is over.
    fn pause(&self) -> Duration {
        let now = SystemClock.now();
        let end = self.file.as_ref().and_then(|file| file.living(now));
        let left = end.map_or(TICK, |token| token.moments().usable_until.until(now));
        left.clamp(SHORTEST_PAUSE, TICK)
    }
}

/// A failure as it is told.
struct Trouble {
    error: Error,
    not_before: Timestamp,
}

/// Who refuses tokens, in the eyes of this process's own manager.
const STORE: &str = "the store";
const TICK: Duration = Duration::from_secs(2);
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_MINT: Duration = Duration::from_secs(20);
const LONGEST_END: Duration = Duration::from_secs(5);
const LONGEST_WAIT_FOR_PATH: Duration = Duration::from_secs(1);
