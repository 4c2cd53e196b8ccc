//! What one level says about what becomes of servers' answers, and how that becomes the rules of a location.

use super::answer::{Ignored, Rules};
use super::cookies::{self, Flags};
use super::pass::Pass;
use super::replace::Replace;
use crate::conf::inherit;

/// What is said on one level; `None` where it says nothing and the level above counts. Lists that are empty say `off`.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct Said {
    pub redirects: Option<Vec<Replace>>,
    pub cookie_domains: Option<Vec<Replace>>,
    pub cookie_paths: Option<Vec<Replace>>,
    pub cookie_flags: Option<Vec<Flags>>,
    pub intercept_errors: Option<bool>,
    pub force_ranges: Option<bool>,
    pub pass_trailers: Option<bool>,
    pub limit_rate: Option<usize>,
    pub ignored: Option<Ignored>,
}

impl Said {
    /// Takes from the level above what this one does not say.
    pub(super) fn inherit(&mut self, above: &Said) {
        inherit(&mut self.redirects, &above.redirects);
        inherit(&mut self.cookie_domains, &above.cookie_domains);
        inherit(&mut self.cookie_paths, &above.cookie_paths);
        inherit(&mut self.cookie_flags, &above.cookie_flags);
        inherit(&mut self.intercept_errors, &above.intercept_errors);
        inherit(&mut self.force_ranges, &above.force_ranges);
        inherit(&mut self.pass_trailers, &above.pass_trailers);
        inherit(&mut self.limit_rate, &above.limit_rate);
        inherit(&mut self.ignored, &above.ignored);
    }

    /// The rules of a location with this `proxy_pass`.
    pub(super) fn settle(&self, pass: &Pass) -> Rules {
        Rules {
            redirects: self.redirects.clone().unwrap_or_else(|| pass.default_redirect().into_iter().collect()),
            cookies: cookies::Rules {
                domains: self.cookie_domains.clone().unwrap_or_default(),
                paths: self.cookie_paths.clone().unwrap_or_default(),
                flags: self.cookie_flags.clone().unwrap_or_default(),
            },
            intercept_errors: self.intercept_errors.unwrap_or(false),
            force_ranges: self.force_ranges.unwrap_or(false),
            pass_trailers: self.pass_trailers.unwrap_or(false),
            limit_rate: self.limit_rate.unwrap_or(0) as u64,
            ignored: self.ignored.unwrap_or_default(),
        }
    }
}
