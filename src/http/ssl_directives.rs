//! The `ssl_*` directives of `http {}` alone: what is said beside a certificate.

use super::directives::{HS, repeated, row, with};
use super::level::Level;
use crate::conf::{Arity, Directive};

/// The rows that stand beside those of TLS in every block.
pub(super) static TABLE: &[Directive<Level>] = &[
    Directive {
        row: row(
            "ssl_stapling",
            HS,
            "on | off",
            "off",
            "Whether clients that ask for it get with the certificate what its authority has said about it (OCSP). The answer is that in `ssl_stapling_file`, or else weir asks: the responder that the certificate names, or `ssl_stapling_responder`. The certificate of the issuer must stand behind the server's own in its file, or in `ssl_trusted_certificate`. Each worker asks when the first client wants to know, who gets no answer yet; again after an hour, or five minutes before the answer is no longer good, but never sooner than in five minutes; and five minutes after a failure. An answer is tried for 60 seconds at each address of the responder, whose name `resolver` looks up; without one it is that of the addresses at the start. What says anything but that the certificate is good is not given to clients.",
        ),
        set: |level, call| level.ssl.set_stapling(call),
    },
    Directive {
        row: row(
            "ssl_stapling_file",
            HS,
            "file",
            "-",
            "The answer of the authority for `ssl_stapling`, in DER form, as `openssl ocsp` writes it. Nobody is asked then.",
        ),
        set: |level, call| level.ssl.set_stapling_file(call),
    },
    Directive {
        row: row(
            "ssl_stapling_responder",
            HS,
            "url",
            "-",
            "Whom to ask for `ssl_stapling`, in the place of the responder that the certificate names. Only `http://`.",
        ),
        set: |level, call| level.ssl.set_stapling_responder(call),
    },
    Directive {
        row: row(
            "ssl_stapling_verify",
            HS,
            "on | off",
            "off",
            "Whether an answer for `ssl_stapling` counts only if `ssl_trusted_certificate` vouches for whoever has signed it. An answer in a file is stapled as it is.",
        ),
        set: |level, call| level.ssl.set_stapling_verify(call),
    },
    Directive {
        row: repeated(with(
            Arity::Exactly(2),
            row(
                "ssl_conf_command",
                HS,
                "name value",
                "-",
                "A setting of OpenSSL's own (`SSL_CONF_cmd(3)`), such as `Options PrioritizeChaCha` or `Ciphersuites TLS_AES_128_GCM_SHA256`.",
            ),
        )),
        set: |level, call| level.ssl.add_command(call),
    },
    Directive {
        row: row(
            "ssl_early_data",
            HS,
            "on | off",
            "off",
            "Whether requests are taken that clients with TLSv1.3 send before the handshake is over (0-RTT), up to 16 kilobytes, when they resume a session. Whoever has seen such a request on its way can send it again, as often as the ticket is good: as in nginx nothing is done against that. `$ssl_early_data` is `1` then; `proxy_set_header Early-Data $ssl_early_data` tells those behind, who can answer 425 (RFC 8470). Each server of an address decides for the host that the client names.",
        ),
        set: |level, call| level.ssl.set_early_data(call),
    },
    Directive {
        row: row(
            "ssl_ocsp",
            HS,
            "on | leaf | off",
            "off",
            "Whether the authorities of clients' certificates are asked if these still hold (OCSP): of all certificates between the client's own and the one of `ssl_client_certificate` (`on`), or of the client's own alone (`leaf`). It needs `ssl_verify_client on` or `optional`; where clients are not asked for certificates it means nothing. The first request waits, within `client_header_timeout`, until the responder that the certificate names has answered, or `ssl_ocsp_responder`; `resolver` looks up its name, and each of its addresses has 60 seconds. A certificate that is revoked or unknown, or about which no good answer comes, is answered with 400 (495 inside), and `$ssl_client_verify` tells why. An answer counts if its time is not over and the authority, or one that this has made its responder, has signed it. A client that resumes a session is asked about again; the authorities between must stand in `ssl_client_certificate` or `ssl_trusted_certificate` then, as the session has not kept them.",
        ),
        set: |level, call| level.ssl.set_ocsp(call),
    },
    Directive {
        row: row(
            "ssl_ocsp_responder",
            HS,
            "url",
            "-",
            "Whom to ask for `ssl_ocsp`, in the place of the responders that certificates name. Only `http://`.",
        ),
        set: |level, call| level.ssl.set_ocsp_responder(call),
    },
    Directive {
        row: row(
            "ssl_ocsp_cache",
            HS,
            "off | shared:name:size",
            "off",
            "Where answers for `ssl_ocsp` are kept as long as they are good, an hour where they do not say: in memory that all workers see and a reload keeps, some 19000 answers a megabyte; the oldest make room. Servers that name the same cache share its answers.",
        ),
        set: |level, call| level.ssl.set_ocsp_cache(call),
    },
];
