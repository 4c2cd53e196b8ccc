//! Sets of names of header fields, asked for every field of every message.

/// Which lengths names have, as bits: most questions about a name that is not there end here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lengths(u64);

impl Lengths {
    /// Adds a name; lengths of 63 and more are one.
    pub(super) const fn add(&mut self, name: &[u8]) {
        self.0 |= Lengths::bit(name);
    }

    /// Whether a name of the same length may be among those that were added.
    pub(super) const fn have(self, name: &[u8]) -> bool {
        self.0 & Lengths::bit(name) != 0
    }

    const fn bit(name: &[u8]) -> u64 {
        1 << if name.len() < 63 { name.len() } else { 63 }
    }
}

/// A few names.
#[derive(Debug)]
pub(super) struct FieldNames<T> {
    names: T,
    lengths: Lengths,
}

impl FieldNames<&'static [&'static str]> {
    /// Names that are always the same.
    pub(super) const fn fixed(names: &'static [&'static str]) -> Self {
        let mut lengths = Lengths(0);
        let mut number = 0;
        while number < names.len() {
            lengths.add(names[number].as_bytes());
            number += 1;
        }
        FieldNames { names, lengths }
    }
}

impl FromIterator<Vec<u8>> for FieldNames<Vec<Vec<u8>>> {
    fn from_iter<I: IntoIterator<Item = Vec<u8>>>(names: I) -> Self {
        let mut lengths = Lengths::default();
        let names = names.into_iter().inspect(|name| lengths.add(name)).collect();
        FieldNames { names, lengths }
    }
}

impl<T> FieldNames<T> {
    /// Whether a name is among them, in whatever case.
    pub(super) fn contain<N: AsRef<[u8]>>(&self, name: &[u8]) -> bool
    where
        T: AsRef<[N]>,
    {
        self.lengths.have(name) && self.names.as_ref().iter().any(|known| known.as_ref().eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_regard_to_case() {
        const FIXED: FieldNames<&[&str]> = FieldNames::fixed(&["te", "upgrade"]);
        let long = vec![b'x'; 100];
        let said: FieldNames<Vec<Vec<u8>>> = [b"date".to_vec(), long.clone()].into_iter().collect();
        assert!(FIXED.contain(b"TE") && FIXED.contain(b"Upgrade"));
        assert!(!FIXED.contain(b"trailer") && !FIXED.contain(b"") && !FIXED.contain(&long));
        assert!(said.contain(b"Date") && said.contain(&long) && !said.contain(&long[1..]) && !said.contain(b"data"));
    }
}
