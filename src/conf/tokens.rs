//! The words of the language, and the directives they make up: quoting, escapes, comments, line numbers.
//!
//! The rules are those of nginx's own reader. The parsers of words are nom's streaming ones: where they ask for more
//! input, the file has ended inside of a word.

use memchr::memchr_iter;
use nom::branch::alt;
use nom::bytes::{complete, streaming};
use nom::combinator::recognize;
use nom::multi::{many0_count, many1_count};
use nom::sequence::{delimited, preceded};
use nom::{IResult, Parser};

use super::tree::Word;

/// The size of nginx's read buffer, in which a word must fit. Its use is to name the line of a quote that is never
/// closed, instead of the end of the file.
const WORD_MAX: usize = 4096;

/// What ends a run of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// `;`
    Semicolon,
    /// `{`
    Open,
    /// `}`, before which no words stand.
    Close,
    /// The end of the text, before which no words stand.
    End,
}

/// Why the text cannot be read on.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// nginx's words for it.
    pub message: String,
    /// The line nginx names.
    pub line: u32,
    /// The words read before it that belong to no directive yet.
    pub words: Vec<Word>,
}

/// A text being read.
pub struct Tokens<'a> {
    rest: &'a [u8],
    /// The line of the next byte, counted from 1.
    line: u32,
    /// Whether the text comes from the command line, which nginx does not read through its buffer.
    parameter: bool,
}

