//! The process title: what `ps` shows in place of the command line.
//!
//! The kernel shows the memory where it put the arguments when the program was started, and goes on into the memory of the
//! environment behind it when the last byte of the arguments is not zero any more. So both are copied away first
//! ([`super::environment`]), and then written over.

use std::ptr;

/// The memory of the arguments and the environment, to be written over.
#[derive(Clone, Copy, Debug)]
pub struct Title {
    start: usize,
    length: usize,
}

impl Title {
    /// Finds the memory. Without `/proc` there is none, and titles stay as they are.
    ///
    /// # Safety
    /// Nothing may use the original memory of the arguments and of the environment from now on: neither
    /// `std::env::args` nor variables that were not set anew.
    pub unsafe fn take() -> Self {
        let (start, length) =
            std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| area(&stat)).unwrap_or((0, 0));
        Title { start, length }
    }

    /// Shows `weir: WHAT`, cut to the memory there is.
    pub fn set(&self, what: &str) {
        if self.length == 0 {
            return;
        }
        let text = format!("weir: {what}");
        let length = text.len().min(self.length - 1);
        let area: *mut u8 = ptr::with_exposed_provenance_mut(self.start);
        // SAFETY: the kernel reports the range as this process's own writable memory, which lasts as long as the process;
        // whoever called `take` promised that nothing else reads it. `length` is less than the range, so a zero remains at its end.
        unsafe {
            ptr::write_bytes(area, 0, self.length);
            ptr::copy_nonoverlapping(text.as_ptr(), area, length);
        }
    }
}

/// Start and length of the arguments with the environment behind them, from the text of `/proc/self/stat` (proc(5): fields 48 to 51).
fn area(stat: &str) -> Option<(usize, usize)> {
    // The second field is the program's name in brackets and may hold blanks and brackets itself.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<usize> =
        rest.split_ascii_whitespace().skip(45).take(4).map_while(|field| field.parse().ok()).collect();
    let [arg_start, arg_end, env_start, env_end] = fields[..] else { return None };
    if arg_start == 0 || arg_end <= arg_start {
        return None;
    }
    let end = if env_start == arg_end && env_end > env_start { env_end } else { arg_end };
    Some((arg_start, end - arg_start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_memory_in_stat() {
        let stat = |tail: &str| format!("7 (a) b) S {} {tail} 0", vec!["1"; 44].join(" "));
        assert_eq!(area(&stat("100 120 120 200")), Some((100, 100)));
        assert_eq!(area(&stat("100 120 130 200")), Some((100, 20)));
        assert_eq!(area(&stat("0 0 0 0")), None);
        assert_eq!(area("7 (x) S 1"), None);
        let own = std::fs::read_to_string("/proc/self/stat").unwrap();
        assert!(area(&own).is_some());
    }
}
