//! Sets of names of header fields, asked for every field of every message.

/// What names are like, as bits: most questions about a name that is not there end here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks(u64);

impl Marks {
    /// Adds a name, in whatever case.
    pub(super) const fn add(&mut self, name: &[u8]) {
        self.0 |= Marks::bit(name);
    }

    /// Whether a name may be among those that were added.
    pub(super) const fn have(self, name: &[u8]) -> bool {
        self.0 & Marks::bit(name) != 0
    }

    /// One of 64, by the length and both ends. With these factors few names that are asked for fall together with others that messages have.
    const fn bit(name: &[u8]) -> u64 {
        let [first, .., last] = name else { return 1 << name.len() };
        let ends = 4 * (*first | 0x20) as usize + 10 * (*last | 0x20) as usize;
        1 << ((3 * name.len() + ends) % 64)
    }
}

/// A few names.
#[derive(Debug)]
pub(super) struct FieldNames<T> {
    names: T,
    marks: Marks,
}

impl FieldNames<&'static [&'static str]> {
    /// Names that are always the same.
    pub(super) const fn fixed(names: &'static [&'static str]) -> Self {
        let mut marks = Marks(0);
        let mut number = 0;
        while number < names.len() {
            marks.add(names[number].as_bytes());
            number += 1;
        }
        FieldNames { names, marks }
    }
}

impl FromIterator<Vec<u8>> for FieldNames<Vec<Vec<u8>>> {
    fn from_iter<I: IntoIterator<Item = Vec<u8>>>(names: I) -> Self {
        let mut marks = Marks::default();
        let names = names.into_iter().inspect(|name| marks.add(name)).collect();
        FieldNames { names, marks }
    }
}

impl<T> FieldNames<T> {
    /// Whether a name is among them, in whatever case.
    #[inline]
    pub(super) fn contain<N: AsRef<[u8]>>(&self, name: &[u8]) -> bool
    where
        T: AsRef<[N]>,
    {
        self.marks.have(name) && self.find(name).is_some()
    }

    /// The one that a name is, in whatever case.
    pub(super) fn find<N: AsRef<[u8]>>(&self, name: &[u8]) -> Option<&N>
    where
        T: AsRef<[N]>,
    {
        self.names.as_ref().iter().find(|known| known.as_ref().eq_ignore_ascii_case(name))
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

    #[test]
    fn marks_are_those_of_a_name_in_any_case() {
        for name in ["", "A", "TE", "X-Under_", "Content-Length"] {
            let mut marks = Marks::default();
            marks.add(name.as_bytes());
            assert!(marks.have(name.to_ascii_lowercase().as_bytes()), "{name}");
        }
    }
}
