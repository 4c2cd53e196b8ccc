//! Where weir means to answer otherwise than nginx 1.22; `docs/differences.md` is made from this table.

/// What is compared of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Answer,
    Connection,
    Upstream,
    AccessLog,
    ErrorLog,
}

/// One difference that is meant.
pub struct Difference {
    /// What cases call it.
    pub key: &'static str,
    /// Where it may show; elsewhere the case must be the same.
    pub parts: &'static [Part],
    /// What nginx does.
    pub nginx: &'static str,
    /// What weir does instead.
    pub weir: &'static str,
    pub reason: &'static str,
}

/// All of them.
pub const TABLE: &[Difference] = &[];

/// The entry of a key.
pub fn find(key: &str) -> &'static Difference {
    TABLE.iter().find(|difference| difference.key == key).unwrap_or_else(|| panic!("no difference is called {key}"))
}
