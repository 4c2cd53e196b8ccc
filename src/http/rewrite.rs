//! `rewrite`: another path, or a redirect.

use std::rc::Rc;

use super::definitions::Registry;
use super::regex::Regex;
use super::response::{Answer, Response};
use super::script::{Flow, Run};
use super::uri;
use super::variables::Text;
use crate::conf::Place;
use crate::log::Level;

/// A `rewrite` directive.
#[derive(Clone, Debug)]
pub(super) struct Rewrite {
    regex: Rc<Regex>,
    /// The path, or the whole target of a redirect.
    to: Text,
    /// What follows `?` in the new path.
    args: Option<Text>,
    /// Whether the new target has arguments of its own, which the request's are put behind.
    has_args: bool,
    /// Whether the request's arguments are kept: not where the replacement ends with `?`.
    keeps_args: bool,
    then: Then,
}

/// What follows a rewrite that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The next directive; the location is found anew after the last one.
    Next,
    /// The location is found anew.
    Last,
    /// The request stays in its location.
    Break,
    /// The client is told to go there.
    Redirect(u16),
}

impl Rewrite {
    /// Reads the arguments.
    ///
    /// # Errors
    /// nginx's message.
    pub(super) fn parse(words: &[&[u8]], registry: &mut Registry, place: &Place) -> Result<Self, String> {
        let regex = registry.regex(words[0], false)?;
        let to = words[1];
        if to.is_empty() {
            return Err("empty replacement".into());
        }
        let elsewhere = [&b"http://"[..], b"https://", b"$scheme"].iter().any(|start| to.starts_with(start));
        let then = match words.get(2).copied() {
            None | Some(b"last" | b"break") if elsewhere => Then::Redirect(302),
            None => Then::Next,
            Some(b"last") => Then::Last,
            Some(b"break") => Then::Break,
            Some(b"redirect") => Then::Redirect(302),
            Some(b"permanent") => Then::Redirect(301),
            Some(other) => return Err(format!("invalid parameter \"{}\"", String::from_utf8_lossy(other))),
        };
        let (to, keeps_args) = match to {
            [to @ .., b'?'] => (to, false),
            to => (to, true),
        };
        let question = memchr::memchr(b'?', to);
        let (to, args) = match question {
            Some(at) if !matches!(then, Then::Redirect(_)) => (&to[..at], Some(&to[at + 1..])),
            _ => (to, None),
        };
        Ok(Rewrite {
            regex,
            to: registry.text(to, place)?,
            args: args.map(|args| registry.text(args, place)).transpose()?,
            has_args: question.is_some(),
            keeps_args,
            then,
        })
    }

    /// Does it if the path matches.
    pub(super) fn run(&self, run: &mut Run<'_>) -> Flow {
        match run.matches(&self.regex, &run.request.path) {
            Err(failed) => return run.fail(&failed),
            Ok(false) => return Flow::Through,
            Ok(true) => {}
        }
        let old_args = run.request.args.clone().filter(|args| self.keeps_args && !args.is_empty());
        let mut to = Vec::new();
        if let Then::Redirect(status) = self.then {
            run.fill(&self.to, true, &mut to);
            let mut to = uri::unescape_redirect(&to);
            if let Some(args) = old_args {
                to.push(if self.has_args { b'&' } else { b'?' });
                to.extend(args);
            }
            run.tell(format_args!("rewritten redirect: \"{}\"", String::from_utf8_lossy(&to)));
            let tokens = run.request.location.server_tokens;
            return Flow::Answer(Answer::Respond(Response::redirect(status, to, tokens)));
        }
        run.fill(&self.to, false, &mut to);
        let args = match &self.args {
            Some(text) => {
                let mut args = Vec::new();
                run.fill(text, true, &mut args);
                if let Some(old) = old_args {
                    args.push(b'&');
                    args.extend(old);
                }
                Some(args)
            }
            None => old_args,
        };
        let request = &mut *run.request;
        (request.path, request.args) = (to, args);
        request.internal = true;
        request.as_received = false;
        request.path_changed = self.then != Then::Break;
        request.outside_location |= self.then == Then::Break;
        let request = &*run.request;
        let (path, args) = (&request.path, request.args.as_deref().unwrap_or_default());
        run.tell(format_args!(
            "rewritten data: \"{}\", args: \"{}\"",
            String::from_utf8_lossy(path),
            String::from_utf8_lossy(args)
        ));
        if path.is_empty() {
            let message = format_args!("the rewritten URI has a zero length");
            run.client.log(Level::Error, None, "", Some(request), message);
            return Flow::Answer(Answer::Respond(Response::page(500, request.location.server_tokens)));
        }
        if self.then == Then::Next { Flow::Through } else { Flow::Stop }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let read = |words: &[&str]| -> Result<(Then, bool, bool, bool), String> {
            let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            let place = Place { file: "f".into(), line: 1 };
            let rewrite = Rewrite::parse(&words, &mut Registry::default(), &place)?;
            Ok((rewrite.then, rewrite.args.is_some(), rewrite.has_args, rewrite.keeps_args))
        };
        assert_eq!(read(&["a", "/b"]), Ok((Then::Next, false, false, true)));
        assert_eq!(read(&["a", "/b?c", "last"]), Ok((Then::Last, true, true, true)));
        assert_eq!(read(&["a", "/b?c?", "break"]), Ok((Then::Break, true, true, false)));
        assert_eq!(read(&["a", "/b?", "redirect"]), Ok((Then::Redirect(302), false, false, false)));
        assert_eq!(read(&["a", "/b?c", "permanent"]), Ok((Then::Redirect(301), false, true, true)));
        assert_eq!(read(&["a", "http://b"]), Ok((Then::Redirect(302), false, false, true)));
        assert_eq!(read(&["a", "$scheme://b", "last"]), Ok((Then::Redirect(302), false, false, true)));
        let fault = |words: &[&str]| read(words).map(drop);
        assert_eq!(fault(&["a", ""]), Err("empty replacement".into()));
        assert_eq!(fault(&["a", "/b", "now"]), Err("invalid parameter \"now\"".into()));
        assert!(fault(&["(", "/b"]).unwrap_err().starts_with("pcre2_compile() failed: "));
    }
}
