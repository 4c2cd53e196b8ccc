//! `log_format`: the forms of access log lines.

use std::rc::Rc;

use super::variables::{self, Variable};
use crate::log::format::{Escape, Format};

/// A line with variables of a request.
pub(super) type Text = Format<Variable>;

/// nginx's predefined format.
const COMBINED: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \
                        \"$http_user_agent\"";

/// The formats of an `http {}`, by name.
#[derive(Clone, Debug)]
pub(super) struct Formats(Vec<(String, Rc<Text>)>);

impl Default for Formats {
    fn default() -> Self {
        let combined =
            variables::compile(COMBINED.as_bytes(), Escape::Default).expect("the predefined format is right");
        Formats(vec![("combined".to_owned(), Rc::new(combined))])
    }
}

impl Formats {
    pub(super) fn combined(&self) -> Rc<Text> {
        self.0[0].1.clone()
    }

    pub(super) fn find(&self, name: &str) -> Option<Rc<Text>> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, format)| format.clone())
    }

    /// Reads the arguments of `log_format`: a name, perhaps `escape=`, and pieces of text that are put together.
    ///
    /// # Errors
    /// nginx's message.
    pub(super) fn add(&mut self, name: &str, rest: &[&[u8]]) -> Result<(), String> {
        if self.find(name).is_some() {
            return Err(format!("duplicate \"log_format\" name \"{name}\""));
        }
        let (escape, pieces) = match rest.split_first() {
            Some((first, pieces)) if first.starts_with(b"escape=") => {
                let escape = match &first[7..] {
                    b"default" => Escape::Default,
                    b"json" => Escape::Json,
                    b"none" => Escape::None,
                    other => return Err(format!("unknown log format escaping \"{}\"", String::from_utf8_lossy(other))),
                };
                (escape, pieces)
            }
            _ => (Escape::Default, rest),
        };
        let text = variables::compile(&pieces.concat(), escape)?;
        self.0.push((name.to_owned(), Rc::new(text)));
        Ok(())
    }
}
