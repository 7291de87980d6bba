//! `unexpired proxy`: serves routes on loopback, each with a token that is fresh; and the local keys that open them.

use crate::activation;
use crate::args::{Args, ProxyArgs, ProxyCommand, ProxyKeyArgs};
use crate::failure::{Failure, OTHER, USAGE};
use crate::out;
use crate::project::{Project, narrate};
use crate::shared;
use crate::signals::End;
use crate::sys::tell_manager;
use std::path::PathBuf;
use std::sync::Arc;
use unexpired::config::{Export, RouteConfig};
use unexpired::store::{FileStore, StoreKind, default_dir};
use unexpired::text::one_line;
use unexpired::{ErrorKind, StoredSource, TokenManager, TokenStore};
use unexpired_proxy::{KeyFile, KeySource, Listen, Place, Proxy, ProxyBuilder, Route, TokenCounts};
use zeroize::Zeroizing;

pub(crate) fn run(args: &Args, own: &ProxyArgs) -> Result<(), Failure> {
    match &own.action {
        Some(ProxyCommand::Key(own)) => key(args, own),
        None => serve(args, own),
    }
}

/// Prints a key, which is made if there is none.
fn key(args: &Args, own: &ProxyKeyArgs) -> Result<(), Failure> {
    let name = match &own.route {
        Some(route) => {
            let project = Project::load(args)?;
            chosen(&project, std::slice::from_ref(route))?;
            route
        }
        None => METRICS,
    };
    let file = key_file()?;
    let key = if own.rotate { file.rotate(name)? } else { file.key(name)? };
    out::answer(&Zeroizing::new(format!("{}\n", key.expose())))
}

fn serve(args: &Args, own: &ProxyArgs) -> Result<(), Failure> {
    // First, while the numbers of what was handed over are nobody else's.
    let handed = activation::handed_over()?;
    // Before the first secret is read.
    unexpired_proxy::protect_memory();
    let project = Project::load(args)?;
    let routes = chosen(&project, &own.routes)?;
    let keys = key_file()?;
    let mut tokens: Vec<(TokenManager, Arc<TokenCounts>)> = Vec::new();
    let mut places = activation::places(handed, &routes)?;
    let mut builder = guarded(Proxy::builder().admin_key(keys.door(METRICS)), &own.allow_uid)?;
    for place in std::mem::take(&mut places.shared) {
        builder = builder.listen(place);
    }
    if places.needs_port(&routes) {
        builder = builder.listen(Listen::Port(own.port));
    }
    for config in &routes {
        keys.key(config.name())?;
        let (manager, counts) = match tokens.iter().find(|(manager, _)| manager.name() == config.token()) {
            Some(known) => known.clone(),
            None => {
                let made = manager(args, &project, config.token())?;
                tokens.push(made.clone());
                made
            }
        };
        let place = places.own.remove(config.name()).map(Ok).or_else(|| own_place(config)).transpose()?;
        builder = builder.route(route(config, manager, keys.door(config.name()), place, counts)?);
    }

    // One thread: no change of thread in the middle of a request. It carries more than clients on one machine ask for.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(OTHER, format!("no runtime: {error}")))?;
    // Listened for before anything is said, so that whoever reads it may end the proxy at once.
    let mut end = runtime.block_on(async { End::listen() })?;
    let proxy = builder.bind()?;
    tell(&proxy, &routes);
    tell_manager("READY=1");
    let served = runtime.block_on(async {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = proxy.serve(async {
            let _ = stopped.await;
        });
        let ended_twice = async {
            end.wait().await;
            tell_manager("STOPPING=1");
            out::to_stderr("ending: requests that run are finished, at most 30 s; a second signal ends them");
            let _ = stop.send(());
            end.wait().await;
        };
        tokio::select! {
            served = serving => served,
            () = ended_twice => Ok(()),
        }
    });
    // A mint that hangs must not keep the process.
    runtime.shutdown_background();
    served.map_err(|error| Failure::new(OTHER, format!("the proxy cannot serve: {error}")))
}

/// The proxy, open to these users alone if there are any. Each other user is told of once.
fn guarded(builder: ProxyBuilder, users: &[u32]) -> Result<ProxyBuilder, Failure> {
    if users.is_empty() {
        return Ok(builder);
    }
    #[cfg(unix)]
    {
        let seen = std::sync::Mutex::new(Vec::new());
        let told = move |user: Option<u32>| {
            let mut seen = seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if seen.len() < STRANGERS_TOLD && !seen.contains(&user) {
                seen.push(user);
                let user = user.map_or_else(|| "unknown".to_owned(), |user| user.to_string());
                out::to_stderr(&format!("refused: a connection of uid {user}, which --allow-uid does not name"));
            }
        };
        Ok(builder.allow_uids(users.iter().copied()).on_stranger(told))
    }
    #[cfg(not(unix))]
    Err(Failure::new(USAGE, "--allow-uid is for Unix sockets, and there are none here"))
}

