//! The nginx configuration language: tokens, tree, values, directive tables, errors with file and line.
//!
//! A file is read in three passes. [`tree`] turns the text (and what it includes) into nodes; [`table::check`]
//! holds every node against the directive tables of all blocks; then [`table::apply`] calls the setters of one
//! block's table, block by block, and each setter fills a plain typed struct. Nothing here knows what a
//! directive is for.
//!
//! nginx does all three at once, a directive at a time, and stops at the first fault it meets. To report the same one,
//! the first two passes do not fail: they end the tree with a node that carries the fault, and the third returns it
//! when its turn comes, unless a setter before it has refused its directive.

pub mod error;
pub mod file;
pub mod loader;
pub mod table;
pub mod template;
pub mod tokens;
pub mod tree;
pub mod value;

#[cfg(test)]
mod tests;

pub use error::{Error, Place, Result};
pub use loader::Loader;
pub use table::{Arity, Call, Contexts, Directive, Row};
pub use tree::{Node, Word};

/// A level that does not say a thing has what the level above says.
pub fn inherit<T: Clone>(own: &mut Option<T>, above: &Option<T>) {
    if own.is_none() {
        own.clone_from(above);
    }
}
