//! `proxy_buffer_size`, `proxy_buffers` and what must go with them.

use crate::conf::{Error, Place, Result, inherit};
use crate::relay::page_size;

/// nginx's `proxy_max_temp_file_size`.
const MAX_TEMP_FILE: u64 = 1 << 30;

/// What is said on one level, with its place; `None` where it says nothing and the level above counts.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct Said {
    /// `proxy_buffer_size`
    pub first: Option<(usize, Place)>,
    /// `proxy_buffers`: how many, and how large each.
    pub buffers: Option<(usize, usize, Place)>,
    /// `proxy_busy_buffers_size`
    pub busy: Option<(usize, Place)>,
    /// `proxy_temp_file_write_size`
    pub temp_write: Option<(usize, Place)>,
    /// `proxy_max_temp_file_size`
    pub max_temp_file: Option<(u64, Place)>,
}

/// What it comes to.
pub(super) struct Sizes {
    pub first: usize,
    /// Of all buffers together.
    pub all: usize,
    pub max_temp_file: u64,
}

impl Said {
    /// Takes from the level above what this one does not say.
    pub(super) fn inherit(&mut self, above: &Said) {
        inherit(&mut self.first, &above.first);
        inherit(&mut self.buffers, &above.buffers);
        inherit(&mut self.busy, &above.busy);
        inherit(&mut self.temp_write, &above.temp_write);
        inherit(&mut self.max_temp_file, &above.max_temp_file);
    }

    /// The sizes, by nginx's defaults for those that nothing is said of.
    pub(super) fn sizes(&self) -> Sizes {
        let (number, size) = self.numbers();
        Sizes {
            first: self.first.as_ref().map_or_else(page_size, |(size, _)| *size),
            all: number.saturating_mul(size),
            max_temp_file: self.max_temp_file.as_ref().map_or(MAX_TEMP_FILE, |(size, _)| *size),
        }
    }

    fn numbers(&self) -> (usize, usize) {
        self.buffers.as_ref().map_or_else(|| (8, page_size()), |(number, size, _)| (*number, *size))
    }

    /// Whether the sizes go together as nginx needs it. What depends on some of them alone has no effect here, but a configuration that
    /// is in order is in order for both.
    ///
    /// # Errors
    /// nginx's message, at the line that says something of it.
    pub(in crate::http) fn check(&self) -> Result<()> {
        let (number, size) = self.numbers();
        let largest = self.sizes().first.max(size);
        let of_buffers = self.first.as_ref().map(|(_, place)| place).into_iter();
        let mut of_buffers = of_buffers.chain(self.buffers.as_ref().map(|(_, _, place)| place));
        let mut fault = |said: Option<&Place>, message: &str| match said.or_else(|| of_buffers.next()) {
            Some(place) => Err(Error::at(place, message)),
            None => Err(Error::general(message)),
        };
        if number < 2 {
            return fault(
                self.buffers.as_ref().map(|(_, _, place)| place),
                "there must be at least 2 \"proxy_buffers\"",
            );
        }
        let busy = self.busy.as_ref().map_or(2 * largest, |(size, _)| *size);
        let busy_place = self.busy.as_ref().map(|(_, place)| place);
        if busy < largest {
            return fault(
                busy_place,
                "\"proxy_busy_buffers_size\" must be equal to or greater than the maximum of the value of \"proxy_buffer_size\" and one of the \"proxy_buffers\"",
            );
        }
        if busy > (number - 1).saturating_mul(size) {
            return fault(
                busy_place,
                "\"proxy_busy_buffers_size\" must be less than the size of all \"proxy_buffers\" minus one buffer",
            );
        }
        if let Some((_, place)) = self.temp_write.as_ref().filter(|(size, _)| *size < largest) {
            return fault(
                Some(place),
                "\"proxy_temp_file_write_size\" must be equal to or greater than the maximum of the value of \"proxy_buffer_size\" and one of the \"proxy_buffers\"",
            );
        }
        if let Some((_, place)) = self.max_temp_file.as_ref().filter(|(size, _)| (1..largest as u64).contains(size)) {
            return fault(
                Some(place),
                "\"proxy_max_temp_file_size\" must be equal to zero to disable temporary files usage or must be equal to or greater than the maximum of the value of \"proxy_buffer_size\" and one of the \"proxy_buffers\"",
            );
        }
        Ok(())
    }
}
