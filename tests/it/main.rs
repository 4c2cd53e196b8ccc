//! Tests over the real binary: each starts it with a configuration of its own, in a folder of its own, on ports of its own.

mod access;
mod balance;
mod check_types;
mod checks;
mod cmdline;
mod common;
mod config_accept;
mod config_errors;
mod config_files;
mod config_tables;
mod crowd;
mod limits;
mod listen;
mod logs;
mod methods;
mod processes;
mod relay;
mod reload;
mod return_text;
mod seed;
mod shipped;
mod signals;
mod timeouts;
mod upgrade;
