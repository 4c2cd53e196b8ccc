//! Directives whose argument is of a common kind, each with all that can be wrong with that.

use super::Case;

/// What an argument must be, values that it cannot be, one that it can, and the directives: by context, so that the next one of
/// [`WRONG`] can be where they may not stand.
struct Kind {
    bad: &'static [&'static str],
    /// Refused by nginx only, for a unit.
    units: &'static [&'static str],
    good: &'static str,
    names: &'static [(Contexts, &'static str)],
}

#[derive(Clone, Copy)]
enum Contexts {
    /// `http`
    H,
    /// and `server`
    Hs,
    /// and `location`
    Hsl,
    /// and `if` in it
    Hslif,
}

use Contexts::{H, Hs, Hsl, Hslif};

impl Contexts {
    /// Where a directive may stand, and where not.
    fn places(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            H => (&["http"], &["main", "server", "location", "if", "server-if", "limit_except", "upstream"]),
            Hs => (&["http", "server"], &["main", "location", "if", "server-if", "limit_except", "upstream"]),
            Hsl => (&["http", "server", "location"], &["main", "if", "server-if", "limit_except", "upstream"]),
            Hslif => (&["http", "server", "location", "if"], &["main", "server-if", "limit_except", "upstream"]),
        }
    }
}

const KINDS: &[Kind] = &[
    Kind {
        bad: &["", "x", "1"],
        units: &[],
        good: "ON",
        names: &[
            (
                Hs,
                "ignore_invalid_headers merge_slashes underscores_in_headers ssl_prefer_server_ciphers ssl_session_tickets",
            ),
            (Hs, "ssl_stapling ssl_stapling_verify ssl_reject_handshake"),
            (Hsl, "absolute_redirect chunked_transfer_encoding client_body_in_single_buffer etag gzip_vary"),
            (Hsl, "log_not_found msie_padding msie_refresh open_file_cache_errors port_in_redirect"),
            (Hsl, "proxy_buffering proxy_cache_background_update proxy_cache_convert_head proxy_cache_lock"),
            (Hsl, "proxy_cache_revalidate proxy_force_ranges proxy_ignore_client_abort proxy_intercept_errors"),
            (Hsl, "proxy_pass_request_body proxy_pass_request_headers proxy_request_buffering proxy_socket_keepalive"),
            (
                Hsl,
                "proxy_ssl_server_name proxy_ssl_session_reuse proxy_ssl_verify real_ip_recursive recursive_error_pages",
            ),
            (Hsl, "reset_timedout_connection server_name_in_redirect tcp_nodelay tcp_nopush limit_req_dry_run"),
            (Hsl, "limit_conn_dry_run aio_write open_file_cache_events"),
            (Hslif, "sendfile gzip"),
        ],
    },
    Kind {
        bad: &["", "x", "-1", "99999999999999999999"],
        units: &["1g"],
        good: "16K",
        names: &[
            (Hs, "connection_pool_size request_pool_size"),
            (Hsl, "client_body_buffer_size gzip_min_length postpone_output proxy_buffer_size"),
            (Hsl, "proxy_busy_buffers_size proxy_limit_rate proxy_max_temp_file_size proxy_temp_file_write_size"),
            (Hsl, "read_ahead sendfile_max_chunk subrequest_output_buffer_size send_lowat proxy_send_lowat"),
            (Hslif, "limit_rate limit_rate_after"),
        ],
    },
    Kind {
        bad: &["", "x", "-1", "1t"],
        units: &[],
        good: "1g",
        names: &[(Hsl, "client_max_body_size directio proxy_cache_max_range_offset")],
    },
    Kind {
        bad: &["", "x", "-1", "1h1d", "9223372036854775807"],
        units: &["1y", "1M"],
        good: "1m 30s",
        names: &[
            (Hs, "client_header_timeout"),
            (
                Hsl,
                "auth_delay client_body_timeout keepalive_time lingering_time lingering_timeout proxy_cache_lock_age",
            ),
            (Hsl, "proxy_cache_lock_timeout proxy_connect_timeout proxy_next_upstream_timeout proxy_read_timeout"),
            (Hsl, "proxy_send_timeout resolver_timeout send_timeout"),
        ],
    },
    Kind {
        bad: &["", "x", "-1", "500ms"],
        units: &[],
        good: "1y",
        names: &[(Hs, "ssl_session_timeout"), (Hsl, "open_file_cache_valid")],
    },
    Kind {
        bad: &["", "x", "-1", "1k"],
        units: &[],
        good: "2048",
        names: &[
            (H, "map_hash_bucket_size map_hash_max_size server_names_hash_bucket_size server_names_hash_max_size"),
            (H, "variables_hash_bucket_size variables_hash_max_size"),
            (Hs, "ssl_verify_depth"),
            (
                Hsl,
                "keepalive_requests max_ranges open_file_cache_min_uses proxy_cache_min_uses proxy_next_upstream_tries",
            ),
            (Hsl, "proxy_headers_hash_bucket_size proxy_headers_hash_max_size proxy_ssl_verify_depth"),
            (Hsl, "types_hash_bucket_size types_hash_max_size"),
        ],
    },
    Kind {
        bad: &["", "x", "on off"],
        units: &[],
        good: "OFF",
        names: &[
            (Hsl, "server_tokens lingering_close if_modified_since client_body_in_file_only"),
            (Hs, "ssl_verify_client"),
        ],
    },
];

