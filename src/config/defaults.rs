//! What is used when neither the configuration nor the command line says otherwise.
//!
//! Each value is fixed when weir is built, by an environment variable of the build; a relative path is taken against the
//! prefix. The defaults are those of an nginx built without options, so that weir can be put in the place of one.
//! `weir -V` prints what a binary was built with.

/// The prefix, against which relative paths are taken (`WEIR_PREFIX`; nginx's `--prefix`).
pub const PREFIX: &str = or(option_env!("WEIR_PREFIX"), "/usr/local/nginx");

/// The configuration file (`WEIR_CONF_PATH`; nginx's `--conf-path`).
pub const CONF_PATH: &str = or(option_env!("WEIR_CONF_PATH"), "conf/nginx.conf");

/// The error log (`WEIR_ERROR_LOG_PATH`; nginx's `--error-log-path`); `stderr` is the standard error output.
pub const ERROR_LOG_PATH: &str = or(option_env!("WEIR_ERROR_LOG_PATH"), "logs/error.log");

/// The file with the master's process id (`WEIR_PID_PATH`; nginx's `--pid-path`).
pub const PID_PATH: &str = or(option_env!("WEIR_PID_PATH"), "logs/nginx.pid");

/// The access log of `http {}` servers that name none (`WEIR_HTTP_LOG_PATH`; nginx's `--http-log-path`).
pub const HTTP_ACCESS_LOG_PATH: &str = or(option_env!("WEIR_HTTP_LOG_PATH"), "logs/access.log");

/// The access log of `tcp {}` servers that name none; the same path in every build, as in the module.
pub const TCP_ACCESS_LOG_PATH: &str = "logs/tcp_access.log";

/// The account of the workers when the master runs as root (`WEIR_USER`; nginx's `--user`).
pub const USER: &str = or(option_env!("WEIR_USER"), "nobody");

/// The group of the workers (`WEIR_GROUP`; nginx's `--group`); without one it is the user's own group.
pub const GROUP: Option<&str> = option_env!("WEIR_GROUP");

const fn or(value: Option<&'static str>, default: &'static str) -> &'static str {
    match value {
        Some(value) => value,
        None => default,
    }
}
