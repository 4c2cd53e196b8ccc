//! The `proxy_ssl_*` directives.

use crate::conf::{Arity, Call, Contexts, Directive, Result};
use crate::http::directives::{repeated, row, with};
use crate::http::level::Level;
use crate::http::variables::Text;

const HSL: Contexts = Contexts::HTTP.or(Contexts::HTTP_SERVER).or(Contexts::HTTP_LOCATION);

fn text(level: &mut Level, call: &Call<'_>) -> Result<Text> {
    level.registry.text(call.bytes(1), &call.node.place).map_err(|message| call.error(message))
}

/// The table.
pub(in crate::http) static TABLE: &[Directive<Level>] = &[
    Directive {
        row: row(
            "proxy_ssl_certificate",
            HSL,
            "file",
            "-",
            "The certificate in PEM form that servers get to see who ask for one, followed by those that lead to its authority. With variables it is read for each connection, by the workers; `data:` begins the certificate itself, in the place of a name: `data:$variable`. An empty name: none is shown. Relative names are taken against the folder of the configuration file.",
        ),
        set: |level, call| {
            level.proxy.tls.certificate = Some((text(level, call)?, call.loader.conf_dir.clone()));
            level.proxy.tls.client.set_certificate(call)
        },
    },
    Directive {
        row: row(
            "proxy_ssl_certificate_key",
            HSL,
            "file",
            "-",
            "The private key of `proxy_ssl_certificate`; it may have variables too.",
        ),
        set: |level, call| {
            level.proxy.tls.key = Some(text(level, call)?);
            level.proxy.tls.client.set_key(call)
        },
    },
    Directive {
        row: row(
            "proxy_ssl_password_file",
            HSL,
            "file",
            "-",
            "Passwords of encrypted keys, one a line, tried in turn.",
        ),
        set: |level, call| level.proxy.tls.client.set_passwords(call),
    },
    Directive {
        row: row(
            "proxy_ssl_ciphers",
            HSL,
            "list",
            "DEFAULT",
            "Ciphers up to TLSv1.2 for connections to servers, as an OpenSSL cipher list.",
        ),
        set: |level, call| level.proxy.tls.client.set_ciphers(call),
    },
    Directive {
        row: repeated(with(
            Arity::AtLeast(1),
            row(
                "proxy_ssl_protocols",
                HSL,
                "[SSLv2] [SSLv3] [TLSv1] [TLSv1.1] [TLSv1.2] [TLSv1.3]",
                "TLSv1.2 TLSv1.3",
                "Protocols that are spoken with servers; for those before TLSv1.2 see `ssl_ciphers`.",
            ),
        )),
        set: |level, call| level.proxy.tls.client.set_protocols(call),
    },
    Directive {
        row: row(
            "proxy_ssl_name",
            HSL,
            "name",
            "$proxy_host",
            "The name by which a server is asked for with `proxy_ssl_server_name`, and that its certificate must have with `proxy_ssl_verify`. A port in it does not count.",
        ),
        set: |level, call| {
            level.proxy.tls.name = Some(text(level, call)?);
            Ok(())
        },
    },
    Directive {
        row: row(
            "proxy_ssl_server_name",
            HSL,
            "on | off",
            "off",
            "Whether servers are told the name that is wanted (SNI), unless it is an address.",
        ),
        set: |level, call| {
            level.proxy.tls.server_name = Some(call.flag()?);
            Ok(())
        },
    },
    Directive {
        row: row(
            "proxy_ssl_session_reuse",
            HSL,
            "on | off",
            "on",
            "Whether the last TLS session with a server is resumed by the next connection to it. Each worker keeps its own.",
        ),
        set: |level, call| level.proxy.tls.client.set_session_reuse(call),
    },
    Directive {
        row: row(
            "proxy_ssl_verify",
            HSL,
            "on | off",
            "off",
            "Whether servers must prove who they are: a certificate of the name, by an authority of `proxy_ssl_trusted_certificate`. One that does not counts as failed.",
        ),
        set: |level, call| level.proxy.tls.client.set_verify(call),
    },
    Directive {
        row: row(
            "proxy_ssl_verify_depth",
            HSL,
            "number",
            "1",
            "How many authorities may stand between a server's certificate and one of `proxy_ssl_trusted_certificate`.",
        ),
        set: |level, call| level.proxy.tls.client.set_verify_depth(call),
    },
    Directive {
        row: row(
            "proxy_ssl_trusted_certificate",
            HSL,
            "file",
            "-",
            "Certificates of the authorities that servers' certificates are held against.",
        ),
        set: |level, call| level.proxy.tls.client.set_trusted_certificate(call),
    },
    Directive {
        row: row(
            "proxy_ssl_crl",
            HSL,
            "file",
            "-",
            "Lists of revoked certificates, one for each authority, for `proxy_ssl_verify`. Without that the file is not read.",
        ),
        set: |level, call| level.proxy.tls.client.set_crl(call),
    },
    Directive {
        row: repeated(with(
            Arity::Exactly(2),
            row(
                "proxy_ssl_conf_command",
                HSL,
                "name value",
                "-",
                "A command of OpenSSL's configuration files (SSL_CONF_cmd(3)) for connections to servers, such as `Ciphersuites TLS_AES_128_GCM_SHA256`. Those of the level above are taken only where a level has none.",
            ),
        )),
        set: |level, call| level.proxy.tls.client.add_command(call),
    },
];
