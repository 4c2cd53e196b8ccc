//! The words of the configuration language.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::conf::tokens::{Mark, Tokens};
use weir_fuzz::config_text;

/// A word that fits is not to become too long by its escapes.
const LONGEST: usize = 2000;

fuzz_target!(|text: &[u8]| {
    let mut parameter = Tokens::of_parameter(text);
    while parameter.read().is_ok_and(|(_, mark)| mark != Mark::End) {}
    let lines = 1 + memchr::memchr_iter(b'\n', text).count() as u32;
    let mut tokens = Tokens::of_file(text);
    let mut before = 1;
    loop {
        let read = tokens.read();
        let line = tokens.line();
        assert!(before <= line && line <= lines, "line {line} behind {before}, of {lines}");
        before = line;
        match read {
            Ok((_, Mark::End)) => break,
            Ok(_) => {}
            Err(fault) => {
                assert_eq!(fault.line, line);
                break;
            }
        }
    }
    if let Some(directives) = config_text::directives(text).filter(|_| text.len() < LONGEST) {
        assert_eq!(config_text::directives(&config_text::print(&directives)), Some(directives));
    }
});