/// Directives of other kinds: too few and too many arguments, a block, a second one, a wrong place.
const OTHERS: &[(Contexts, &str, &str)] = &[
    (Hsl, "default_type", "a"),
    (Hsl, "auth_basic_user_file", "a"),
    (Hsl, "gzip_comp_level", "1"),
    (Hsl, "gzip_http_version", "1.1"),
    (Hsl, "limit_conn_log_level", "info"),
    (Hsl, "limit_conn_status", "400"),
    (Hsl, "limit_req_log_level", "info"),
    (Hsl, "limit_req_status", "400"),
    (Hsl, "proxy_cache_key", "a"),
    (Hsl, "proxy_http_version", "1.1"),
    (Hsl, "proxy_method", "a"),
    (Hsl, "proxy_set_body", "a"),
    (Hsl, "proxy_ssl_ciphers", "HIGH"),
    (Hsl, "proxy_ssl_name", "a"),
    (Hsl, "real_ip_header", "a"),
    (Hsl, "satisfy", "all"),
    (Hs, "ssl_ciphers", "HIGH"),
    (Hs, "ssl_ecdh_curve", "auto"),
    (Hslif, "root", "a"),
];

/// All cases that these make.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut turn = 0;
    for kind in KINDS {
        for (contexts, names) in kind.names {
            for name in names.split(' ') {
                for bad in kind.bad {
                    let bad = if bad.is_empty() { "\"\"" } else { bad };
                    cases.push(Case::new(pick(contexts.places().0, &mut turn), format!("{name} {bad};")));
                }
                for unit in kind.units {
                    let difference = Some("units".to_owned());
                    let context = pick(contexts.places().0, &mut turn);
                    cases.push(Case { difference, ..Case::new(context, format!("{name} {unit};")) });
                }
                forms(&mut cases, *contexts, name, kind.good, &mut turn);
            }
        }
    }
    for (contexts, name, good) in OTHERS {
        forms(&mut cases, *contexts, name, good, &mut turn);
    }
    cases
}

/// What can be wrong with any directive.
fn forms(cases: &mut Vec<Case>, contexts: Contexts, name: &str, good: &str, turn: &mut usize) {
    let (right, wrong) = contexts.places();
    let many = "a ".repeat(8);
    for text in [
        format!("{name};"),
        format!("{name} {many};"),
        format!("{name} \"{good}\" {{ }}"),
        format!("{name} \"{good}\"; {name} \"{good}\";"),
    ] {
        cases.push(Case::new(pick(right, turn), text));
    }
    cases.push(Case::new(pick(wrong, turn), format!("{name} \"{good}\";")));
}

/// One of some contexts, another one each time.
fn pick<'a>(contexts: &[&'a str], turn: &mut usize) -> &'a str {
    *turn += 1;
    contexts[*turn % contexts.len()]
}
