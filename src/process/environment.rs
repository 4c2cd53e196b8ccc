//! The environment: copied away for the process title, and cut down to what `env` allows for workers.

use std::env;
use std::ffi::{OsStr, OsString};

use super::upgrade;

/// The variables weir was started with, without `NGINX`.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: Vec<(OsString, OsString)>,
}

impl Environment {
    /// Copies all variables into memory of their own, so that the original memory can be written over, and takes
    /// `NGINX`, which is a message to this process alone, out.
    pub fn take() -> (Self, Option<OsString>) {
        let (inherited, variables): (Vec<_>, Vec<_>) = env::vars_os().partition(|(name, _)| name == upgrade::VARIABLE);
        let environment = Environment { variables };
        replace(environment.variables.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str())));
        (environment, inherited.into_iter().next().map(|(_, value)| value))
    }

    /// Leaves this process what is [`Environment::restricted`].
    pub fn restrict(&self, directives: &[(String, Option<String>)]) {
        replace(self.restricted(directives).into_iter());
    }

    /// `TZ` and what `env` directives name, with the values weir was started with or those given there: for workers, and, as in nginx, for a new
    /// binary.
    pub fn restricted<'a>(&'a self, directives: &'a [(String, Option<String>)]) -> Vec<(&'a OsStr, &'a OsStr)> {
        let started_with = |wanted: &str| {
            let found = self.variables.iter().find(|(name, _)| name == wanted);
            found.map(|(name, value)| (name.as_os_str(), value.as_os_str()))
        };
        let named = directives.iter().filter_map(|(name, value)| match value {
            Some(value) => Some((OsStr::new(name), OsStr::new(value))),
            None => started_with(name),
        });
        let zone = if directives.iter().any(|(name, _)| name == "TZ") { None } else { started_with("TZ") };
        zone.into_iter().chain(named).collect()
    }
}

fn replace<'a>(variables: impl Iterator<Item = (&'a OsStr, &'a OsStr)>) {
    // SAFETY: weir has one thread, so nobody reads the environment meanwhile.
    unsafe {
        libc::clearenv();
        for (name, value) in variables {
            // `setenv` would refuse such a name, and the standard library panics then; `env` may name anything.
            if !name.is_empty() && !name.as_encoded_bytes().contains(&b'=') && !name.as_encoded_bytes().contains(&0) {
                env::set_var(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_keep_the_time_zone_and_what_is_named() {
        let variables = [("TZ", "UTC"), ("HOME", "/root"), ("KEEP", "1")];
        let variables = variables.map(|(name, value)| (name.into(), value.into())).to_vec();
        let environment = Environment { variables };
        let kept = |directives: &[(&str, Option<&str>)]| {
            let directives: Vec<_> =
                directives.iter().map(|(name, value)| (name.to_string(), value.map(str::to_owned))).collect();
            let kept = environment.restricted(&directives);
            kept.iter().map(|(name, value)| format!("{}={}", name.display(), value.display())).collect::<Vec<_>>()
        };
        assert_eq!(kept(&[]), ["TZ=UTC"]);
        assert_eq!(kept(&[("KEEP", None), ("NEW", Some("2")), ("MISSING", None)]), ["TZ=UTC", "KEEP=1", "NEW=2"]);
        assert_eq!(kept(&[("TZ", Some("CET"))]), ["TZ=CET"]);
    }
}
