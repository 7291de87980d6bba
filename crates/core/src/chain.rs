//! Sources, one after the other.

use crate::flight::{caught, panicked};
use crate::source::TokenSource;
use crate::{BoxFuture, ErrorKind, MintError, MintRequest, Token};
use std::sync::Arc;

/// A source made of sources, asked in order.
///
/// While a usable token is held only the source that gave it is asked: a blip never changes the identity. Otherwise the next source steps in
/// where the one before it has an error that lets it; each source but the last gets half of the time that remains. The token says which
/// source gave it.
///
/// ```
/// # use unexpired_core::{BoxFuture, Chain, ErrorKind, MintError, MintRequest, Token, TokenSource};
/// # struct Down;
/// # impl TokenSource for Down {
/// #     fn name(&self) -> &str { "down" }
/// #     fn mint(&self, _: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
/// #         Box::pin(async { Err(MintError::new(ErrorKind::Unavailable, "down")) })
/// #     }
/// # }
/// # struct Fixed;
/// # impl TokenSource for Fixed {
/// #     fn name(&self) -> &str { "fixed" }
/// #     fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
/// #         Box::pin(async move { Token::builder("at-1", request.now()).build() })
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let chain = Chain::fallback(Down, Fixed);
/// assert_eq!(chain.mint(MintRequest::standalone()).await.unwrap().source(), "fixed");
/// # }
/// ```
pub struct Chain {
    name: Arc<str>,
    members: Vec<Member>,
    steps_in_on: Vec<ErrorKind>,
}

struct Member {
    /// The source's name, made unique.
    label: Arc<str>,
    source: Arc<dyn TokenSource>,
}

impl Chain {
    /// A default chain: the next source is asked only where the one before it has nothing configured. One that is configured and fails
    /// ends the chain, since another identity is not what was meant.
    pub fn new(sources: impl IntoIterator<Item = Arc<dyn TokenSource>>) -> Self {
        let mut members: Vec<Member> = Vec::new();
        for source in sources {
            let mut label: Arc<str> = source.name().into();
            let mut number = 1;
            while members.iter().any(|member| member.label == label) {
                number += 1;
                label = format!("{}#{number}", source.name()).into();
            }
            members.push(Member { label, source });
        }
        let name: Vec<&str> = members.iter().map(|member| &*member.label).collect();
        Self { name: name.join("|").into(), members, steps_in_on: Vec::new() }
    }

    /// `fallback` steps in where `primary` has nothing configured, cannot be reached, takes too long or makes no sense.
    pub fn fallback(primary: impl TokenSource, fallback: impl TokenSource) -> Self {
        let sources: [Arc<dyn TokenSource>; 2] = [Arc::new(primary), Arc::new(fallback)];
        Self {
            steps_in_on: vec![ErrorKind::Unavailable, ErrorKind::TimedOut, ErrorKind::Malformed],
            ..Self::new(sources)
        }
    }

    /// More errors that let the next source step in: [`Denied`](ErrorKind::Denied), or a transient one. Others never do and are ignored: a wrong
    /// configuration is to be put right, and what policy forbids stays forbidden.
    #[must_use]
    pub fn fallback_on(mut self, kinds: impl IntoIterator<Item = ErrorKind>) -> Self {
        self.steps_in_on.extend(kinds.into_iter().filter(|kind| kind.is_transient() || *kind == ErrorKind::Denied));
        self
    }

    fn lets_next_step_in(&self, kind: ErrorKind) -> bool {
        kind == ErrorKind::NotConfigured || self.steps_in_on.contains(&kind)
    }

    /// The member that gave the token which is held, and what that member calls its source.
    fn holder(&self, held: &str) -> Option<(&Member, String)> {
        self.members.iter().find_map(|member| {
            let rest = held.strip_prefix(&*member.label)?;
            let inner = if rest.is_empty() { member.source.name() } else { rest.strip_prefix('/')? };
            Some((member, inner.to_owned()))
        })
    }
}

impl Member {
    async fn mint(&self, request: MintRequest) -> Result<Token, MintError> {
        let own = request.clone();
        // A panic is this member's failure, not the chain's.
        let minted = match request.within_deadline(caught(|| self.source.mint(own))).await {
            Some(Some(minted)) => minted,
            Some(None) => Err(panicked()),
            None => Err(MintError::new(ErrorKind::TimedOut, "no answer in its share of the time")),
        };
        let token = minted.map_err(|error| error.from_source(self.label.clone()))?;
        let inner = token.source();
        let label = if inner.is_empty() || inner == self.source.name() {
            self.label.clone()
        } else {
            format!("{}/{inner}", self.label).into()
        };
        Ok(token.with_source(label))
    }
}

impl TokenSource for Chain {
    fn name(&self) -> &str {
        &self.name
    }

    fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
        Box::pin(async move {
            if let Some((member, inner)) = request.held_source().and_then(|held| self.holder(held)) {
                return member.mint(request.held_by(inner)).await;
            }
            let mut first: Option<MintError> = None;
            let last = self.members.len().saturating_sub(1);
            for (index, member) in self.members.iter().enumerate() {
                let share = if index == last { request.clone() } else { request.limited_to(request.remaining() / 2) };
                let error = match member.mint(share).await {
                    Ok(token) => return Ok(token),
                    Err(error) => error,
                };
                let ends = !self.lets_next_step_in(error.kind());
                // The first source that is configured is the one that was meant: its error is the one to show.
                let absent = |e: &MintError| e.kind() == ErrorKind::NotConfigured;
                if first.as_ref().is_none_or(|shown| absent(shown) && !absent(&error)) {
                    first = Some(error);
                } else if let Some(shown) = first.take() {
                    first = Some(if absent(&error) { shown } else { shown.and_also(&error) });
                }
                if ends {
                    break;
                }
            }
            Err(first.unwrap_or_else(|| MintError::new(ErrorKind::NotConfigured, "the chain has no source")))
        })
    }

    fn revision(&self) -> u64 {
        self.members.iter().fold(0, |sum, member| sum.rotate_left(7) ^ member.source.revision())
    }

    fn for_scope(&self, scope: &str) -> Option<Arc<dyn TokenSource>> {
        let siblings: Option<Vec<_>> = self.members.iter().map(|member| member.source.for_scope(scope)).collect();
        Some(Arc::new(Self { steps_in_on: self.steps_in_on.clone(), ..Self::new(siblings?) }))
    }
}
