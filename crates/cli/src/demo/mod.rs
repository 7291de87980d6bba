//! `unexpired demo`: a session of requests over many short lives of a token, with an outage and a revocation in the middle. Everything is
//! real (the token manager, an OAuth source over HTTP, signed tokens, a resource server that verifies them) and stays on this machine.

mod lines;
pub(crate) mod picture;
mod script;
mod session;
mod stage;
pub(crate) mod story;

use crate::args::{Args, DemoArgs};
use crate::commands::runtime;
use crate::failure::{Failure, OTHER};
use crate::project;
use script::Scene;
use session::Session;
use stage::Stage;
use std::time::{Duration, Instant, SystemTime};
use story::{Happening, What};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use unexpired::{Event, TokenManager, TokenSource};

pub(crate) fn run(args: &Args, own: &DemoArgs) -> Result<(), Failure> {
    let span = Duration::from_secs(own.seconds.into());
    let runtime = runtime()?;
    let kept = tokio::task::LocalSet::new().block_on(&runtime, play(span, own.json, args.verbose))?;
    if kept { Ok(()) } else { Err(Failure::silent(OTHER)) }
}

async fn play(span: Duration, json: bool, verbose: bool) -> Result<bool, Failure> {
    let scene = Scene::set(LIFE).await?;
    let (teller, mut happenings) = Teller::new();
    let manager = manage(scene.source()?, teller.clone(), verbose);
    let mut stage = Stage::new(span, LIFE, json);
    stage.open(&format!(
        "{} s of requests with tokens that live {} s\nIdentity provider and resource server: {}",
        span.as_secs(),
        LIFE.as_secs(),
        scene.address()
    ))?;

    let mut players = Vec::new();
    for number in 0..CLIENTS {
        let session = Session::new(manager.clone(), &scene, teller.clone())?;
        let first = EVERY.mul_f64(f64::from(number) / f64::from(CLIENTS));
        players.push(tokio::task::spawn_local(session.run(first, EVERY)));
    }
    players.push(tokio::task::spawn_local(script::direct(scene, manager, span, teller.clone())));
    let outcome = show(&mut stage, &mut happenings, &teller, span).await;
    players.iter().for_each(tokio::task::JoinHandle::abort);
    outcome?;
    stage.close(teller.now())?;
    Ok(stage.story.kept())
}

/// Shows what happens until the time is over.
async fn show(
    stage: &mut Stage,
    happenings: &mut UnboundedReceiver<Happening>,
    teller: &Teller,
    span: Duration,
) -> Result<(), Failure> {
    let mut frames = tokio::time::interval(FRAME);
    frames.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    while teller.now() < span {
        tokio::select! {
            happening = happenings.recv() => {
                if let Some(happening) = happening {
                    stage.tell(&happening)?;
                }
            }
            _ = frames.tick() => stage.draw(teller.now())?,
        }
    }
    Ok(())
}

/// The real thing: one manager, whose events are happenings.
fn manage(source: impl TokenSource, teller: Teller, verbose: bool) -> TokenManager {
    TokenManager::builder("demo", source)
        // Clients that want a token with half its life left, so that there is more to see.
        .min_ttl(LIFE / 2)
        .on_event(move |event| {
            match event {
                Event::Minted(change) | Event::Refreshed(change) => teller.tell(What::Token {
                    fingerprint: change.fingerprint.clone(),
                    life: change.expires_at.map_or(LIFE, |at| at.duration_since(SystemTime::now()).unwrap_or_default()),
                    took: change.took,
                }),
                Event::Failed { error, .. } => teller.tell(What::MintFailed { error: error.to_string() }),
                _ => {}
            }
            if verbose {
                project::narrate(event);
            }
        })
        .build()
}

/// Tells happenings, from any thread, with their moment.
#[derive(Clone)]
pub(crate) struct Teller {
    start: Instant,
    channel: UnboundedSender<Happening>,
}

impl Teller {
    fn new() -> (Self, UnboundedReceiver<Happening>) {
        let (channel, happenings) = unbounded_channel();
        (Self { start: Instant::now(), channel }, happenings)
    }

    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub(crate) fn tell(&self, what: What) {
        // Nobody listens any more once the time is over.
        let _ = self.channel.send(Happening { at: self.now(), what });
    }
}

/// How long the tokens of the demo live.
const LIFE: Duration = Duration::from_secs(3);
const CLIENTS: u32 = 3;
/// How often each client makes a request.
const EVERY: Duration = Duration::from_millis(100);
const FRAME: Duration = Duration::from_millis(100);
