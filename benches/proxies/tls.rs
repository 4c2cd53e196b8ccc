//! The certificate that all contenders get, and the client that decides everything else of a handshake.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use openssl::ssl::{SslConnector, SslMethod, SslSessionCacheMode, SslStream, SslVerifyMode, SslVersion};
use std::net::TcpStream;

use crate::Result;

/// A certificate, self-signed, and its key.
pub struct Certificate {
    pub chain: PathBuf,
    pub key: PathBuf,
    /// Certificate and key in one file, as HAProxy wants it.
    pub both: PathBuf,
    rsa: bool,
}

impl Certificate {
    /// Makes one for an RSA key of 2048 bits or for an ECDSA key on P-256.
    pub fn make(folder: &Path, rsa: bool) -> Result<Certificate> {
        let (chain, key, both) = (folder.join("chain.pem"), folder.join("key.pem"), folder.join("both.pem"));
        let kind: &[&str] =
            if rsa { &["-newkey", "rsa:2048"] } else { &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"] };
        let output = Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-subj", "/CN=localhost", "-days", "2"])
            .args(kind)
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&chain)
            .output()
            .map_err(|error| format!("openssl: {error}"))?;
        if !output.status.success() {
            return Err(format!("openssl req: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        fs::write(&both, [fs::read(&chain)?, fs::read(&key)?].concat())?;
        Ok(Certificate { chain, key, both, rsa })
    }

    /// What a handshake comes to with [`Client`].
    pub fn kind(&self) -> &'static str {
        if self.rsa {
            "RSA 2048, X25519, TLS_AES_256_GCM_SHA384"
        } else {
            "ECDSA P-256, X25519, TLS_AES_256_GCM_SHA384"
        }
    }

    /// A client that leaves the server no choice.
    pub fn client(&self) -> Result<Client> {
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        builder.set_min_proto_version(Some(SslVersion::TLS1_3))?;
        builder.set_ciphersuites("TLS_AES_256_GCM_SHA384")?;
        builder.set_groups_list("X25519")?;
        builder.set_verify(SslVerifyMode::NONE);
        builder.set_session_cache_mode(SslSessionCacheMode::OFF);
        Ok(Client(builder.build()))
    }
}

/// Makes TLS connections, each with a full handshake.
pub struct Client(SslConnector);

impl Client {
    pub fn connect(&self, stream: TcpStream) -> Result<SslStream<TcpStream>> {
        let configuration = self.0.configure()?.verify_hostname(false).use_server_name_indication(false);
        Ok(configuration.connect("localhost", stream).map_err(|error| io::Error::other(error.to_string()))?)
    }
}
