//! A lock between processes.

use std::cell::UnsafeCell;
use std::io;
use std::mem::MaybeUninit;

use super::{Shareable, Shared};

/// The C library's mutex where all processes see it.
struct Cell(UnsafeCell<libc::pthread_mutex_t>);

// SAFETY: the mutex is touched only through the C library's calls, which are made for threads.
unsafe impl Sync for Cell {}
// SAFETY: as above, for processes, since it is initialized as shared by them; zeros are its static initializer on Linux.
unsafe impl Shareable for Cell {}

/// A lock that one process at a time holds. It is robust: the kernel frees it when its holder dies (`pthread_mutexattr_setrobust(3)`),
/// so what it guards must be usable whatever its holder was doing.
pub struct Lock {
    cell: Shared<Cell>,
}

impl Lock {
    /// A free lock in memory of its own. The errors are those of `mmap(2)`.
    pub fn new() -> io::Result<Self> {
        let cell = Shared::<Cell>::new(1)?;
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: the attributes are initialized before they are used and destroyed after; nobody else knows of the mutex yet.
        let result = unsafe {
            libc::pthread_mutexattr_init(attributes.as_mut_ptr());
            libc::pthread_mutexattr_setpshared(attributes.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED);
            libc::pthread_mutexattr_setrobust(attributes.as_mut_ptr(), libc::PTHREAD_MUTEX_ROBUST);
            let result = libc::pthread_mutex_init(cell[0].0.get(), attributes.as_ptr());
            libc::pthread_mutexattr_destroy(attributes.as_mut_ptr());
            result
        };
        if result == 0 { Ok(Lock { cell }) } else { Err(io::Error::from_raw_os_error(result)) }
    }

    /// Waits for the lock; it is free again when what is returned is dropped. `None`: it cannot be had, which would be a fault of the program
    /// or of memory.
    pub fn hold(&self) -> Option<Held<'_>> {
        let mutex = self.cell[0].0.get();
        // SAFETY: `new` has initialized the mutex, which is unmapped only with `self`.
        let usable = unsafe {
            match libc::pthread_mutex_lock(mutex) {
                0 => true,
                libc::EOWNERDEAD => libc::pthread_mutex_consistent(mutex) == 0,
                _ => false,
            }
        };
        usable.then_some(Held { lock: self })
    }
}

/// The lock is held while this lives.
pub struct Held<'a> {
    lock: &'a Lock,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // SAFETY: `Lock::hold` has locked the mutex in this thread, for this value alone.
        unsafe { libc::pthread_mutex_unlock(self.lock.cell[0].0.get()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};

    #[test]
    fn a_dead_holder_gives_it_up() {
        let lock = Lock::new().unwrap();
        // SAFETY: the child only takes the lock and leaves without running anything of the parent's.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let held = lock.hold();
                // SAFETY: it ends the process at once.
                unsafe { libc::_exit(i32::from(held.is_none())) }
            }
            ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
                assert!(lock.hold().is_some());
                assert!(lock.hold().is_some(), "it works on");
            }
        }
    }

    #[test]
    fn one_at_a_time() {
        let lock = Lock::new().unwrap();
        let mut count = 0;
        let shared = &raw mut count as usize;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        let _held = lock.hold().unwrap();
                        // SAFETY: `count` outlives the threads, and the lock is what this test is about.
                        unsafe { *(shared as *mut u32) += 1 };
                    }
                });
            }
        });
        assert_eq!(count, 40_000);
    }
}
