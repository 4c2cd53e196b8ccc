//! One line of the error log, put together without memory from the heap.

use std::fmt::{self, Write};
use std::io;

use super::clock;
use super::error::{Level, Record};

/// The longest line, its `\n` included (nginx: `NGX_MAX_ERROR_STR`).
const MAX: usize = 2048;

/// A message that leaves less room than this is cut, so that the system error after it can be read (nginx does the same).
const ERROR_ROOM: usize = 50;

/// A finished line.
pub(super) struct Line {
    buffer: [u8; MAX],
    len: usize,
    message: usize,
    /// How grave it is.
    pub(super) level: Level,
    /// Written whatever the sinks' levels.
    pub(super) forced: bool,
}

impl Line {
    /// Puts a line together. Writing into it cannot fail, so results of `write!` say nothing here.
    pub(super) fn new(record: &Record, message: fmt::Arguments) -> Self {
        let mut line =
            Line { buffer: [0; MAX], len: 0, message: 0, level: record.level, forced: record.debug_connection };
        // A process has one thread, whose id is that of the process.
        let pid = std::process::id();
        let _ = write!(line, "{} [{}] {pid}#{pid}: ", clock::now_log(), record.level.name());
        if let Some(number) = record.connection {
            let _ = write!(line, "*{number} ");
        }
        line.message = line.len;
        let _ = line.write_fmt(message);
        if let Some(error) = record.error {
            line.make_room_for_error();
            let _ = write!(line, " ({})", Cause(error));
        }
        if let Some(context) = record.context.filter(|_| record.level != Level::Debug) {
            let _ = write!(line, "{context}");
        }
        line.buffer[line.len] = b'\n';
        line.len += 1;
        line
    }

    /// The line as files get it.
    pub(super) fn full(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    /// The line as nginx shows it on the terminal: `weir: [emerg] message`.
    pub(super) fn short(&self) -> Vec<u8> {
        let mut short = format!("weir: [{}] ", self.level.name()).into_bytes();
        short.extend_from_slice(&self.buffer[self.message..self.len]);
        short
    }

    fn make_room_for_error(&mut self) {
        let mut end = MAX - ERROR_ROOM;
        if self.len <= end {
            return;
        }
        while self.buffer[end] & 0xc0 == 0x80 {
            end -= 1; // not in the middle of a character
        }
        self.len = end;
        self.push(b"...");
    }

    /// Adds bytes that belong together; false when they do not fit before the `\n`.
    fn push(&mut self, bytes: &[u8]) -> bool {
        let fits = self.len + bytes.len() < MAX;
        if fits {
            self.buffer[self.len..self.len + bytes.len()].copy_from_slice(bytes);
            self.len += bytes.len();
        }
        fits
    }
}

impl Write for Line {
    /// Adds text up to the longest line. What could break the line or confuse a terminal is written as `\x0A`, the way
    /// nginx's access logs do.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            let fits = if character.is_control() {
                self.push(format!("\\x{:02X}", u32::from(character)).as_bytes())
            } else {
                self.push(character.encode_utf8(&mut [0; 4]).as_bytes())
            };
            if !fits {
                break;
            }
        }
        Ok(())
    }
}

/// A system error as nginx prints it: `111: Connection refused`.
struct Cause<'a>(&'a io::Error);

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        match self.0.raw_os_error() {
            // std gives libc's text and adds the number behind it.
            Some(number) => {
                let suffix = format!(" (os error {number})");
                write!(f, "{number}: {}", text.strip_suffix(&suffix).unwrap_or(&text))
            }
            None => f.write_str(&text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(record: &Record, message: fmt::Arguments) -> String {
        String::from_utf8(Line::new(record, message).full().to_vec()).unwrap()
    }

    #[test]
    fn a_line_has_all_its_parts_in_nginx_order() {
        let error = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        let context =
            " while connecting to upstream, client: 127.0.0.1, server: 0.0.0.0:80, upstream: \"127.0.0.1:81\"";
        let record = Record {
            level: Level::Error,
            connection: Some(7),
            error: Some(&error),
            context: Some(&context),
            ..Record::new(Level::Error)
        };
        let line = text(&record, format_args!("connect() failed"));
        let pid = std::process::id();
        let (time, rest) = line.split_at("2026/11/21 20:31:05".len());
        assert!(chrono::NaiveDateTime::parse_from_str(time, "%Y/%m/%d %H:%M:%S").is_ok(), "{time}");
        assert_eq!(rest, format!(" [error] {pid}#{pid}: *7 connect() failed (111: Connection refused){context}\n"));
    }

    #[test]
    fn the_short_form_begins_at_the_message() {
        let record = Record { connection: Some(3), ..Record::new(Level::Emerg) };
        let line = Line::new(&record, format_args!("no \"events\" section in configuration"));
        assert_eq!(line.short(), b"weir: [emerg] no \"events\" section in configuration\n");
    }

    #[test]
    fn error_texts_are_those_of_libc() {
        assert_eq!(
            Cause(&io::Error::from_raw_os_error(libc::EAGAIN)).to_string(),
            "11: Resource temporarily unavailable"
        );
        assert_eq!(Cause(&io::Error::from_raw_os_error(libc::ETIMEDOUT)).to_string(), "110: Connection timed out");
        assert_eq!(Cause(&io::Error::other("odd")).to_string(), "odd");
    }

    #[test]
    fn debug_lines_have_no_context() {
        let record = Record { context: Some(&", client: x"), ..Record::new(Level::Debug) };
        assert!(text(&record, format_args!("step")).ends_with(": step\n"));
    }

    #[test]
    fn control_characters_stay_inside_the_line() {
        let line = text(&Record::new(Level::Warn), format_args!("a\nb\r\x1b[2J\0é\u{85}"));
        assert!(line.ends_with("a\\x0Ab\\x0D\\x1B[2J\\x00é\\x85\n"), "{line}");
        assert_eq!(line.matches('\n').count(), 1);
    }

    #[test]
    fn long_lines_are_cut_at_a_character() {
        let long = "ä".repeat(3000);
        let line = text(&Record::new(Level::Warn), format_args!("{long}"));
        assert!(line.len() == MAX || line.len() == MAX - 1, "{}", line.len());
        assert!(line.ends_with("ä\n"));
    }

    #[test]
    fn a_long_message_leaves_room_for_the_error() {
        let error = io::Error::from_raw_os_error(libc::ENOENT);
        let record = Record { error: Some(&error), ..Record::new(Level::Emerg) };
        for start in ["", "x"] {
            let long = format!("{start}{}", "ä".repeat(3000));
            let line = text(&record, format_args!("{long}"));
            assert!(line.ends_with("ä... (2: No such file or directory)\n"), "{line}");
        }
    }
}
