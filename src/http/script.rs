//! `set`, `if`, `rewrite`, `break` and `return`: compiled into small programs at load, and run for each request.

use std::borrow::Cow;
use std::os::unix::fs::PermissionsExt;
use std::rc::Rc;
use std::time::Instant;

use super::Location;
use super::client::Client;
use super::regex::{Failed, Regex};
use super::request::Request;
use super::response::{Answer, Response};
use super::returns::Return;
use super::rewrite::Rewrite;
use super::uri;
use super::variables::{Text, Values, Variable};
use crate::log::Level;

/// One directive; `B` is what stands in the braces of an `if`.
#[derive(Clone, Debug)]
pub(super) enum Step<B> {
    /// `set`: the variable at a place.
    Set(usize, Text),
    /// `set $args`
    SetArgs(Text),
    /// `set $limit_rate`
    SetLimitRate(Text),
    If(Condition, B),
    Rewrite(Rewrite),
    Return(Return),
    Break,
}

/// What is run for a request, in the order of the file.
pub(super) type Program = Vec<Step<Branch>>;

/// What an `if` leads to.
#[derive(Debug)]
pub(super) struct Branch {
    pub program: Program,
    /// Serves the request from then on; `None` outside of locations.
    pub location: Option<Rc<Location>>,
}

/// The condition of an `if`.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    /// The value is neither empty nor `0`.
    True(Variable),
    Equal {
        variable: Variable,
        value: Text,
        not: bool,
    },
    Matches {
        variable: Variable,
        regex: Rc<Regex>,
        not: bool,
    },
    File {
        test: FileTest,
        path: Text,
        not: bool,
    },
}

/// What is asked of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileTest {
    /// `-f`
    File,
    /// `-d`
    Directory,
    /// `-e`
    Exists,
    /// `-x`
    Executable,
}

/// How a program has ended.
#[allow(clippy::large_enum_variant)]
pub(super) enum Flow {
    /// It has come to its end.
    Through,
    /// Something has ended it before: `break`, `last`.
    Stop,
    Answer(Answer),
}

/// A request that a program is run for.
pub(super) struct Run<'a> {
    pub client: &'a Client,
    pub request: &'a mut Request,
    pub now: Instant,
    /// `rewrite_log` of the level whose program it is.
    pub log: bool,
}

