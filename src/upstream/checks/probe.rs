//! One probe of a peer: connect, say something, listen.

use std::borrow::Cow;
use std::fmt;
use std::io;

use super::answer::{Judgement, Kind, LIMIT};
use crate::event::{Owner, Reactor};
use crate::net::{Address, Connection};

/// Why a peer is taken to be dead.
#[derive(Debug)]
pub(super) struct Reason {
    text: Cow<'static, str>,
    /// The system's word for it.
    pub error: Option<io::Error>,
}

impl Reason {
    /// The probe has taken too long.
    pub(super) fn timeout() -> Self {
        Reason::failed("upstream timed out", io::Error::from_raw_os_error(libc::ETIMEDOUT))
    }

    fn failed(text: &'static str, error: io::Error) -> Self {
        Reason { text: text.into(), error: Some(error) }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// How a probe ended.
pub(super) type Verdict = Result<(), Reason>;

enum Stage {
    Connecting,
    Listening,
    Asking { sent: usize },
}

pub(super) struct Probe {
    connection: Connection,
    stage: Stage,
    asked: bool,
    request: Vec<u8>,
    /// What came since the connection stands, or since the peer was asked; [`LIMIT`] bytes at most.
    answer: Vec<u8>,
}

/// Why a probe did not come about.
pub(super) enum Unfit {
    /// The peer is dead.
    Peer(Reason),
    /// This call failed for reasons of ours: out of descriptors or memory.
    Ourselves(&'static str, io::Error),
}

impl Probe {
    pub(super) fn begin(address: &Address, reactor: &mut Reactor, owner: Owner) -> Result<Self, Unfit> {
        let connection = Connection::connect(address, reactor, owner).map_err(|(call, error)| match call {
            "connect()" => Unfit::Peer(Reason::failed("connect() failed", error)),
            call => Unfit::Ourselves(call, error),
        })?;
        Ok(Probe { connection, stage: Stage::Connecting, asked: false, request: Vec::new(), answer: Vec::new() })
    }

    /// Does what the readiness of the connection allows; gives the verdict when there is one.
    pub(super) fn ready(&mut self, reactor: &mut Reactor, kind: &Kind) -> Option<Verdict> {
        loop {
            let went_on = match self.stage {
                Stage::Connecting => self.connect(reactor, kind),
                Stage::Asking { sent } => self.ask(reactor, sent),
                Stage::Listening => self.listen(reactor, kind),
            };
            match went_on {
                Ok(true) => {}
                Ok(false) => return None,
                Err(verdict) => return Some(verdict),
            }
        }
    }

    /// These give whether the probe went on, false meaning that it has to wait, or as the error the verdict.
    fn connect(&mut self, reactor: &mut Reactor, kind: &Kind) -> Result<bool, Verdict> {
        if !reactor.writable(self.connection.source()) {
            return Ok(false);
        }
        match self.connection.probe(reactor) {
            Ok(()) => self.judge(kind),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Err(closed())),
            Err(error) => Err(Err(Reason::failed("connect() failed", error))),
        }
    }

    fn ask(&mut self, reactor: &mut Reactor, sent: usize) -> Result<bool, Verdict> {
        if sent == self.request.len() {
            self.stage = Stage::Listening;
            return Ok(true);
        }
        if !reactor.writable(self.connection.source()) {
            return Ok(false);
        }
        let count = self.connection.send(reactor, &self.request[sent..]);
        let count = count.map_err(|error| Err(Reason::failed("send() failed", error)))?;
        self.stage = Stage::Asking { sent: sent + count };
        Ok(true)
    }

    fn listen(&mut self, reactor: &mut Reactor, kind: &Kind) -> Result<bool, Verdict> {
        if !reactor.readable(self.connection.source()) {
            return Ok(false);
        }
        let mut buffer = [0; LIMIT];
        let room = LIMIT - self.answer.len();
        match self.connection.recv(reactor, &mut buffer[..room]) {
            Ok(None) => Ok(false),
            Ok(Some(0)) => Err(Err(closed())),
            Ok(Some(count)) => {
                self.answer.extend_from_slice(&buffer[..count]);
                self.judge(kind)
            }
            Err(error) => Err(Err(Reason::failed("recv() failed", error))),
        }
    }

    fn judge(&mut self, kind: &Kind) -> Result<bool, Verdict> {
        match kind.judge(self.asked, &self.answer) {
            Judgement::NeedMore => self.stage = Stage::Listening,
            Judgement::Ask => {
                self.asked = true;
                self.answer.clear();
                self.request = kind.request().into_owned();
                self.stage = Stage::Asking { sent: 0 };
            }
            Judgement::Alive => return Err(Ok(())),
            Judgement::Dead(text) => return Err(Err(Reason { text, error: None })),
        }
        Ok(true)
    }

    pub(super) fn close(self, reactor: &mut Reactor) {
        self.connection.close(reactor);
    }
}

/// In nginx's words.
fn closed() -> Reason {
    Reason { text: "upstream prematurely closed connection".into(), error: None }
}
