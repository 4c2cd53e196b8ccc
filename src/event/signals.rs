//! Signals as a readable source (signalfd): nothing runs in a signal handler.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// A signal that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Which.
    pub signal: Signal,
    /// The process that sent it, 0 when the kernel did.
    pub sender: i32,
}

/// The signals of this process, blocked for handlers and read here.
pub struct Signals {
    fd: SignalFd,
}

impl Signals {
    /// Blocks `signals` and opens a signalfd for them (non-blocking, close-on-exec).
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn new(signals: &[Signal]) -> io::Result<Self> {
        let set: SigSet = signals.iter().copied().collect();
        set.thread_block()?;
        Ok(Signals { fd: SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)? })
    }

    /// The next signal that waits, if one does.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Received> {
        let info = self.fd.read_signal().ok().flatten()?;
        let signal = Signal::try_from(info.ssi_signo as i32).ok()?;
        Some(Received { signal, sender: info.ssi_pid as i32 })
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        std::os::fd::AsFd::as_fd(&self.fd).as_raw_fd()
    }
}