impl Run<'_> {
    /// Runs a program.
    pub(super) fn run(&mut self, program: &Program) -> Flow {
        for step in program {
            let flow = match step {
                Step::Set(place, value) => {
                    let value = self.value(value);
                    self.request.memory.borrow_mut().set(*place, Some(value));
                    Flow::Through
                }
                Step::SetArgs(value) => {
                    self.request.args = Some(self.value(value));
                    self.request.as_received = false;
                    Flow::Through
                }
                Step::SetLimitRate(value) => {
                    let value = self.value(value);
                    match std::str::from_utf8(&value).ok().and_then(crate::conf::value::size) {
                        Some(rate) => self.request.limit_rate = Some(rate as u64),
                        None => {
                            let value = String::from_utf8_lossy(&value);
                            let message = format_args!("invalid $limit_rate \"{value}\"");
                            self.client.log(Level::Error, None, "", Some(self.request), message);
                        }
                    }
                    Flow::Through
                }
                Step::If(condition, branch) => match self.holds(condition) {
                    Ok(true) => {
                        if let Some(location) = &branch.location {
                            self.request.location = location.clone();
                        }
                        self.run(&branch.program)
                    }
                    Ok(false) => Flow::Through,
                    Err(failed) => self.fail(&failed),
                },
                Step::Rewrite(rewrite) => rewrite.run(self),
                Step::Return(returns) => {
                    // Its text may tell it.
                    self.request.status = returns.status();
                    Flow::Answer(returns.answer(&self.values()))
                }
                Step::Break => {
                    if std::mem::take(&mut self.request.path_changed) {
                        self.request.outside_location = true;
                    }
                    Flow::Stop
                }
            };
            if !matches!(flow, Flow::Through) {
                return flow;
            }
        }
        Flow::Through
    }

    pub(super) fn values(&self) -> Values<'_> {
        Values { client: self.client, request: self.request, now: self.now }
    }

    /// The text with what was captured escaped, if the client had escaped something in its target: nginx's rule for `set`.
    fn value(&self, text: &Text) -> Vec<u8> {
        let mut out = Vec::new();
        self.fill(text, true, &mut out);
        out
    }

    /// Appends the text; with `quote`, what was captured is escaped if the client had escaped something in its target.
    pub(super) fn fill(&self, text: &Text, quote: bool, out: &mut Vec<u8>) {
        let values = self.values();
        let quote = quote && memchr::memchr2(b'%', b'+', self.request.uri()).is_some();
        text.fill(out, |variable, out| {
            let start = out.len();
            let present = values.write(variable, out);
            if quote && matches!(variable, Variable::Capture(_)) {
                let captured = out.split_off(start);
                uri::escape_args(&captured, out);
            }
            present
        });
    }

    /// Whether an expression matches, which is told to those who follow rewriting. If not, what an earlier one captured is forgotten, as in
    /// nginx.
    pub(super) fn matches(&self, regex: &Regex, subject: &[u8]) -> Result<bool, Failed> {
        let matches = regex.matches(subject, &self.request.memory)?;
        if !matches {
            self.request.memory.borrow_mut().forget_captures();
        }
        let verdict = if matches { "matches" } else { "does not match" };
        self.tell(format_args!("\"{}\" {verdict} \"{}\"", regex.text(), String::from_utf8_lossy(subject)));
        Ok(matches)
    }

    /// A line of `rewrite_log`.
    pub(super) fn tell(&self, message: std::fmt::Arguments<'_>) {
        match self.log {
            true => self.client.log(Level::Notice, None, "", Some(self.request), message),
            false => self.client.debug(self.request, message),
        }
    }

    /// An expression came to no decision.
    pub(super) fn fail(&self, failed: &Failed) -> Flow {
        self.client.log(Level::Alert, None, "", Some(self.request), format_args!("{failed}"));
        Flow::Answer(Answer::Respond(Response::page(500, self.request.location.server_tokens)))
    }

    fn holds(&self, condition: &Condition) -> Result<bool, Failed> {
        let of = |variable: &Variable| {
            let mut value = Vec::new();
            self.values().write(variable, &mut value);
            value
        };
        Ok(match condition {
            Condition::True(variable) => !matches!(of(variable).as_slice(), b"" | b"0"),
            Condition::Equal { variable, value, not } => (of(variable) == self.value(value)) != *not,
            Condition::Matches { variable, regex, not } => self.matches(regex, &of(variable))? != *not,
            Condition::File { test, path, not } => self.file(*test, &self.value(path)) != *not,
        })
    }

    fn file(&self, test: FileTest, path: &[u8]) -> bool {
        let path = String::from_utf8_lossy(path);
        let metadata = match std::fs::metadata(std::path::Path::new(path.as_ref())) {
            Ok(metadata) => metadata,
            Err(error) => {
                if !matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG)) {
                    let message = format_args!("stat() \"{path}\" failed");
                    self.client.log(Level::Crit, Some(&error), "", Some(self.request), message);
                }
                return false;
            }
        };
        match test {
            FileTest::File => metadata.is_file(),
            FileTest::Directory => metadata.is_dir(),
            FileTest::Exists => metadata.is_file() || metadata.is_dir(),
            // The owner's bit, as in nginx.
            FileTest::Executable => metadata.permissions().mode() & 0o100 != 0,
        }
    }
}