impl<'a> Tokens<'a> {
    /// Starts at line 1 of a file; a byte order mark is skipped.
    pub fn of_file(text: &'a [u8]) -> Self {
        Tokens { rest: text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text), line: 1, parameter: false }
    }

    /// Starts reading the text of `-g`.
    pub fn of_parameter(text: &'a [u8]) -> Self {
        Tokens { rest: text, line: 1, parameter: true }
    }

    /// The line reached: that of the mark last returned.
    pub fn line(&self) -> u32 {
        self.line
    }

    /// Reads words up to and with the mark that ends them.
    pub fn read(&mut self) -> Result<(Vec<Word>, Mark), Fault> {
        let mut words = Vec::new();
        match self.words(&mut words) {
            Ok(mark) => Ok((words, mark)),
            Err(message) => Err(Fault { message, line: self.line, words }),
        }
    }

    fn words(&mut self, words: &mut Vec<Word>) -> Result<Mark, String> {
        loop {
            self.skip_blanks_and_comments();
            let mark = match self.rest.first() {
                None if words.is_empty() => return Ok(Mark::End),
                None => return Err(self.ended()),
                Some(b';') if !words.is_empty() => Mark::Semicolon,
                Some(b'{') if !words.is_empty() => Mark::Open,
                Some(b'}') if words.is_empty() => Mark::Close,
                Some(b';' | b'{' | b'}') => return Err(self.unexpected()),
                Some(_) => {
                    words.push(self.word()?);
                    continue;
                }
            };
            self.advance_to(&self.rest[1..]);
            return Ok(mark);
        }
    }

    fn word(&mut self) -> Result<Word, String> {
        let quote = self.rest.first().copied().filter(|byte| matches!(byte, b'"' | b'\''));
        let parsed = match quote {
            Some(quote) => quoted(quote, self.rest),
            None => bare(self.rest),
        };
        match parsed {
            Ok((_, raw)) if raw.len() >= WORD_MAX && !self.parameter => Err(self.too_long(quote)),
            Ok((rest, raw)) => {
                self.advance_to(rest);
                match self.rest.first() {
                    // A round bracket may follow at once: `if ($a = "b") {`.
                    Some(byte) if quote.is_some() && !is_blank(*byte) && !b";{)".contains(byte) => {
                        Err(self.unexpected())
                    }
                    _ => Ok(Word { bytes: unescape(raw), quoted: quote.is_some() }),
                }
            }
            Err(_) if self.rest.len() - quote.iter().len() > WORD_MAX && !self.parameter => Err(self.too_long(quote)),
            Err(_) => Err(self.ended()),
        }
    }

    fn skip_blanks_and_comments(&mut self) {
        let comment = preceded(complete::tag(&b"#"[..]), complete::take_till(|byte| byte == b'\n'));
        let skipped: IResult<_, _> = many0_count(alt((complete::take_while1(is_blank), comment))).parse(self.rest);
        if let Ok((rest, _)) = skipped {
            self.advance_to(rest);
        }
    }

    /// Goes on at `rest`, a tail of the text, counting the lines passed.
    fn advance_to(&mut self, rest: &'a [u8]) {
        let passed = &self.rest[..self.rest.len() - rest.len()];
        self.line += memchr_iter(b'\n', passed).count() as u32;
        self.rest = rest;
    }

    fn unexpected(&self) -> String {
        // The whole of a character where there is one; nginx prints its first byte.
        let head = self.rest.utf8_chunks().next();
        let character = head.and_then(|chunk| chunk.valid().chars().next()).unwrap_or(char::REPLACEMENT_CHARACTER);
        format!("unexpected \"{character}\"")
    }

    fn ended(&mut self) -> String {
        self.advance_to(&[]);
        let message = if self.parameter {
            r#"unexpected end of parameter, expecting ";""#
        } else {
            r#"unexpected end of file, expecting ";" or "}""#
        };
        message.into()
    }

    fn too_long(&self, quote: Option<u8>) -> String {
        match quote {
            Some(quote) => {
                format!("too long parameter, probably missing terminating \"{}\" character", char::from(quote))
            }
            None => format!("too long parameter \"{}...\" started", String::from_utf8_lossy(&self.rest[..10])),
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// A backslash and whatever it protects.
fn escape(input: &[u8]) -> IResult<&[u8], &[u8]> {
    preceded(streaming::tag(&b"\\"[..]), streaming::take(1_usize)).parse(input)
}

/// A `$` and the brace of `${name}`, which opens no block. nginx takes any number of braces here.
fn variable(input: &[u8]) -> IResult<&[u8], &[u8]> {
    preceded(streaming::tag(&b"$"[..]), streaming::take_while(|byte| byte == b'{')).parse(input)
}

/// A word without quotes, as written. Quotes, `}` and `#` mean nothing behind its first byte.
fn bare(input: &[u8]) -> IResult<&[u8], &[u8]> {
    let plain = streaming::take_while1(|byte| !is_blank(byte) && !b";{\\$".contains(&byte));
    recognize(many1_count(alt((plain, escape, variable)))).parse(input)
}

/// A word in quotes, as written between them.
fn quoted(quote: u8, input: &[u8]) -> IResult<&[u8], &[u8]> {
    let mark = [quote];
    let plain = streaming::take_while1(|byte| byte != quote && byte != b'\\');
    let body = recognize(many0_count(alt((plain, escape))));
    delimited(streaming::tag(&mark[..]), body, streaming::tag(&mark[..])).parse(input)
}

/// Undoes the escapes nginx knows; any other backslash stays.
fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&first, tail)) = rest.split_first() {
        let known = match (first, tail.first()) {
            (b'\\', Some(&same @ (b'"' | b'\'' | b'\\'))) => Some(same),
            (b'\\', Some(b't')) => Some(b'\t'),
            (b'\\', Some(b'r')) => Some(b'\r'),
            (b'\\', Some(b'n')) => Some(b'\n'),
            _ => None,
        };
        bytes.push(known.unwrap_or(first));
        rest = if known.is_some() { &tail[1..] } else { tail };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The words and mark of the first directive.
    fn first(text: &[u8]) -> Result<(Vec<Vec<u8>>, Mark), String> {
        let (words, mark) = Tokens::of_file(text).read().map_err(|fault| fault.message)?;
        Ok((words.into_iter().map(|word| word.bytes).collect(), mark))
    }

    /// The words of the first directive, ended by `;`.
    fn words(text: &str) -> Vec<String> {
        let (words, mark) = first(text.as_bytes()).unwrap();
        assert_eq!(mark, Mark::Semicolon);
        words.into_iter().map(|word| String::from_utf8(word).unwrap()).collect()
    }

    /// The first fault and its line.
    fn fault(text: &str) -> (String, u32) {
        let mut tokens = Tokens::of_file(text.as_bytes());
        loop {
            match tokens.read() {
                Ok((_, mark)) => assert_ne!(mark, Mark::End, "no fault in {text}"),
                Err(fault) => return (fault.message, fault.line),
            }
        }
    }

    const ENDED: &str = r#"unexpected end of file, expecting ";" or "}""#;

    #[test]
    fn words_end_at_blanks_and_marks() {
        assert_eq!(words("a b\tc\r\nd\n;"), ["a", "b", "c", "d"]);
        assert_eq!(words(" \r\n a;b;"), ["a"]);
        assert_eq!(first(b"a{"), Ok((vec![b"a".to_vec()], Mark::Open)));
        assert_eq!(first(b" }"), Ok((vec![], Mark::Close)));
        assert_eq!(first(b""), Ok((vec![], Mark::End)));
        assert_eq!(first(b" # only a comment"), Ok((vec![], Mark::End)));
    }

    #[test]
    fn marks_inside_of_words() {
        assert_eq!(words("a}b #c\n d#e f\"g\" h'i;"), ["a}b", "d#e", "f\"g\"", "h'i"]);
        assert_eq!(words("a) (b);"), ["a)", "(b)"]);
    }

    #[test]
    fn braces_of_variables() {
        assert_eq!(words("${a}b c${d} $e;"), ["${a}b", "c${d}", "$e"]);
        assert_eq!(words("a${{b $;"), ["a${{b", "$"]);
        assert_eq!(first(b"a$b{"), Ok((vec![b"a$b".to_vec()], Mark::Open)));
        assert_eq!(first(b"a\\${"), Ok((vec![b"a\\$".to_vec()], Mark::Open)));
    }

    #[test]
    fn quotes() {
        assert_eq!(words(r#""a b" 'c;{}#' "it's" '"' "" '';"#), ["a b", "c;{}#", "it's", "\"", "", ""]);
        assert_eq!(words("'a\r\nb' \"${c}\";"), ["a\r\nb", "${c}"]);
        assert_eq!(words("if (a = \"b\") c;"), ["if", "(a", "=", "b", ")", "c"]);
        let (words, _) = Tokens::of_file(b"a 'b' \"c\";").read().unwrap();
        assert_eq!(words.iter().map(|word| word.quoted).collect::<Vec<_>>(), [false, true, true]);
    }

    #[test]
    fn behind_a_closing_quote() {
        assert_eq!(first(b"'a'{"), Ok((vec![b"a".to_vec()], Mark::Open)));
        for (text, character) in
            [("'a'b;", 'b'), ("\"a\"\"b\";", '"'), ("'a'}", '}'), ("'a'#", '#'), ("'a'\u{e9}", 'é')]
        {
            assert_eq!(fault(text), (format!("unexpected \"{character}\""), 1), "{text}");
        }
    }

    #[test]
    fn escapes() {
        assert_eq!(words(r#"\"a\' b\\c \t\r\n;"#), ["\"a'", "b\\c", "\t\r\n"]);
        assert_eq!(words(r#""\"\'\\\t\r\n" '\'\x\$\0';"#), ["\"'\\\t\r\n", "'\\x\\$\\0"]);
        // A protected byte does not end the word; the backslash stays.
        assert_eq!(words(r"a\ b \;c \{ \} \#d;"), ["a\\ b", "\\;c", "\\{", "\\}", "\\#d"]);
        assert_eq!(words("a\\\nb;"), ["a\\\nb"]);
        assert_eq!(words(r"\\t \\\n;"), ["\\t", "\\\n"]);
    }

    #[test]
    fn any_bytes() {
        assert_eq!(words("grüß 世界;"), ["grüß", "世界"]);
        assert_eq!(first(b"\xff\x00 '\xfe';"), Ok((vec![b"\xff\x00".to_vec(), b"\xfe".to_vec()], Mark::Semicolon)));
        assert_eq!(words("\u{feff}a;"), ["a"]);
        assert_eq!(words("a \u{feff}b;"), ["a", "\u{feff}b"]);
    }

    #[test]
    fn unexpected_marks() {
        assert_eq!(fault("a;\n;"), ("unexpected \";\"".into(), 2));
        assert_eq!(fault("\n{"), ("unexpected \"{\"".into(), 2));
        assert_eq!(fault("a\n}"), ("unexpected \"}\"".into(), 2));
        let fault = Tokens::of_file(b"// x }").read().unwrap_err();
        assert_eq!(fault.words.iter().map(|word| &word.bytes[..]).collect::<Vec<_>>(), [&b"//"[..], b"x"]);
    }

    #[test]
    fn texts_that_end_inside_of_a_directive() {
        for text in ["a", "a ", "a b", "'a", "'a'", "\"a;\\\"", "a\\", "$", "a #;"] {
            assert_eq!(fault(text), (ENDED.into(), 1), "{text}");
        }
        assert_eq!(fault("a 'b\n\n"), (ENDED.into(), 3));
        let fault = Tokens::of_parameter(b"a").read().unwrap_err();
        assert_eq!(fault.message, r#"unexpected end of parameter, expecting ";""#);
    }

    #[test]
    fn lines_are_those_of_the_marks() {
        let mut tokens = Tokens::of_file(b"# 1\r\na 'x\ny' b\\\nc\n;d{\n\n}");
        let mut lines = Vec::new();
        while tokens.read().unwrap().1 != Mark::End {
            lines.push(tokens.line());
        }
        assert_eq!(lines, [5, 5, 7]);
    }

    #[test]
    fn words_that_do_not_fit_the_buffer() {
        let long = "a".repeat(WORD_MAX);
        let fits = &long[1..];
        assert_eq!(words(&format!("{fits};")), [fits]);
        assert_eq!(words(&format!("'{fits}';")), [fits]);
        assert_eq!(fault(&format!("\n{long};")), ("too long parameter \"aaaaaaaaaa...\" started".into(), 2));
        assert_eq!(fault(&format!("{long}b")).0, "too long parameter \"aaaaaaaaaa...\" started");
        assert_eq!(fault(&long).0, ENDED);
        let unclosed = "too long parameter, probably missing terminating \"'\" character";
        assert_eq!(fault(&format!("\n'\n{long}")), (unclosed.into(), 2));
        assert_eq!(fault(&format!("'{long}';")), (unclosed.into(), 1));
        assert_eq!(fault(&format!("'{long}")).0, ENDED);
        // nginx minds long comments too, by mistake.
        assert_eq!(words(&format!("#{long}\na;")), ["a"]);
        let text = format!("{long}b;");
        assert!(Tokens::of_parameter(text.as_bytes()).read().is_ok());
    }

    proptest! {
        #[test]
        fn any_text_comes_to_an_end(text in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b" \n;{}#\"'\\$)a".to_vec())], 0..200)) {
            let mut tokens = Tokens::of_file(&text);
            let mut marks = 0;
            while tokens.read().is_ok_and(|(_, mark)| mark != Mark::End) {
                marks += 1;
            }
            prop_assert!(marks <= text.len());
            let lines = 1 + text.iter().filter(|byte| **byte == b'\n').count();
            prop_assert!(tokens.line() as usize <= lines);
        }
    }
}
