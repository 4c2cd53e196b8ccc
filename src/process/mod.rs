//! Master, workers, signals, pid file, daemon, privileges, reload, binary upgrade.
