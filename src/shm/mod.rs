//! Memory shared by the workers: anonymous shared mappings of atomics, made by the master before it forks.
#![allow(unsafe_code)]

use std::io;
use std::marker::PhantomData;

/// Types that may live in shared memory: valid when all bytes are zero, no pointers, changed only through atomics.
///
/// # Safety
/// Every bit pattern of zeros must be a value, and all access through `&Self` must be sound when other processes do the same.
pub unsafe trait Shareable: Sync {}

// SAFETY: atomics are valid when zero and made for concurrent use; they hold no pointers.
unsafe impl Shareable for std::sync::atomic::AtomicU32 {}
// SAFETY: as above.
unsafe impl Shareable for std::sync::atomic::AtomicU64 {}

/// A slice of `T` that parent and children see together; unmapped when dropped (in this process only).
pub struct Shared<T: Shareable> {
    _marker: PhantomData<T>,
}

impl<T: Shareable> Shared<T> {
    /// Maps `count` zeroed items.
    pub fn new(_count: usize) -> io::Result<Self> {
        todo!()
    }
}

impl<T: Shareable> std::ops::Deref for Shared<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        todo!()
    }
}
