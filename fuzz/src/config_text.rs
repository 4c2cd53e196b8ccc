//! Configurations written anew in another form that means the same.

use weir::conf::tokens::{Mark, Tokens};

/// A run of words and what ends it.
#[derive(Debug, PartialEq, Eq)]
pub struct Directive {
    /// Unquoted and unescaped.
    pub words: Vec<Vec<u8>>,
    /// `Mark::End` behind the last of them.
    pub mark: Mark,
    /// Where the mark stands.
    pub line: u32,
}

/// What a text consists of, the end of it as the last. `None` for a text with a fault.
pub fn directives(text: &[u8]) -> Option<Vec<Directive>> {
    let mut tokens = Tokens::of_file(text);
    let mut found = Vec::new();
    while found.last().is_none_or(|last: &Directive| last.mark != Mark::End) {
        let (words, mark) = tokens.read().ok()?;
        let words = words.into_iter().map(|word| word.bytes).collect();
        found.push(Directive { words, mark, line: tokens.line() });
    }
    Some(found)
}

/// Writes directives with all words in quotes, each one ended on the line where it was.
pub fn print(directives: &[Directive]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut reached = 1;
    for Directive { words, mark, line } in directives {
        for word in words {
            print_word(word, &mut out);
            out.push(b' ');
        }
        out.extend((reached..*line).map(|_| b'\n'));
        reached = *line;
        match mark {
            Mark::Semicolon => out.push(b';'),
            Mark::Open => out.push(b'{'),
            Mark::Close => out.push(b'}'),
            Mark::End => {}
        }
    }
    out
}

/// Writes a word in quotes.
pub fn print_word(word: &[u8], out: &mut Vec<u8>) {
    out.push(b'\'');
    for &byte in word {
        match byte {
            b'\'' | b'\\' => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            _ => out.push(byte),
        }
    }
    out.push(b'\'');
}

/// Whether blocks end where they begin, and so does the last directive: such a text can stand in a block of another one.
pub fn is_whole(directives: &[Directive]) -> bool {
    let mut depth = 0_usize;
    for Directive { words, mark, .. } in directives {
        match mark {
            Mark::Open => depth += 1,
            Mark::Close => match depth.checked_sub(1) {
                Some(outer) => depth = outer,
                None => return false,
            },
            Mark::End => return depth == 0 && words.is_empty(),
            Mark::Semicolon => {}
        }
    }
    false
}
