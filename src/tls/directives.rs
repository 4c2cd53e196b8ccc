//! The `ssl*` directives, the same in every block whose servers speak TLS; what they mean is in [`super::settings`].

use super::Settings;
use crate::conf::{Arity, Contexts, Directive, Row};

const ONE: Arity = Arity::Exactly(1);
/// Both kinds of blocks and their servers.
const PLACES: Contexts = Contexts::TCP.or(Contexts::TCP_SERVER).or(Contexts::HTTP).or(Contexts::HTTP_SERVER);

/// What one level of a block says, TLS among it.
pub trait Block: 'static {
    /// Where that stands.
    fn tls(&mut self) -> &mut Settings;
}

/// A row of the table. Its arguments are those of the documentation, in that order.
const fn row(name: &'static str, arity: Arity, syntax: &'static str, default: &'static str, help: &'static str) -> Row {
    Row { name, contexts: PLACES, arity, block: None, repeat: false, syntax, default, help }
}

/// The same row for a directive that may stand more than once on a level.
const fn repeated(row: Row) -> Row {
    Row { repeat: true, ..row }
}

/// The table for levels of this kind.
pub struct Table<T>(std::marker::PhantomData<T>);

impl<T: Block> Table<T> {
    /// Its rows, the same for all kinds.
    pub const ROWS: &'static [Directive<T>] = &[
        Directive {
            row: row(
                "ssl",
                ONE,
                "on | off",
                "off",
                "Whether clients speak TLS, on every `listen` of the server. `listen ... ssl` says so of one address.",
            ),
            set: |level, call| level.tls().set_on(call),
        },
        Directive {
            row: repeated(row(
                "ssl_certificate",
                ONE,
                "file",
                "-",
                "The server's certificate in PEM form, followed in the same file by those that lead to its authority. Several, each with its key, serve clients of different kinds (RSA and ECDSA). Relative names are taken against the folder of the configuration file, as with all files of `ssl_*`. `data:` begins the certificate itself, in the place of a name; so with the key. In `http {}` names with variables are refused.",
            )),
            set: |level, call| level.tls().add_certificate(call),
        },
        Directive {
            row: repeated(row(
                "ssl_certificate_key",
                ONE,
                "file",
                "-",
                "The private key of the `ssl_certificate` with the same place in the order.",
            )),
            set: |level, call| level.tls().add_key(call),
        },
        Directive {
            row: row("ssl_password_file", ONE, "file", "-", "Passwords of encrypted keys, one a line, tried in turn."),
            set: |level, call| level.tls().set_passwords(call),
        },
        Directive {
            row: row(
                "ssl_client_certificate",
                ONE,
                "file",
                "-",
                "Certificates of the authorities that clients' certificates are held against; their names are sent to clients.",
            ),
            set: |level, call| level.tls().set_client_certificate(call),
        },
        Directive {
            row: row(
                "ssl_trusted_certificate",
                ONE,
                "file",
                "-",
                "More authorities for clients' certificates, whose names are not sent to clients.",
            ),
            set: |level, call| level.tls().set_trusted_certificate(call),
        },
        Directive {
            row: row(
                "ssl_crl",
                ONE,
                "file",
                "-",
                "Lists of revoked certificates, one for each authority, for `ssl_verify_client`.",
            ),
            set: |level, call| level.tls().set_crl(call),
        },
        Directive {
            row: row(
                "ssl_verify_client",
                ONE,
                "on | off | optional | optional_no_ca",
                "off",
                "Whether clients are asked for a certificate. One that does not hold ends a session of `tcp {}` and answers a request with 400 (495 inside); with `on`, so does none (496). With `optional_no_ca` nobody need vouch for it: that is left to what is behind.",
            ),
            set: |level, call| level.tls().set_verify(call),
        },
        Directive {
            row: row(
                "ssl_verify_depth",
                ONE,
                "number",
                "1",
                "How many authorities may stand between a client's certificate and one of `ssl_client_certificate`.",
            ),
            set: |level, call| level.tls().set_verify_depth(call),
        },
        Directive {
            row: row(
                "ssl_dhparam",
                ONE,
                "file",
                "-",
                "Parameters for DHE ciphers. Without them these ciphers are not offered.",
            ),
            set: |level, call| level.tls().set_dhparam(call),
        },
        Directive {
            row: row(
                "ssl_ecdh_curve",
                ONE,
                "curve[:curve...] | auto",
                "auto",
                "Curves for key exchange, in OpenSSL's names; `auto` means OpenSSL's own.",
            ),
            set: |level, call| level.tls().set_ecdh_curve(call),
        },
        Directive {
            row: row(
                "ssl_ciphers",
                ONE,
                "list",
                "HIGH:!aNULL:!MD5",
                "Ciphers up to TLSv1.2, as an OpenSSL cipher list. OpenSSL 3 speaks TLSv1 and TLSv1.1 only at security level 0: `\"HIGH:!aNULL:!MD5:@SECLEVEL=0\"`.",
            ),
            set: |level, call| level.tls().set_ciphers(call),
        },
        Directive {
            row: repeated(row(
                "ssl_protocols",
                Arity::AtLeast(1),
                "[SSLv2] [SSLv3] [TLSv1] [TLSv1.1] [TLSv1.2] [TLSv1.3]",
                "TLSv1.2 TLSv1.3",
                "Protocols that are spoken. `SSLv2` and `SSLv3` are accepted with a warning and mean nothing; for `TLSv1` and `TLSv1.1` see `ssl_ciphers` too.",
            )),
            set: |level, call| level.tls().set_protocols(call),
        },
        Directive {
            row: row(
                "ssl_prefer_server_ciphers",
                ONE,
                "on | off",
                "off",
                "Whether the order of `ssl_ciphers` counts, rather than the client's.",
            ),
            set: |level, call| level.tls().set_prefer_server_ciphers(call),
        },
        Directive {
            row: repeated(row(
                "ssl_session_cache",
                Arity::Between(1, 2),
                "off | none | [builtin[:number]] [shared:name:size]",
                "none",
                "Where sessions are kept for clients that come again. `shared`: in memory that all workers see and a reload keeps, some 3000 sessions a megabyte; `builtin`: in each worker, without effect beside `shared`; `none`: nowhere; `off`: nowhere, and clients are told so. In `http {}` that of the default server of an address serves all its servers, as in nginx; a session is resumed with its own server all the same.",
            )),
            set: |level, call| level.tls().set_session_cache(call),
        },
        Directive {
            row: row(
                "ssl_session_timeout",
                ONE,
                "time",
                "5m",
                "How long a client may take to come again. In `http {}` that of the default server of an address counts, as in nginx.",
            ),
            set: |level, call| level.tls().set_session_timeout(call),
        },
        Directive {
            row: row(
                "ssl_session_tickets",
                ONE,
                "on | off",
                "on",
                "Whether clients may keep their sessions themselves, encrypted by a key of ours.",
            ),
            set: |level, call| level.tls().set_session_tickets(call),
        },
        Directive {
            row: repeated(row(
                "ssl_session_ticket_key",
                ONE,
                "file",
                "-",
                "A key for tickets, 48 or 80 random bytes, for machines that serve the same clients. The first encrypts, all decrypt. Without one, a new random key is made at each start and reload, and those of the last reloads stay good.",
            )),
            set: |level, call| level.tls().add_ticket_key(call),
        },
    ];
}
