//! Memory shared by the workers: anonymous shared mappings of atomics, made by the master before it forks.
#![allow(unsafe_code)]

mod lock;
pub mod table;

use std::io;
use std::ptr::{self, NonNull};
use std::slice;

pub use lock::Lock;

/// Types that may live in shared memory: valid when all bytes are zero, no pointers, changed only through atomics.
///
/// # Safety
/// Every bit pattern of zeros must be a value, and all access through `&Self` must be sound when other processes do the same.
pub unsafe trait Shareable: Sync {}

// SAFETY: atomics are valid when zero and made for concurrent use; they hold no pointers.
unsafe impl Shareable for std::sync::atomic::AtomicU32 {}
// SAFETY: as above.
unsafe impl Shareable for std::sync::atomic::AtomicU64 {}
// SAFETY: an array is its items and nothing else.
unsafe impl<T: Shareable, const N: usize> Shareable for [T; N] {}

/// A slice of `T` that parent and children see together; unmapped when dropped (in this process only).
pub struct Shared<T: Shareable> {
    start: NonNull<T>,
    count: usize,
}

// SAFETY: the mapping belongs to no thread, and `Shareable` types are `Sync`.
unsafe impl<T: Shareable> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Shareable> Sync for Shared<T> {}

impl<T: Shareable> Shared<T> {
    /// Maps `count` zeroed items. The errors are those of `mmap(2)`, `ENOMEM` above all.
    pub fn new(count: usize) -> io::Result<Self> {
        const { assert!(align_of::<T>() <= 4096, "a mapping begins at a page") };
        let bytes = Self::bytes(count).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        // SAFETY: a new anonymous mapping at a place of the kernel's choice touches no memory that is in use.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        Ok(Shared { start, count })
    }

    /// The length of a mapping of `count` items: never 0, which `mmap(2)` refuses, nor more than a slice may have.
    fn bytes(count: usize) -> Option<usize> {
        count.checked_mul(size_of::<T>()).filter(|&bytes| bytes <= isize::MAX as usize).map(|bytes| bytes.max(1))
    }
}

impl<T: Shareable> std::ops::Deref for Shared<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: the mapping holds `count` items, lives as long as `self`, began as zeros, which `Shareable` says are values, and
        // is aligned to a page.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }
}

impl<T: Shareable> Drop for Shared<T> {
    fn drop(&mut self) {
        let bytes = Self::bytes(self.count).unwrap_or(1);
        // SAFETY: the whole mapping made by `new`, to which no reference is left; `Shareable` types hold nothing to drop.
        unsafe { libc::munmap(self.start.as_ptr().cast(), bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};
    use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

    #[test]
    fn a_child_and_its_parent_see_the_same_memory() {
        let shared = Shared::<AtomicU32>::new(2000).unwrap();
        assert_eq!(shared.len(), 2000);
        assert!(shared.iter().all(|item| item.load(Ordering::Relaxed) == 0));
        shared[0].store(1, Ordering::Relaxed);
        // SAFETY: the child only changes an atomic and leaves without running anything of the parent's.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let seen = shared[0].load(Ordering::Relaxed);
                shared[1999].store(seen + 6, Ordering::Relaxed);
                // SAFETY: it ends the process at once.
                unsafe { libc::_exit(0) }
            }
            ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
                assert_eq!(shared[1999].load(Ordering::Relaxed), 7);
            }
        }
    }

    #[test]
    fn none_is_a_number_of_items_and_too_many_is_an_error() {
        assert!(Shared::<AtomicU64>::new(0).unwrap().is_empty());
        let error = Shared::<AtomicU64>::new(usize::MAX / 2).err().unwrap();
        assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));
    }
}
