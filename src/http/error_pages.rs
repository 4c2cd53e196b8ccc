//! `error_page`: what is answered in the place of the page of a status.

use super::definitions::Registry;
use super::pages;
use super::uri;
use super::variables::{Text, Values};
use crate::conf::{Place, value};

/// One `error_page` directive.
#[derive(Clone, Debug)]
pub(super) struct ErrorPage {
    statuses: Vec<u16>,
    /// `=code`; zero for `=`: the status is that of what is found there.
    status: Option<u16>,
    target: Text,
}

/// Where a request goes instead.
pub(super) enum Instead {
    Path(Vec<u8>, Option<Vec<u8>>),
    /// `@name`
    Named(Vec<u8>),
    /// The client is redirected.
    Redirect(u16, Vec<u8>),
}

impl ErrorPage {
    /// Reads the arguments.
    ///
    /// # Errors
    /// nginx's message.
    pub(super) fn parse(words: &[&[u8]], registry: &mut Registry, place: &Place) -> Result<Self, String> {
        let invalid = |word: &[u8]| format!("invalid value \"{}\"", String::from_utf8_lossy(word));
        let number = |word: &[u8]| {
            let number = std::str::from_utf8(word).ok().and_then(value::number);
            number.and_then(|number| u16::try_from(number).ok())
        };
        let Some((target, mut codes)) = words.split_last() else { return Err(invalid(b"")) };
        let mut status = None;
        if let Some((word @ [b'=', code @ ..], rest)) = codes.split_last() {
            if rest.is_empty() {
                return Err(invalid(word));
            }
            codes = rest;
            status = if code.is_empty() { Some(0) } else { Some(number(code).ok_or_else(|| invalid(word))?) };
        }
        let mut statuses = Vec::new();
        for code in codes {
            // 499 is nginx's word for a client that has gone.
            let read = number(code).filter(|code| *code != 499).ok_or_else(|| invalid(code))?;
            if !(300..=599).contains(&read) {
                return Err(format!("value \"{read}\" must be between 300 and 599"));
            }
            statuses.push(read);
        }
        Ok(ErrorPage { statuses, status, target: registry.text(target, place)? })
    }

    /// Whether it is for this status.
    pub(super) fn covers(&self, status: u16) -> bool {
        self.statuses.contains(&status)
    }

    /// The status of the answer: `None` for that of what is found at the target.
    pub(super) fn status(&self, status: u16) -> Option<u16> {
        Some(self.status.unwrap_or(pages::sent(status))).filter(|status| *status != 0)
    }

    /// Where the request goes.
    pub(super) fn target(&self, values: &Values<'_>) -> Instead {
        let target = values.fill(&self.target);
        match target.first() {
            Some(b'/') => {
                let (path, args) = uri::split_args(target);
                Instead::Path(path, args)
            }
            Some(b'@') => Instead::Named(target),
            _ => {
                let redirect = self.status.filter(|status| matches!(status, 301 | 302 | 303 | 307 | 308));
                Instead::Redirect(redirect.unwrap_or(302), target)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let read = |words: &[&str]| -> Result<(Vec<u16>, Option<u16>), String> {
            let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            let place = Place { file: "f".into(), line: 1 };
            let page = ErrorPage::parse(&words, &mut Registry::default(), &place)?;
            Ok((page.statuses, page.status))
        };
        assert_eq!(read(&["404", "/x"]), Ok((vec![404], None)));
        assert_eq!(read(&["500", "502", "=200", "/x"]), Ok((vec![500, 502], Some(200))));
        assert_eq!(read(&["404", "=", "@x"]), Ok((vec![404], Some(0))));
        assert_eq!(read(&["=200", "/x"]), Err("invalid value \"=200\"".into()));
        assert_eq!(read(&["404", "=x", "/x"]), Err("invalid value \"=x\"".into()));
        assert_eq!(read(&["499", "/x"]), Err("invalid value \"499\"".into()));
        assert_eq!(read(&["x", "/x"]), Err("invalid value \"x\"".into()));
        assert_eq!(read(&["200", "/x"]), Err("value \"200\" must be between 300 and 599".into()));
    }
}
