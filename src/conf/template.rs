//! Text with variables: `"hello $remote_addr"` cut into literals and names, once, at load.

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Bytes as they stand.
    Literal(Vec<u8>),
    /// The name of a variable without `$` and braces.
    Variable(String),
}

/// Cuts `text` at `$name` and `${name}`; names are letters, digits and `_`. The error is nginx's message
/// (`invalid variable name`, `the closing bracket in "x" variable is missing`).
pub fn parse(_text: &[u8]) -> Result<Vec<Part>, String> {
    todo!()
}
