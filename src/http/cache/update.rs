//! `proxy_cache_background_update`: a server is asked on the side, while the client has the old answer already.
//!
//! The request is made once more, of a connection of its own whose other end nobody holds, so that the client's goes on with its next
//! request at once.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use socket2::Socket;

use super::{Access, Held, Status, Stored};
use crate::context::Context;
use crate::http::client::Client;
use crate::http::connection::{Phase, Session, Verdict};
use crate::http::proxy::Exchange;
use crate::log::Level;
use crate::net::Connection;
use crate::tls::Told;

impl Session {
    /// Has another session made for this request, which brings the entry up to date.
    pub(super) fn update_on_the_side(&mut self, cx: &Context, old: &Stored, held: Held) {
        let Some(request) = &self.request else { return };
        let Some(exchange) = &request.exchange else { return };
        let Some(access) = &exchange.cache else { return };
        let mut access = Access {
            settings: access.settings.clone(),
            cache: access.cache.clone(),
            text: access.text.clone(),
            key: access.key,
            status: Some(Status::Expired),
            counts: false,
            cacheable: true,
            held: Some(held),
            old: None,
            validators: None,
            waits: None,
        };
        access.expire(old.again());
        let mut again = request.again();
        let mut exchange =
            Exchange::new(exchange.settings.clone(), exchange.target.clone(), exchange.uri.clone(), cx.reactor.now());
        exchange.cache = Some(Box::new(access));
        exchange.detached = true;
        again.exchange = Some(Box::new(exchange));
        self.offspring = Some(Box::new(again));
    }

    /// The session for a request that `parent` has had made.
    pub(in crate::http) fn on_the_side(
        parent: &mut Session,
        owner: crate::event::Owner,
        cx: &mut Context,
    ) -> Option<Session> {
        let mut request = parent.offspring.take()?;
        let made = UnixStream::pair().and_then(|(socket, _)| {
            socket.set_nonblocking(true)?;
            Connection::accepted(Socket::from(OwnedFd::from(socket)), &mut cx.reactor, owner)
        });
        let connection = match made {
            Ok(connection) => connection,
            Err(error) => {
                let message = format_args!("socketpair() failed");
                parent.client.log(Level::Alert, Some(&error), "", Some(&request), message);
                return None;
            }
        };
        request.background = true;
        // It has no line in the access log.
        request.told = true;
        let client = Client {
            address: parent.client.speaks_for(&request).clone(),
            local: parent.client.local().clone().into(),
            stands_for: parent.client.connection.tls(|ssl| Box::new(Told::of(ssl))),
            server: parent.client.server.clone(),
            announced: parent.client.announced.clone(),
            teller: parent.client.teller.clone(),
            connection,
            ..parent.client
        };
        let timer = cx.reactor.add_timer(owner);
        let mut session = Session::new(client, parent.route.clone(), false, true, timer, owner, cx);
        session.phase = Phase::Proxy;
        session.request = Some(request);
        Some(session)
    }

    /// Turns to the servers; nobody has to be looked after but the cache.
    pub(in crate::http) fn begin_on_the_side(&mut self, cx: &mut Context) -> Verdict {
        let step = self.find_peers(cx);
        self.go_on(cx, step)
    }
}
