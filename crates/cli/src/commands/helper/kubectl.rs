//! Kubernetes: `client.authentication.k8s.io` ExecCredential, v1 and v1beta1.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins>. stdin may be a terminal or an open
//! pipe, and is not read. A client that met a 401 runs the plugin again, and says no more than the first time.

use super::args::KubectlArgs;
use super::place::Place;
use super::{pick, write};
use crate::args::Args;
use crate::clients::Profile;
use crate::commands::rfc3339;
use crate::env;
use crate::failure::{Failure, USAGE};
use crate::handout::{self, Ask};
use crate::project::Project;
use serde_json::Value;
use unexpired::ErrorKind;
use unexpired::config::hosts_allow;
use unexpired::text::one_line;

pub(super) fn run(args: &Args, own: &KubectlArgs) -> Result<(), Failure> {
    let asked = Asked::read(env::text("KUBERNETES_EXEC_INFO").as_deref())?;
    let name = name(args, own.name.as_deref(), asked.server.as_deref())?;
    // Whatever brings it back before the expiry that it was told is a refusal.
    let ask = Ask { client: Some(Profile::until_told()), ..own.wait.ask(None) };
    let handed = handout::token(args, &name, &ask)?;
    // client-go goes on using a token for the whole second that is named, so it is rounded down.
    let expiry = handed.usable_until().map(|until| format!(",\"expirationTimestamp\":\"{}\"", rfc3339(until)));
    write::parts(&[
        "{\"apiVersion\":\"",
        asked.version,
        "\",\"kind\":\"ExecCredential\",\"status\":{\"token\":\"",
        handed.token.secret(),
        "\"",
        expiry.as_deref().unwrap_or_default(),
        "}}\n",
    ])
}

/// What `KUBERNETES_EXEC_INFO` says.
struct Asked {
    version: &'static str,
    /// The cluster's URL; only with `provideClusterInfo`.
    server: Option<String>,
}

impl Asked {
    fn read(info: Option<&str>) -> Result<Self, Failure> {
        // Run by hand.
        let Some(info) = info else { return Ok(Self { version: V1, server: None }) };
        let info: Value = serde_json::from_str(info)
            .map_err(|_| Failure::new(USAGE, "KUBERNETES_EXEC_INFO is no JSON; Kubernetes clients set it"))?;
        let asked = info.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
        // The answer must be of the version that was asked for.
        let Some(version) = [V1, V1BETA1].into_iter().find(|known| *known == asked) else {
            let line = format!("the client asks for an ExecCredential of version `{}`", one_line(asked, 60));
            return Err(Failure::new(USAGE, line).hint(format!("in the kubeconfig: apiVersion: {V1}")));
        };
        let server = info.pointer("/spec/cluster/server").and_then(Value::as_str).map(str::to_owned);
        Ok(Self { version, server })
    }
}

fn name(args: &Args, named: Option<&str>, server: Option<&str>) -> Result<String, Failure> {
    let Some(server) = server else {
        return named.map(str::to_owned).ok_or_else(|| {
            Failure::new(USAGE, "no token is named, and the client does not say which cluster it wants")
                .hint("in the kubeconfig: args: [helper, kubectl, NAME], or provideClusterInfo: true")
        });
    };
    let project = Project::load(args)?;
    let Some(place) = Place::url(server) else {
        return Err(Failure::of(
            ErrorKind::Forbidden,
            format!("the cluster's address is none that a token may go to: {}", one_line(server, 80)),
        ));
    };
    let host = one_line(place.host(), 80);
    let Some(name) = named else {
        let token = pick::by_place(&project, &place, None)?;
        return token.map(|token| token.name().to_owned()).ok_or_else(|| {
            Failure::of(ErrorKind::Forbidden, format!("no token is for the cluster {host}"))
                .hint("add the host to `hosts` of the token that is")
        });
    };
    if hosts_allow(project.token(name)?.hosts(), place.host()) {
        return Ok(name.to_owned());
    }
    Err(Failure::of(ErrorKind::Forbidden, format!("{name}: the token is not for the cluster {host}"))
        .hint(format!("if it is, add the host to `hosts` of [token.{name}]")))
}

const V1: &str = "client.authentication.k8s.io/v1";
const V1BETA1: &str = "client.authentication.k8s.io/v1beta1";
