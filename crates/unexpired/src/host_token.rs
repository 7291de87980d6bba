//! A token, the hosts that it is for, and the header in which they want it: what all middleware has in common.

use crate::hosts::{HostPattern, hosts_allow, is_loopback};
use crate::{Challenge, Error, ErrorKind, MintError, Rejection, Token, TokenManager};
use ::http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use ::http::{StatusCode, Uri};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// A token, the hosts that it is for, and the header in which they want it.
///
/// This is what [`unexpired::reqwest`](crate) and [`unexpired::tower`](crate) are made from. Without hosts the token goes nowhere. By default it
/// stands in `Authorization`, after its own scheme, which is nearly always `Bearer`; a header of that name that the request had already is
/// replaced.
///
/// A request to a host that is not named passes as it is, without the token; see [`forbid_other_hosts`](Self::forbid_other_hosts). A request to
/// a named host never goes out without a token: where none can be had, or where the token would travel over plain `http` to anything but
/// this machine, there is an error.
///
/// ```
/// # use unexpired::{BoxFuture, HostPattern, HostToken, MintError, MintRequest, Token, TokenManager, TokenSource};
/// # struct Fixed;
/// # impl TokenSource for Fixed {
/// #     fn name(&self) -> &str { "fixed" }
/// #     fn mint(&self, _: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> { unimplemented!() }
/// # }
/// # let corp = TokenManager::builder("corp", Fixed).build();
/// let hosts = [HostPattern::parse("*.openai.azure.us")?];
/// let token = HostToken::new(corp, hosts);
/// # let corp = token.manager().clone();
/// # let hosts = [HostPattern::parse("*.openai.azure.us")?];
/// let key = HostToken::new(corp, hosts).header(http::HeaderName::from_static("api-key")).without_scheme();
/// # let _ = (token, key);
/// # Ok::<(), &'static str>(())
/// ```
#[derive(Clone)]
pub struct HostToken {
    manager: TokenManager,
    hosts: Arc<[HostPattern]>,
    header: HeaderName,
    scheme: Scheme,
    forbid_others: bool,
}

#[derive(Clone)]
enum Scheme {
    /// The one that the token came with.
    Own,
    None,
    Given(Arc<str>),
}

/// A named host, as it is told to the manager: `name` or `name:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host(String);

impl HostToken {
    /// The manager's token, for these hosts.
    pub fn new(manager: TokenManager, hosts: impl IntoIterator<Item = HostPattern>) -> Self {
        Self {
            manager,
            hosts: hosts.into_iter().collect(),
            header: AUTHORIZATION,
            scheme: Scheme::Own,
            forbid_others: false,
        }
    }

    /// Another header in the place of `Authorization`, such as `api-key` or `x-goog-api-key`.
    ///
    /// Clients strip `Authorization` from a redirect to another host, and no other header: see the page of the middleware for what is
    /// done about that.
    #[must_use]
    pub fn header(mut self, name: HeaderName) -> Self {
        self.header = name;
        self
    }