/// Reads the words of an `if` with their brackets, in nginx's order of looking at them.
///
/// # Errors
/// nginx's message.
pub(super) fn condition(
    words: &[&[u8]],
    registry: &mut super::definitions::Registry,
    place: &crate::conf::Place,
) -> Result<Condition, String> {
    fn lossy(word: &[u8]) -> Cow<'_, str> {
        String::from_utf8_lossy(word)
    }
    let invalid = |word: &[u8]| Err(format!("invalid condition \"{}\"", lossy(word)));
    let mut words = words.to_vec();
    match words[0] {
        b"(" if words.len() > 1 => drop(words.remove(0)),
        [b'(', rest @ ..] if !rest.is_empty() => words[0] = rest,
        other => return invalid(other),
    }
    match words.last().copied() {
        Some(b")") if words.len() == 1 => return invalid(b")"),
        Some(b")") => drop(words.pop()),
        Some([rest @ .., b')']) => *words.last_mut().unwrap_or(&mut &b""[..]) = rest,
        other => return invalid(other.unwrap_or_default()),
    }
    match *words.as_slice() {
        // What a match captured is no variable here, as in nginx.
        [[b'$', digit @ b'1'..=b'9'], ..] => Err(format!("unknown \"{}\" variable", char::from(*digit))),
        [[b'$', name @ ..]] if !name.is_empty() => Ok(Condition::True(registry.variable(&lossy(name), place))),
        [[b'$', name @ ..], operator, operand] if !name.is_empty() => {
            let variable = registry.variable(&lossy(name), place);
            let not = operator.starts_with(b"!");
            match operator {
                b"=" | b"!=" => Ok(Condition::Equal { variable, value: registry.text(operand, place)?, not }),
                b"~" | b"~*" | b"!~" | b"!~*" => {
                    let regex = registry.regex(operand, operator.ends_with(b"*"))?;
                    Ok(Condition::Matches { variable, regex, not })
                }
                other => Err(format!("unexpected \"{}\" in condition", lossy(other))),
            }
        }
        [operator @ ([b'-', letter] | [b'!', b'-', letter]), path] => {
            let test = match letter {
                b'f' => FileTest::File,
                b'd' => FileTest::Directory,
                b'e' => FileTest::Exists,
                b'x' => FileTest::Executable,
                _ => return invalid(operator),
            };
            Ok(Condition::File { test, path: registry.text(path, place)?, not: operator.len() == 3 })
        }
        ref words => invalid(words.first().copied().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::Place;
    use crate::http::definitions::Registry;

    fn read(text: &str) -> Result<String, String> {
        let words: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
        let place = Place { file: "f".into(), line: 1 };
        condition(&words, &mut Registry::default(), &place).map(|condition| match condition {
            Condition::True(_) => "true".into(),
            Condition::Equal { not, .. } => format!("equal {not}"),
            Condition::Matches { regex, not, .. } => format!("matches {} {not}", regex.text()),
            Condition::File { test, not, .. } => format!("{test:?} {not}"),
        })
    }

    #[test]
    fn conditions() {
        let good = |text: &str| read(text).unwrap();
        assert_eq!(good("($uri)"), "true");
        assert_eq!(good("( $uri )"), "true");
        assert_eq!(good("($uri = /a)"), "equal false");
        assert_eq!(good("($uri != $args )"), "equal true");
        assert_eq!(good("($uri ~ (a|b))"), "matches (a|b) false");
        assert_eq!(good("($uri !~* a)"), "matches a true");
        assert_eq!(good("(-f $uri)"), "File false");
        assert_eq!(good("( !-d $uri )"), "Directory true");
        assert_eq!(good("(-e a)"), "Exists false");
        assert_eq!(good("(!-x a)"), "Executable true");
    }

    #[test]
    fn faults_in_the_words_of_nginx() {
        for (text, message) in [
            ("$uri", "invalid condition \"$uri\""),
            // The bracket is taken off before the end is looked at.
            ("($uri", "invalid condition \"$uri\""),
            ("($uri a b c)", "invalid condition \"$uri\""),
            ("(-f a b)", "invalid condition \"-f\""),
            ("(-g a)", "invalid condition \"-g\""),
            ("(a)", "invalid condition \"a\""),
            ("($uri == a)", "unexpected \"==\" in condition"),
        ] {
            assert_eq!(read(text), Err(message.into()), "{text}");
        }
    }
}
