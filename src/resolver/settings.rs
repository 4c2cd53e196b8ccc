//! What a `resolver` directive says.

use std::net::SocketAddr;
use std::time::Duration;

use crate::conf::{table::FOREVER, value};
use crate::net::{Address, address};

/// The port of name servers.
const PORT: u16 = 53;
/// `resolver_timeout` when nothing is said; nginx's.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Name servers and how to use them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// At least one; each lookup begins with the next of them.
    pub servers: Vec<SocketAddr>,
    /// How long an answer counts, whatever its records say.
    pub valid: Option<Duration>,
    /// Whether IPv4 addresses are asked for.
    pub ipv4: bool,
    /// Whether IPv6 addresses are asked for.
    pub ipv6: bool,
    /// `resolver_timeout`: how long a lookup may take, all servers and retries together.
    pub timeout: Duration,
}

/// Reads the arguments of `resolver`; `None` for `off`. A server's name stands for all its addresses, asked of the system.
///
/// # Errors
/// The message for the operator, in nginx's words.
pub fn parse(words: &[&str]) -> Result<Option<Settings>, String> {
    if words == ["off"] {
        return Ok(None);
    }
    let mut settings = Settings { servers: Vec::new(), valid: None, ipv4: true, ipv6: true, timeout: TIMEOUT };
    for word in words {
        match settings.set(word) {
            Some(true) => {}
            Some(false) => settings.add_servers(word)?,
            None => return Err(format!("invalid parameter: {word}")),
        }
    }
    if settings.servers.is_empty() {
        return Err("no name servers defined".to_owned());
    }
    if !settings.ipv4 && !settings.ipv6 {
        return Err("\"ipv4\" and \"ipv6\" cannot both be \"off\"".to_owned());
    }
    Ok(Some(settings))
}

impl Settings {
    /// Takes a parameter. `Some(false)`: it is none, but a server; `None`: its value is malformed.
    fn set(&mut self, word: &str) -> Option<bool> {
        match word.split_once('=') {
            Some(("valid", time)) => self.valid = Some(value::time(time, false)?.min(FOREVER)),
            Some(("ipv4", flag)) => self.ipv4 = switch(flag)?,
            Some(("ipv6", flag)) => self.ipv6 = switch(flag)?,
            Some(("status_zone", name)) if !name.is_empty() => {}
            Some(("status_zone", _)) => return None,
            _ => return Some(false),
        }
        Some(true)
    }

    fn add_servers(&mut self, word: &str) -> Result<(), String> {
        let fault = |why: &str| format!("{why} in resolver \"{word}\"");
        for address in address::resolve(word, PORT).map_err(fault)? {
            match address {
                Address::Inet(address) => self.servers.push(address),
                Address::Unix(_) => return Err(fault("invalid host")),
            }
        }
        Ok(())
    }
}

fn switch(flag: &str) -> Option<bool> {
    match flag {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_parameters_in_any_order() {
        let settings =
            parse(&["127.0.0.1", "valid=30s", "[::1]:5353", "ipv6=off", "status_zone=dns"]).unwrap().unwrap();
        assert_eq!(settings.servers, ["127.0.0.1:53".parse().unwrap(), "[::1]:5353".parse().unwrap()]);
        assert_eq!((settings.valid, settings.ipv4, settings.ipv6), (Some(Duration::from_secs(30)), true, false));
        assert_eq!(settings.timeout, Duration::from_secs(30));
        assert_eq!(parse(&["off"]), Ok(None));
    }

    #[test]
    fn faults_in_nginx_words() {
        let fault = |words: &[&str]| parse(words).unwrap_err();
        assert_eq!(fault(&["127.0.0.1", "valid=10ms"]), "invalid parameter: valid=10ms");
        assert_eq!(fault(&["127.0.0.1", "valid="]), "invalid parameter: valid=");
        assert_eq!(fault(&["ipv6=yes", "127.0.0.1"]), "invalid parameter: ipv6=yes");
        assert_eq!(fault(&["127.0.0.1", "status_zone="]), "invalid parameter: status_zone=");
        assert_eq!(fault(&["127.0.0.1", "ipv4=off", "ipv6=off"]), "\"ipv4\" and \"ipv6\" cannot both be \"off\"");
        assert_eq!(fault(&["127.0.0.1:x"]), "invalid port in resolver \"127.0.0.1:x\"");
        assert_eq!(fault(&["unix:/tmp/dns"]), "invalid host in resolver \"unix:/tmp/dns\"");
        assert_eq!(fault(&["valid=1s"]), "no name servers defined");
    }
}