    /// Another scheme before the token than its own: `Token`, say.
    ///
    /// # Errors
    ///
    /// [`Misconfigured`](ErrorKind::Misconfigured) if it is no authentication scheme (RFC 9110 section 11.1: letters, digits and a few signs).
    pub fn scheme(mut self, scheme: &str) -> Result<Self, MintError> {
        if scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)) {
            let error = MintError::new(ErrorKind::Misconfigured, "this is no authentication scheme");
            return Err(error.remedy("write one word, such as Bearer; or call without_scheme"));
        }
        self.scheme = Scheme::Given(scheme.into());
        Ok(self)
    }

    /// The token alone, without a scheme before it.
    #[must_use]
    pub fn without_scheme(mut self) -> Self {
        self.scheme = Scheme::None;
        self
    }

    /// A request to a host that is not named is an error of kind [`Forbidden`](ErrorKind::Forbidden), in place of passing without the token:
    /// for a client that has no business elsewhere.
    #[must_use]
    pub fn forbid_other_hosts(mut self) -> Self {
        self.forbid_others = true;
        self
    }

    /// Whose token it is.
    pub fn manager(&self) -> &TokenManager {
        &self.manager
    }

    #[cfg(feature = "reqwest-middleware")]
    pub(crate) fn header_name(&self) -> &HeaderName {
        &self.header
    }

    /// Whether the token goes along to an address; `None` if it is not for that host.
    pub(crate) fn judge(&self, scheme: &str, host: &str, port: Option<u16>) -> Result<Option<Host>, Error> {
        if !hosts_allow(&self.hosts, host) {
            return if self.forbid_others {
                let error = MintError::new(ErrorKind::Forbidden, "the token is not for this host").host(host);
                Err(self.error(error.remedy("name it among the token's hosts")))
            } else {
                Ok(None)
            };
        }
        if !scheme.eq_ignore_ascii_case("https") && !is_loopback(host) {
            let error = MintError::new(ErrorKind::Forbidden, "plain HTTP would show the token to the network");
            return Err(self.error(error.host(host).remedy("use https://")));
        }
        let host = host.to_ascii_lowercase();
        Ok(Some(Host(port.map_or_else(|| host.clone(), |port| format!("{host}:{port}")))))
    }

    /// As [`judge`](Self::judge).
    #[cfg_attr(not(feature = "tower"), allow(dead_code, reason = "reqwest has URLs"))]
    pub(crate) fn judge_uri(&self, uri: &Uri) -> Result<Option<Host>, Error> {
        let Some(host) = uri.host() else {
            let error = MintError::new(
                ErrorKind::Forbidden,
                "the request's URI names no host, so that no token can be given to it",
            );
            return Err(self.error(error.remedy("write the URI in full, or tell the layer its origin")));
        };
        self.judge(uri.scheme_str().unwrap_or_default(), host, uri.port_u16())
    }

    /// Puts the token where it belongs.
    pub(crate) fn apply(&self, token: &Token, headers: &mut HeaderMap) -> Result<(), Error> {
        let scheme = match &self.scheme {
            Scheme::Own => {
                headers.insert(self.header.clone(), token.authorization().clone());
                return Ok(());
            }
            Scheme::None => "",
            Scheme::Given(scheme) => scheme,
        };
        let mut text =
            Zeroizing::new(Vec::with_capacity(scheme.len().saturating_add(1).saturating_add(token.secret().len())));
        if !scheme.is_empty() {
            text.extend_from_slice(scheme.as_bytes());
            text.push(b' ');
        }
        text.extend_from_slice(token.secret().as_bytes());
        // A token's text and a scheme are fit for a header: both were checked.
        let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(text))
            .map_err(|_| self.error(MintError::new(ErrorKind::Malformed, "the token may not stand in a header")))?;
        value.set_sensitive(true);
        headers.insert(self.header.clone(), value);
        Ok(())
    }

    /// What follows from a first answer: the token to send the request with once more, or `None` if the answer is the caller's.
    pub(crate) async fn after(
        &self,
        token: &Token,
        host: &Host,
        challenge: Option<Challenge>,
        replayable: bool,
    ) -> Result<Option<Token>, Error> {
        match challenge {
            None | Some(Challenge::Permission) => Ok(None),
            Some(challenge) if !replayable => {
                // The next request has a token that was not refused.
                let _: Rejection = self.manager.reject(token, &host.0, &challenge);
                Ok(None)
            }
            Some(challenge) => match self.manager.replacement(token, &host.0, &challenge).await {
                Ok(token) => Ok(Some(token)),
                // Another token would not help: what the host said is what there is to say.
                Err(error) if error.kind() == ErrorKind::Rejected => Ok(None),
                Err(error) => Err(error),
            },
        }
    }

    /// Takes note of the last answer.
    pub(crate) fn settle(&self, token: &Token, host: &Host, challenge: Option<Challenge>, accepted: bool) {
        match challenge {
            Some(challenge) => {
                let _: Rejection = self.manager.reject(token, &host.0, &challenge);
            }
            None if accepted => self.manager.accepted(token, &host.0),
            None => {}
        }
    }

    pub(crate) fn error(&self, error: MintError) -> Error {
        Error::new(self.manager.name(), error)
    }
}

/// What an answer says of the token, if it is a refusal.
pub(crate) fn challenge(status: StatusCode, headers: &HeaderMap) -> Option<Challenge> {
    if status != StatusCode::UNAUTHORIZED && status != StatusCode::FORBIDDEN {
        return None;
    }
    let lines = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|line| line.to_str().ok());
    Some(Challenge::of(status.as_u16(), lines))
}

/// Whether a status says that the token was good. What fails before the token is looked at says nothing.
pub(crate) fn accepts(status: StatusCode) -> bool {
    status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS
}

impl fmt::Debug for HostToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostToken")
            .field("name", &self.manager.name())
            .field("hosts", &self.hosts)
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}
