//! What a request has worked out so far: values of variables, and what the last match captured.

/// The values of a request's variables that the configuration makes, by their places among the [`super::definitions::Definitions`].
#[derive(Clone, Default)]
pub(super) struct Memory {
    /// `None`: not worked out; `Some(None)`: worked out, and there is no value.
    values: Vec<Option<Option<Vec<u8>>>>,
    /// What the last match was about, and where in it the groups are.
    subject: Vec<u8>,
    groups: Vec<Option<(usize, usize)>>,
    /// Variables that are being worked out, one for the other.
    pub depth: usize,
    /// How often there were too many of these, since the first of them was begun.
    pub cycles: usize,
}

impl Memory {
    /// The value of a variable if it has been worked out.
    pub(super) fn value(&self, place: usize) -> Option<Option<&[u8]>> {
        self.values.get(place)?.as_ref().map(Option::as_deref)
    }

    pub(super) fn set(&mut self, place: usize, value: Option<Vec<u8>>) {
        if self.values.len() <= place {
            self.values.resize(place + 1, None);
        }
        self.values[place] = Some(value);
    }

    /// Keeps what a match captured, the whole match first.
    pub(super) fn capture(&mut self, subject: &[u8], groups: impl Iterator<Item = Option<(usize, usize)>>) {
        self.groups.clear();
        self.groups.extend(groups);
        self.subject.clear();
        if self.groups.len() > 1 {
            self.subject.extend_from_slice(subject);
        } else {
            self.groups.clear();
        }
    }

    /// Nothing has been captured.
    pub(super) fn forget_captures(&mut self) {
        self.groups.clear();
        self.subject.clear();
    }

    /// What a group of the last match captured.
    pub(super) fn group(&self, number: usize) -> Option<&[u8]> {
        let (start, end) = (*self.groups.get(number)?)?;
        Some(&self.subject[start..end])
    }
}
