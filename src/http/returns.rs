//! `return`: an answer said in the configuration.

use super::definitions::Registry;
use super::response::{Answer, Response};
use super::variables::{Text, Values};
use crate::conf::Place;
use crate::conf::value::number;

/// A `return` directive.
#[derive(Clone, Debug)]
pub(super) struct Return {
    status: u16,
    text: Option<Text>,
}

/// Whether the connection is closed without an answer: 444 is nginx's own status for that, and after the others no client waits for one.
pub(super) fn closes(status: u16) -> bool {
    matches!(status, 408 | 444 | 499)
}

impl Return {
    /// Reads the arguments: a code, a code and a text or URL, or a URL alone, which is a 302.
    ///
    /// # Errors
    /// nginx's message.
    pub(super) fn parse(words: &[&[u8]], registry: &mut Registry, place: &Place) -> Result<Self, String> {
        let mut compile = |text: &[u8]| registry.text(text, place);
        let first = words[0];
        let code = std::str::from_utf8(first).ok().and_then(number).and_then(|code| u16::try_from(code).ok());
        match (code.filter(|code| *code <= 999), words.get(1)) {
            (Some(status), text) => {
                // No text at all is no answer of its own to an error.
                let text = text.filter(|text| status < 400 || !text.is_empty());
                Ok(Return { status, text: text.map(|text| compile(text)).transpose()? })
            }
            (None, None) if [&b"http://"[..], b"https://", b"$scheme"].iter().any(|start| first.starts_with(start)) => {
                Ok(Return { status: 302, text: Some(compile(first)?) })
            }
            _ => Err(format!("invalid return code \"{}\"", String::from_utf8_lossy(first))),
        }
    }

    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// The answer for a request.
    pub(super) fn answer(&self, values: &Values<'_>) -> Answer {
        let location = &values.request.location;
        let filled = self.text.as_ref().map(|text| values.fill(text));
        if closes(self.status) {
            return Answer::Close(self.status);
        }
        Answer::Respond(match (self.status, filled) {
            (301 | 302 | 303 | 307 | 308, to) => {
                Response::redirect(self.status, to.unwrap_or_default(), location.server_tokens)
            }
            (status @ 400.., None) => Response::page(status, location.server_tokens),
            (status, text) => {
                let content_type = location.types.of(&values.request.path).unwrap_or(&location.default_type);
                Response::text(status, content_type, text.unwrap_or_default())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let parse = |words: &[&str]| {
            let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            Return::parse(&words, &mut Registry::default(), &Place { file: "f".into(), line: 1 })
        };
        let status = |words: &[&str]| parse(words).map(|returns| (returns.status, returns.text.is_some()));
        assert_eq!(status(&["204"]), Ok((204, false)));
        assert_eq!(status(&["200", "x $uri"]), Ok((200, true)));
        assert_eq!(status(&["https://a"]), Ok((302, true)));
        assert_eq!(status(&["$scheme://a"]), Ok((302, true)));
        assert_eq!(status(&["abc"]), Err("invalid return code \"abc\"".into()));
        assert_eq!(status(&["1000"]), Err("invalid return code \"1000\"".into()));
        assert_eq!(status(&["http://a", "b"]), Err("invalid return code \"http://a\"".into()));
        assert_eq!(status(&["200", "$"]), Err("invalid variable name".into()));
    }
}
