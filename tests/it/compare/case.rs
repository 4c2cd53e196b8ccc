//! One exchange: what the client sends and what the server behind does meanwhile.

use super::sides::LISTENS;

/// What is sent on one connection, and what is expected to differ.
#[derive(Clone)]
pub struct Case {
    /// Sent piece by piece. `{up}` and the other names of [`super::sides::Site`] stand for addresses.
    pub pieces: Vec<Vec<u8>>,
    /// Answers that are awaited before the connection is looked at.
    pub answers: usize,
    /// The client ends its side behind the request.
    pub ends: bool,
    /// The listening address that it goes to, by its place among [`super::sides::LISTENS`].
    pub to: usize,
    /// It is sent over TLS, and asks for this name.
    pub tls: Option<&'static str>,
    /// Another connection of the same client has sent this before, and gets no answer meanwhile.
    pub beside: Option<Vec<u8>>,
    /// That one stays until it has its answer too.
    pub stays: bool,
    /// What is waited for first.
    pub begin: Begin,
    /// A server is asked something, be it after the answer.
    pub asked_later: bool,
    /// What the server behind does for the first request it gets, the second...; the last again for all others.
    pub script: Vec<String>,
    /// The keys of the differences that show here.
    pub differences: Vec<&'static str>,
}

/// When a case begins.
#[derive(Clone, Copy)]
pub enum Begin {
    AtOnce,
    /// When what was good for a second at the end of the case before is not any more.
    Aged,
    /// When there are no files in this folder below the prefix.
    Empty(&'static str),
}

/// Sends these bytes.
pub fn raw(request: impl AsRef<[u8]>) -> Case {
    let pieces = vec![request.as_ref().to_vec()];
    Case {
        pieces,
        answers: 1,
        ends: false,
        to: 0,
        tls: None,
        beside: None,
        stays: false,
        begin: Begin::AtOnce,
        asked_later: false,
        script: vec![ANSWER.to_owned()],
        differences: Vec::new(),
    }
}

/// GET of a target.
pub fn get(target: &str) -> Case {
    get_with(target, "")
}

/// GET of a target with these fields, each with its line end.
pub fn get_with(target: &str, fields: &str) -> Case {
    ask("GET", target, fields, "")
}

/// HEAD of a target.
pub fn head(target: &str) -> Case {
    ask("HEAD", target, "", "")
}

/// POST of a body of known length.
pub fn post(target: &str, body: &str) -> Case {
    ask("POST", target, &format!("Content-Length: {}\r\n", body.len()), body)
}

/// POST of a body in chunks as they are written here.
pub fn post_chunks(target: &str, body: &str) -> Case {
    ask("POST", target, "Transfer-Encoding: chunked\r\n", body)
}

/// Any request with a `Host`.
pub fn ask(method: &str, target: &str, fields: &str, body: &str) -> Case {
    raw(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}"))
}

/// What the server behind answers unless it is told otherwise.
const ANSWER: &str = "keep:HTTP/1.1 200 OK\r\nContent-Type: text/x-up\r\nX-Up: 1\r\nContent-Length: 2\r\n\r\nup";

impl Case {
    /// What the server behind does, one text for each request it gets; [`super::behind`] reads them.
    pub fn up<T: ToString>(mut self, script: &[T]) -> Case {
        self.script = script.iter().map(T::to_string).collect();
        self
    }

    /// So many answers are awaited.
    pub fn answers(mut self, count: usize) -> Case {
        self.answers = count;
        self
    }

    /// Another piece follows a little later.
    pub fn then(mut self, piece: impl AsRef<[u8]>) -> Case {
        self.pieces.push(piece.as_ref().to_vec());
        self
    }

    /// The client says that nothing follows.
    pub fn and_end(mut self) -> Case {
        self.ends = true;
        self
    }

    /// Over TLS with this name, to `{tls}`.
    pub fn over_tls(self, name: &'static str) -> Case {
        Case { tls: Some(name), ..self.to("{tls}") }
    }

    /// To another listening address than `{listen}`.
    pub fn to(mut self, listen: &str) -> Case {
        self.to = LISTENS.iter().position(|known| *known == listen).expect("a listening address");
        self
    }

    /// While another connection of the client waits for the answer to this.
    pub fn beside(mut self, request: impl AsRef<[u8]>) -> Case {
        self.beside = Some(request.as_ref().to_vec());
        self
    }

    /// The other connection stays until it has its answer too, and ends then.
    pub fn and_stays(mut self) -> Case {
        self.stays = true;
        self
    }

    /// It begins then.
    pub fn when(mut self, begin: Begin) -> Case {
        self.begin = begin;
        self
    }

    /// A server is asked something, be it after the answer.
    pub fn asked_later(mut self) -> Case {
        self.asked_later = true;
        self
    }

    /// Known to differ, by an entry of [`super::differences::all`].
    pub fn differs(mut self, key: &'static str) -> Case {
        self.differences.push(key);
        self
    }

    /// The same where a condition holds.
    pub fn differs_where(self, condition: bool, key: &'static str) -> Case {
        if condition { self.differs(key) } else { self }
    }

    /// The request as one line for reports.
    pub fn label(&self) -> String {
        let text = self.pieces.iter().map(|piece| piece.escape_ascii().to_string()).collect::<Vec<_>>().join(" ... ");
        let cut = text.char_indices().nth(200).map_or(text.len(), |(at, _)| at);
        text[..cut].to_owned()
    }

    /// The methods of all requests in it, in their order.
    pub fn methods(&self) -> Vec<String> {
        let all = self.pieces.concat();
        let text = String::from_utf8_lossy(&all);
        let lines = text.lines().filter(|line| line.contains(" HTTP/"));
        lines.map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect()
    }
}
