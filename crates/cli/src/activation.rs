//! Listeners that a service manager opened for the proxy: which of them is for which route.
//!
//! One that bears a route's name is that route's. So is one at the port or the path that the configuration gives to a route. All others are where the
//! routes are that have no place of their own, in the stead of the port.

use crate::failure::{Failure, USAGE};
use crate::sys;
use std::collections::HashMap;
use unexpired::config::RouteConfig;
use unexpired_proxy::{Listen, Place};

/// A listener, the name that it was given, and where it is.
pub(crate) struct Handed {
    name: String,
    listen: Listen,
    place: Place,
}

/// What was handed over to this process. To be called once, before anything is opened.
pub(crate) fn handed_over() -> Result<Vec<Handed>, Failure> {
    let handed = sys::handed_over().map_err(|what| {
        Failure::new(USAGE, format!("what the service manager handed over is of no use: {what}"))
            .hint("let the socket unit have ListenStream= alone, and Accept=no")
    })?;
    Ok(handed.into_iter().map(|(name, listen, place)| Handed { name, listen, place }).collect())
}

/// Where routes are served because it was handed over.
#[derive(Default)]
pub(crate) struct Places {
    /// The places of routes that have none of their own.
    pub(crate) shared: Vec<Listen>,
    /// A route's own, by its name.
    pub(crate) own: HashMap<String, Listen>,
    has_shared: bool,
}

impl Places {
    /// Whether a route is left that has no place at all.
    pub(crate) fn needs_port(&self, routes: &[&RouteConfig]) -> bool {
        !self.has_shared && routes.iter().any(|route| self.shares(route))
    }

    /// Whether a route is served with others.
    fn shares(&self, route: &RouteConfig) -> bool {
        route.port().is_none() && route.socket().is_none() && !self.own.contains_key(route.name())
    }
}

/// Gives each listener to whom it is for.
pub(crate) fn places(handed: Vec<Handed>, routes: &[&RouteConfig]) -> Result<Places, Failure> {
    let mut places = Places::default();
    let mut own: HashMap<String, Vec<Listen>> = HashMap::new();
    let mut shared_at = None;
    for Handed { name, listen, place } in handed {
        let by_name = routes.iter().find(|route| route.name() == name);
        match by_name.or_else(|| routes.iter().find(|route| is_place_of(route, &place))) {
            Some(route) => own.entry(route.name().to_owned()).or_default().push(listen),
            None => {
                shared_at = Some(place);
                places.shared.push(listen);
            }
        }
    }
    places.own = own.into_iter().map(|(name, listeners)| (name, Listen::Several(listeners))).collect();
    places.has_shared = shared_at.is_some();
    match shared_at {
        Some(place) if !routes.iter().any(|route| places.shares(route)) => {
            let line = format!("{place} was handed over, and every route that is served has another place");
            Err(Failure::new(USAGE, line).hint(
                "take its ListenStream= out of the socket unit, or name the route by FileDescriptorName=; unexpired service install does it",
            ))
        }
        _ => Ok(places),
    }
}

fn is_place_of(route: &RouteConfig, place: &Place) -> bool {
    match place {
        Place::Tcp(address) => route.port() == Some(address.port()),
        #[cfg(unix)]
        Place::Socket(path) => route.socket() == Some(path.as_path()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unexpired::config::Config;

    fn handed(name: &str, place: Place) -> Handed {
        Handed { name: name.to_owned(), listen: Listen::Port(0), place }
    }

    fn tcp(port: u16) -> Place {
        Place::Tcp(([127, 0, 0, 1], port).into())
    }

    /// Which routes got a place of their own, how many places are shared, and whether the port is still needed.
    fn given(config: &Config, handed: Vec<Handed>) -> Result<(Vec<String>, usize, bool), String> {
        let routes: Vec<_> = config.routes().collect();
        let places = places(handed, &routes).map_err(|failure| failure.line().to_owned())?;
        let mut own: Vec<_> = places.own.keys().cloned().collect();
        own.sort();
        Ok((own, places.shared.len(), places.needs_port(&routes)))
    }

    #[test]
    fn listeners_go_to_the_route_of_their_name_or_address_and_the_rest_is_shared() {
        let token = "[token.t]\nprovider = 'command'\ncommand = ['/bin/echo', 'x']\nhosts = ['127.0.0.1']\n";
        let route =
            |name: &str, more: &str| format!("[route.{name}]\ntoken = 't'\nupstream = 'http://127.0.0.1:1'\n{more}\n");
        let text = format!("{token}{}{}", route("a", ""), route("b", "port = 9000"));
        let config = Config::parse(&text, "f").unwrap();
        for (listeners, expected) in [
            (vec![], (&[][..], 0, true)),
            (vec![handed("x.socket", tcp(8639)), handed("x.socket", tcp(8640))], (&[], 2, false)),
            (vec![handed("x.socket", tcp(9000))], (&["b"], 0, true)),
            (vec![handed("x.socket", tcp(8639)), handed("", tcp(9000)), handed("", tcp(9000))], (&["b"], 1, false)),
            (vec![handed("a", tcp(1)), handed("b", tcp(2))], (&["a", "b"], 0, false)),
            #[cfg(unix)]
            (vec![handed("x.socket", Place::Socket("/run/x".into()))], (&[], 1, false)),
        ] {
            let (own, shared, needs) = given(&config, listeners).unwrap();
            assert_eq!((own.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), shared, needs), expected);
        }
        let alone = Config::parse(&format!("{token}{}", route("b", "port = 9000")), "f").unwrap();
        let line = given(&alone, vec![handed("x.socket", tcp(8639))]).unwrap_err();
        assert_eq!(line, "http://127.0.0.1:8639 was handed over, and every route that is served has another place");
    }
}
