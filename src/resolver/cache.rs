//! Answers that are still good.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use super::{Found, Name, Settings};

/// Names that are kept; past that those whose time is over go, or all.
const MOST: usize = 1024;

/// By name, what was found as which settings say, and until when it is good.
#[derive(Default)]
pub(super) struct Cache(HashMap<Name, (Rc<Settings>, Found, Instant)>);

impl Cache {
    pub(super) fn get(&self, settings: &Settings, name: &Name, now: Instant) -> Option<Found> {
        let (asked, found, until) = self.0.get(name)?;
        (now < *until && **asked == *settings).then(|| found.clone())
    }

    pub(super) fn put(&mut self, settings: &Rc<Settings>, name: &Name, found: &Found, now: Instant) {
        if self.0.len() >= MOST {
            self.0.retain(|_, (_, _, until)| now < *until);
        }
        if self.0.len() >= MOST {
            self.0.clear();
        }
        // The next answer may have the family that one lacks.
        if found.v4.is_some() && found.v6.is_some() {
            self.0.insert(name.clone(), (settings.clone(), found.clone(), now + found.valid));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    #[test]
    fn an_answer_is_good_for_its_time_and_its_settings() {
        let settings = |server: &str| Rc::new(crate::resolver::parse(&[server]).unwrap().unwrap());
        let (ours, others) = (settings("127.0.0.1:1"), settings("127.0.0.1:2"));
        let name = |text: &str| Name::parse(text).unwrap();
        let (v4, v6) = (Some(vec![Ipv4Addr::LOCALHOST]), Some(Vec::new()));
        let found = Found { v4, v6, services: Vec::new(), valid: Duration::from_secs(5) };
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.put(&ours, &name("a.test"), &found, now);
        let later = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(cache.get(&ours, &name("A.test"), later(4)), Some(found.clone()));
        assert_eq!(cache.get(&ours, &name("a.test"), later(5)), None);
        assert_eq!(cache.get(&ours, &name("b.test"), now), None);
        assert_eq!(cache.get(&others, &name("a.test"), now), None);
        (0..2 * MOST).for_each(|n| cache.put(&ours, &name(&format!("n{n}")), &found, later(1)));
        assert!(cache.0.len() <= MOST);
    }
}
