//! The `log` crate's records on their way into the error log, chosen by env_logger's filters.

use std::env;
use std::sync::OnceLock;

use ::log::{LevelFilter, Log, Metadata};

use super::error::{Level, Record, emit};

/// env_logger decides which records pass; where they go and in what form is the error log's matter.
struct Bridge(env_logger::Logger);

impl Log for Bridge {
    fn enabled(&self, metadata: &Metadata) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &::log::Record) {
        if self.0.matches(record) {
            emit(&Record::new(Level::Debug), format_args!("{}: {}", record.target(), record.args()));
        }
    }

    fn flush(&self) {}
}

static BRIDGE: OnceLock<Bridge> = OnceLock::new();

/// Switches the records on or off. `WEIR_DEBUG` is read when they are first switched on.
pub(super) fn switch(on: bool) {
    if !on {
        ::log::set_max_level(LevelFilter::Off);
        return;
    }
    let bridge = BRIDGE.get_or_init(|| {
        let filters = env::var("WEIR_DEBUG").unwrap_or_else(|_| String::from("weir=debug"));
        Bridge(env_logger::Builder::new().parse_filters(&filters).build())
    });
    // Refused from the second time on, when it is in place already.
    let _ = ::log::set_logger(bridge);
    ::log::set_max_level(bridge.0.filter());
}
