//! A middleware for `reqwest`, by `reqwest-middleware`: a good token on every request, and one more try after a 401.
//!
//! ```
//! # use unexpired::{BoxFuture, HostPattern, HostToken, MintError, MintRequest, Token, TokenManager, TokenSource};
//! # struct Fixed;
//! # impl TokenSource for Fixed {
//! #     fn name(&self) -> &str { "fixed" }
//! #     fn mint(&self, _: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> { unimplemented!() }
//! # }
//! # fn example(corp: TokenManager) -> Result<(), Box<dyn std::error::Error>> {
//! let token = HostToken::new(corp, [HostPattern::parse("*.openai.azure.us")?]);
//! let client = unexpired::reqwest::client(reqwest::Client::builder(), token)?;
//!
//! let request = client.post("https://contoso.openai.azure.us/openai/v1/responses").body("{}");
//! # let _ = request;
//! # Ok(())
//! # }
//! ```
//!
//! - **Where the token goes**: to the hosts that the [`HostToken`] names, over `https`, or plain `http` on this machine. A request to another host
//!   passes untouched, or is refused, as the [`HostToken`] says.
//! - **After a 401**, or a 403 that says `invalid_token` or brings a claims challenge, the token is rejected, its replacement awaited (minted
//!   with the claims, if there are any), and the request sent once more. A hundred of them at the same time cost one mint. A request whose
//!   body is a stream cannot be sent again: its 401 passes through, and the next request has a new token.
//! - **No token, no request**: the call fails with [`reqwest_middleware::Error::Middleware`], in which an [`Error`](crate::Error) is to be found by
//!   `downcast_ref`.
//! - **Redirects**: `reqwest` follows them below every middleware, and takes `Authorization` out when scheme, host or port change, but no other
//!   header. So [`client`] gives the client a redirect policy: with a token in another header a redirect to another origin is not followed
//!   but handed to the caller. [`TokenMiddleware::new`], which has no say in the client's policy, takes `Authorization` only.

use crate::host_token::{HostToken, accepts, challenge};
use crate::{Challenge, ErrorKind, MintError};
use ::http::Extensions;
use ::http::header::AUTHORIZATION;
use ::reqwest::redirect::Policy;
use ::reqwest::{ClientBuilder, Request, Response, Url};
use async_trait::async_trait;
use reqwest_middleware::{ClientWithMiddleware, Middleware, Next};

/// A client with the token. The redirect policy of `builder` is replaced: see the [module's page](self). Up to 10 redirects are followed.
///
/// More middleware can be added by `reqwest_middleware::ClientBuilder::from_client`; it runs between this one and the network.
///
/// # Errors
///
/// Those of [`ClientBuilder::build`].
pub fn client(builder: ClientBuilder, token: HostToken) -> Result<ClientWithMiddleware, ::reqwest::Error> {
    let stripped = *token.header_name() == AUTHORIZATION;
    let policy = Policy::custom(move |attempt| {
        if attempt.previous().len() > MOST_REDIRECTS {
            return attempt.error("too many redirects");
        }
        let stays = attempt.previous().last().is_some_and(|previous| previous.origin() == attempt.url().origin());
        if stays || stripped { attempt.follow() } else { attempt.stop() }
    });
    let client = builder.redirect(policy).build()?;
    Ok(reqwest_middleware::ClientBuilder::new(client).with(TokenMiddleware { token }).build())
}

/// The middleware, for a client that exists already.
#[derive(Clone, Debug)]
pub struct TokenMiddleware {
    token: HostToken,
}

impl TokenMiddleware {
    /// A middleware for any client.
    ///
    /// # Errors
    ///
    /// [`Misconfigured`](ErrorKind::Misconfigured) if the token stands in another header than `Authorization`: the client might carry it to another
    /// host when it follows a redirect. Use [`client`] then.
    pub fn new(token: HostToken) -> Result<Self, MintError> {
        if *token.header_name() == AUTHORIZATION {
            return Ok(Self { token });
        }
        let message = "reqwest takes no header but Authorization out of a redirect to another host";
        Err(MintError::new(ErrorKind::Misconfigured, message).remedy("make the client by unexpired::reqwest::client"))
    }

    async fn send(&self, request: Request, extensions: &mut Extensions, next: Next<'_>) -> Result<Response, Failure> {
        let token = &self.token;
        let url = request.url().clone();
        let Some(host) = token.judge(url.scheme(), url.host_str().unwrap_or_default(), url.port())? else {
            return Ok(next.run(request, extensions).await?);
        };
        let used = token.manager().token().await?;
        let copy = request.try_clone();
        let response = next.clone().run(with(token, &used, request)?, extensions).await?;
        let refusal = refusal(&response, &url);
        let Some(replacement) = token.after(&used, &host, refusal.clone(), copy.is_some()).await? else {
            if refusal.is_none() {
                token.settle(&used, &host, None, from(&response, &url) && accepts(response.status()));
            }
            return Ok(response);
        };
        let Some(copy) = copy else { return Ok(response) };
        drop(response);
        let response = next.run(with(token, &replacement, copy)?, extensions).await?;
        let accepted = from(&response, &url) && accepts(response.status());
        token.settle(&replacement, &host, self::refusal(&response, &url), accepted);
        Ok(response)
    }
}

#[async_trait]
impl Middleware for TokenMiddleware {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        self.send(request, extensions, next).await.map_err(|failure| match failure {
            Failure::Token(error) => reqwest_middleware::Error::middleware(error),
            Failure::Sending(error) => error,
        })
    }
}

enum Failure {
    Token(crate::Error),
    Sending(reqwest_middleware::Error),
}

impl From<crate::Error> for Failure {
    fn from(error: crate::Error) -> Self {
        Self::Token(error)
    }
}

impl From<reqwest_middleware::Error> for Failure {
    fn from(error: reqwest_middleware::Error) -> Self {
        Self::Sending(error)
    }
}

fn with(token: &HostToken, used: &crate::Token, mut request: Request) -> Result<Request, crate::Error> {
    token.apply(used, request.headers_mut())?;
    Ok(request)
}

/// What the answer says of the token. An answer from where a redirect led to, without the token, says nothing of it.
fn refusal(response: &Response, url: &Url) -> Option<Challenge> {
    if from(response, url) { challenge(response.status(), response.headers()) } else { None }
}

fn from(response: &Response, url: &Url) -> bool {
    response.url().origin() == url.origin()
}

const MOST_REDIRECTS: usize = 10;