/// The routes that are named, or all.
pub(super) fn chosen<'p>(project: &'p Project, names: &[String]) -> Result<Vec<&'p RouteConfig>, Failure> {
    let config = &project.config;
    if names.is_empty() {
        let all: Vec<&RouteConfig> = config.routes().collect();
        if all.is_empty() {
            let line = format!("{} has no route", project.path.display());
            return Err(
                Failure::new(USAGE, line).hint("add [route.NAME] with token = \"…\" and upstream = \"https://…\"")
            );
        }
        return Ok(all);
    }
    let find = |name: &String| {
        config.route(name).ok_or_else(|| {
            let known: Vec<&str> = config.routes().map(RouteConfig::name).take(NAMES_SHOWN).collect();
            let known =
                if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
            let line = format!("{} has no route `{}`; {known}", project.path.display(), one_line(name, 40));
            Failure::new(USAGE, line).hint("add [route.NAME] with token = \"…\" and upstream = \"https://…\"")
        })
    };
    names.iter().map(find).collect()
}

/// A token's manager, which counts what happens to it.
pub(super) fn manager(
    args: &Args,
    project: &Project,
    token: &str,
) -> Result<(TokenManager, Arc<TokenCounts>), Failure> {
    let counts = Arc::new(TokenCounts::default());
    let (observer, verbose) = (counts.clone(), args.verbose);
    let builder = match shared_source(args, project, token)? {
        Some(source) => TokenManager::builder(token, source),
        None => project.config.manager(token)?,
    };
    let builder = builder.on_event(move |event| {
        observer.observe(event);
        if verbose {
            narrate(event);
        }
    });
    Ok((builder.build(), counts))
}

/// The token's source behind the store that every process of this user shares; none for a token that may not leave this process.
fn shared_source(args: &Args, project: &Project, token: &str) -> Result<Option<StoredSource>, Failure> {
    if project.token(token)?.export() == Export::Never {
        return Ok(None);
    }
    let config = &project.config;
    let store: Arc<dyn TokenStore> = match config.store() {
        // What this process's tokens have in common they share.
        StoreKind::Memory => config.open_store()?,
        kind => match shared::open(args, kind)? {
            Some(store) => Arc::new(store),
            None => return Ok(None),
        },
    };
    Ok(Some(config.stored_source(token, store)?))
}

/// The route, opened by `key`; alone at `place`, or with the others.
pub(super) fn route(
    config: &RouteConfig,
    manager: TokenManager,
    key: impl KeySource,
    place: Option<Listen>,
    counts: Arc<TokenCounts>,
) -> Result<Route, Failure> {
    let mut builder = Route::builder(config.name(), manager, config.upstream(), key);
    if let Some(header) = config.header() {
        builder = builder.header(header);
    }
    if let Some(scheme) = config.scheme() {
        builder = builder.scheme(scheme);
    }
    for (name, value) in config.set_headers() {
        builder = builder.set_header(name, value);
    }
    for status in config.expired_statuses() {
        builder = builder.expired_status(*status);
    }
    if let Some(file) = config.ca_file() {
        builder = builder.ca_file(file);
    }
    if let Some((chain, key)) = config.client_certificate() {
        builder = builder.client_certificate(chain, key);
    }
    if let Some(place) = place {
        builder = builder.listen(place);
    }
    Ok(builder.token_counts(counts).build()?)
}

/// Where a route is served alone, if it is.
fn own_place(config: &RouteConfig) -> Option<Result<Listen, Failure>> {
    if let Some(port) = config.port() {
        return Some(Ok(Listen::Port(port)));
    }
    config.socket().map(|path| {
        #[cfg(unix)]
        return Ok(Listen::Socket(path.to_path_buf()));
        #[cfg(not(unix))]
        Err(Failure::new(USAGE, format!("route {}: there are no Unix sockets here: {}", config.name(), path.display()))
            .hint("use port = … in its place"))
    })
}

/// Says what is served where. No keys: they are printed when they are asked for.
fn tell(proxy: &Proxy, routes: &[&RouteConfig]) {
    let shared = proxy.places();
    for route in routes {
        let own = proxy.places_of(route.name());
        let place = match own.first() {
            Some(place) => place.to_string(),
            None => match shared.first() {
                Some(place @ Place::Tcp(_)) => format!("{place}/{}", route.name()),
                // Its path ends where the request's begins.
                Some(place) => format!("{place} under /{}", route.name()),
                None => String::new(),
            },
        };
        out::to_stderr(&format!("serving {place} → {} with token {}", route.upstream(), route.token()));
    }
    out::to_stderr("a client's key: unexpired proxy key ROUTE");
}

/// The keys, in the state folder.
pub(super) fn key_file() -> Result<KeyFile, Failure> {
    Ok(KeyFile::new(state_folder()?))
}

/// The state folder, made and checked as for everything that is secret.
pub(super) fn state_folder() -> Result<PathBuf, Failure> {
    let folder = default_dir().ok_or_else(|| {
        Failure::of(ErrorKind::Misconfigured, "there is no folder to keep the proxy's keys in")
            .hint("set UNEXPIRED_STORE to the absolute path of a folder of yours")
    })?;
    let store = FileStore::open(folder).map_err(|error| Failure::of(ErrorKind::Misconfigured, error))?;
    Ok(store.path().to_path_buf())
}

/// What the key of the metrics is filed under: no route can have this name.
const METRICS: &str = "-";
const NAMES_SHOWN: usize = 8;
#[cfg(unix)]
const STRANGERS_TOLD: usize = 32;
