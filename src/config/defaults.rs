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

/// Where request bodies are kept that are too large for memory (`WEIR_HTTP_CLIENT_BODY_TEMP_PATH`; nginx's
/// `--http-client-body-temp-path`).
pub const CLIENT_TEMP_PATH: &str = or(option_env!("WEIR_HTTP_CLIENT_BODY_TEMP_PATH"), "client_body_temp");

/// The same for answers of servers (`WEIR_HTTP_PROXY_TEMP_PATH`; nginx's `--http-proxy-temp-path`).
pub const PROXY_TEMP_PATH: &str = or(option_env!("WEIR_HTTP_PROXY_TEMP_PATH"), "proxy_temp");

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
