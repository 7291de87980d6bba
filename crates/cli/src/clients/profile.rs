//! What each client does with a token that it is given: how long it keeps it, how long it waits, and whether coming back early means that the token was
//! refused.

use clap::ValueEnum;
use std::time::Duration;
use unexpired::Token;

/// A program that asks for tokens by a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Client {
    /// OpenAI Codex: keeps a token 300 s, gives the command 5 s
    Codex,
    /// Claude Code: keeps a token 5 min and may use it once more after any pause
    Claude,
    /// GitHub Copilot CLI: asks before every request, waits 30 s
    Copilot,
    /// pi: asks before every request, waits 10 s, and stands still meanwhile
    Pi,
    /// OpenClaw: asks at its start and at a reload, waits 5 s
    Openclaw,
    /// Gemini CLI
    Gemini,
    /// opencode
    Opencode,
    /// goose
    Goose,
}

/// What a client's tokens must be, and what its calls mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    least: Duration,
    /// Half of the whole life at least: the client may use a token long after it asked.
    half: bool,
    /// How long the client can wait for an answer; less than it waits itself, so that it hears why.
    pub(crate) budget: Option<Duration>,
    /// How long the client keeps a token. Coming back for the same one earlier means that it was refused.
    pub(crate) keeps: Option<Duration>,
    /// Calls that follow each other more closely mean nothing: a client may start several at once.
    pub(crate) at_least_apart: Duration,
}

impl Client {
    /// The client as its defaults make it, or with another interval in which it asks again.
    pub(crate) fn profile(self, interval: Option<Duration>) -> Profile {
        let plain = Profile {
            least: Duration::ZERO,
            half: false,
            budget: Some(Duration::from_secs(4)),
            keeps: None,
            at_least_apart: Duration::from_secs(2),
        };
        let keeps = interval.unwrap_or(FIVE_MINUTES);
        match self {
            // What is sent at the interval's end must still arrive in time.
            Self::Codex => {
                Profile { least: keeps.saturating_add((keeps / 2).min(UNDER_WAY)), keeps: Some(keeps), ..plain }
            }
            // A token is used until the interval is over, and the old one once more while the next is fetched.
            Self::Claude => Profile {
                least: keeps.saturating_mul(2),
                half: true,
                budget: Some(Duration::from_secs(25)),
                keeps: Some(keeps),
                ..plain
            },
            Self::Copilot => Profile { budget: Some(Duration::from_secs(25)), ..plain },
            Self::Pi => Profile { budget: Some(Duration::from_secs(8)), ..plain },
            Self::Openclaw | Self::Gemini | Self::Opencode | Self::Goose => plain,
        }
    }
}

impl Profile {
    /// A client that keeps a token until the expiry that it was told, such as `kubectl`: whatever brings it back is a refusal.
    pub(crate) const fn until_told() -> Self {
        Self {
            least: Duration::ZERO,
            half: false,
            budget: None,
            keeps: Some(Duration::from_secs(86_400)),
            at_least_apart: Duration::ZERO,
        }
    }

    /// The least life that this token must have left.
    pub(crate) fn least_life(&self, token: &Token) -> Duration {
        let half = if self.half { token.moments().life() / 2 } else { Duration::ZERO };
        self.least.max(half)
    }

    /// The part of it that is the same for every token.
    pub(crate) const fn least(&self) -> Duration {
        self.least
    }
}

const FIVE_MINUTES: Duration = Duration::from_secs(300);
/// As long before its expiry as the engine hands out no token.
const UNDER_WAY: Duration = Duration::from_secs(10);
