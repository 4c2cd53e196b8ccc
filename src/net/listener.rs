//! Listening sockets.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::fs::FileTypeExt;

use nix::sys::stat::{Mode, umask};
use socket2::{SockAddr, Socket, TcpKeepalive, Type};

use super::Address;
use super::socket_options::Tuning;
use crate::event::{Owner, Reactor, SourceId};

/// What a listening socket must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// Where.
    pub address: Address,
    /// The length of the kernel's queue; nginx's default is 511.
    pub backlog: i32,
    /// IPv6 sockets: no IPv4 through them.
    pub ipv6only: bool,
    /// `TCP_NODELAY`, which accepted sockets inherit from the listening one.
    pub nodelay: bool,
    /// `SO_KEEPALIVE`, inherited likewise.
    pub keepalive: bool,
    /// A socket for each worker (`SO_REUSEPORT`), among which the kernel spreads the clients, in place of one that all share.
    pub reuseport: bool,
    /// What else there is to say.
    pub tuning: Tuning,
}

impl ListenOptions {
    /// How many sockets it takes for so many workers.
    pub fn sockets(&self, workers: usize) -> usize {
        if self.reuseport { workers } else { 1 }
    }
}

/// A listening socket, made by the master and shared by its workers.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: Address,
}

impl Listener {
    /// Binds and listens. The file of a Unix socket gets mode 0666, as nginx gives it.
    ///
    /// # Errors
    /// Which call failed (`socket()`, `bind()`, ...) and why.
    pub fn open(options: &ListenOptions) -> Result<Self, (&'static str, io::Error)> {
        let at = |call| move |error| (call, error);
        let kind = Type::STREAM.nonblocking();
        let socket = Socket::new(options.address.domain(), kind, None).map_err(at("socket()"))?;
        let address = options.address.to_sockaddr().map_err(at("bind()"))?;
        if let Address::Inet(inet) = &options.address {
            socket.set_reuse_address(true).map_err(at("setsockopt(SO_REUSEADDR)"))?;
            if options.reuseport {
                socket.set_reuse_port(true).map_err(at("setsockopt(SO_REUSEPORT)"))?;
            }
            if inet.is_ipv6() {
                socket.set_only_v6(options.ipv6only).map_err(at("setsockopt(IPV6_V6ONLY)"))?;
            }
        }
        match &options.address {
            Address::Unix(_) => {
                // The file is made with its mode: changing it by its path could change what somebody has put there meanwhile.
                let before = umask(Mode::from_bits_truncate(0o111));
                let bound = socket.bind(&address);
                umask(before);
                bound
            }
            Address::Inet(_) => socket.bind(&address),
        }
        .map_err(at("bind()"))?;
        let mut listener = Listener { socket, address: options.address.clone() };
        if let Err(error) = listener.configure(options) {
            // The file that bind() made would be in the way of the next start.
            listener.unlink();
            return Err(("listen()", error));
        }
        Ok(listener)
    }

    /// Takes over a descriptor that another process opened and named in `NGINX=`.
    ///
    /// # Errors
    /// It is not an open descriptor, or not a socket.
    pub fn inherit(fd: RawFd) -> io::Result<Self> {
        // SAFETY: F_GETFD reads the flags of a descriptor number and touches no memory; it fails when nothing is open there.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is open (checked above), was handed to this process by its environment for this
        // purpose, and nothing else here owns it.
        let socket = unsafe { Socket::from_raw_fd(fd) };
        let address = match socket.local_addr() {
            Ok(address) => Address::from_sockaddr(&address),
            Err(error) => {
                // Not a socket: it is not ours to close.
                std::mem::forget(socket);
                return Err(error);
            }
        };
        socket.set_cloexec(true)?;
        socket.set_nonblocking(true)?;
        Ok(Listener { socket, address })
    }

    /// Brings a new, inherited or kept socket to `options`: the queue's length and what accepted sockets inherit.
    ///
    /// # Errors
    /// What listen(2) or setsockopt(2) say.
    pub fn configure(&mut self, options: &ListenOptions) -> io::Result<()> {
        if matches!(self.address, Address::Inet(_)) {
            self.socket.set_tcp_nodelay(options.nodelay)?;
            self.socket.set_keepalive(options.keepalive)?;
            self.tune(&options.tuning)?;
        }
        self.socket.listen(options.backlog)
    }

    /// Sets what accepted sockets inherit beside the usual, and how clients are accepted.
    fn tune(&self, tuning: &Tuning) -> io::Result<()> {
        if let Some(size) = tuning.receive_buffer {
            self.socket.set_recv_buffer_size(size)?;
        }
        if let Some(size) = tuning.send_buffer {
            self.socket.set_send_buffer_size(size)?;
        }
        if let Some(keepalive) = tuning.keepalive.filter(|keepalive| keepalive.on) {
            let set = TcpKeepalive::new();
            let set = keepalive.idle.map_or(set.clone(), |idle| set.with_time(idle));
            let set = keepalive.interval.map_or(set.clone(), |interval| set.with_interval(interval));
            let set = keepalive.count.map_or(set.clone(), |count| set.with_retries(count));
            self.socket.set_tcp_keepalive(&set)?;
        }
        if let Some(length) = tuning.fast_open {
            self.set(libc::TCP_FASTOPEN, length)?;
        }
        self.set(libc::TCP_DEFER_ACCEPT, tuning.deferred.into())
    }

    /// Sets an option of TCP.
    fn set(&self, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
        // SAFETY: the kernel reads one int, of which the true size is told.
        let done = unsafe {
            libc::setsockopt(
                self.fd(),
                libc::IPPROTO_TCP,
                option,
                (&raw const value).cast(),
                size_of_val(&value) as libc::socklen_t,
            )
        };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Lets other sockets of this user listen on the same address beside this one.
    ///
    /// # Errors
    /// What setsockopt(2) says.
    pub fn share_address(&self) -> io::Result<()> {
        self.socket.set_reuse_port(true)
    }

    /// From now on new clients of all sockets that share this one's address come to the first `count` of them, by chance. The kernel
    /// numbers the sockets in the order in which they began to listen, and moves the last one to the place of one that is closed. Without
    /// this a socket that is about to be closed would get clients to its end, who would be cut off with it.
    ///
    /// # Errors
    /// What setsockopt(2) says, such as EINVAL for a socket that never shared its address.
    pub fn steer(&self, count: usize) -> io::Result<()> {
        let op = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
        let random = (libc::SKF_AD_OFF + libc::SKF_AD_RANDOM) as u32;
        let mut program = [
            op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, random),
            op(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, count.max(1) as u32),
            op(libc::BPF_RET | libc::BPF_A, 0),
        ];
        let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
        // SAFETY: the kernel copies the program, of which `filter` tells the true length, before the call returns; its size is that of the struct.
        let done = unsafe {
            libc::setsockopt(
                self.fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_REUSEPORT_CBPF,
                (&raw const filter).cast(),
                size_of_val(&filter) as libc::socklen_t,
            )
        };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// A second handle on the same socket, for a worker.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Listener { socket: self.socket.try_clone()?, address: self.address.clone() })
    }

    /// The descriptor, for `NGINX=`.
    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Removes the file of a Unix socket; for the master, when the address is no longer in the configuration or weir ends
    /// (not when a new binary has taken over). What is no socket any more stays.
    pub fn unlink(&self) {
        if let Address::Unix(path) = &self.address
            && !path.as_os_str().is_empty()
            && std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
        {
            // A file that is gone already is what was wanted.
            let _ = std::fs::remove_file(path);
        }
    }

    /// Watches the listener, level-triggered, so that a client left waiting is reported again. EPOLLEXCLUSIVE lets
    /// the kernel wake one of the workers that share the socket, not all (epoll_ctl(2)).
    ///
    /// # Errors
    /// What epoll_ctl says.
    pub fn watch(&self, reactor: &mut Reactor, owner: Owner) -> io::Result<SourceId> {
        let source = reactor.add_unwatched(owner);
        let flags = (libc::EPOLLIN | libc::EPOLLEXCLUSIVE) as u32;
        let mut event = libc::epoll_event { events: flags, u64: reactor.token_of(source) };
        // SAFETY: both descriptors are open, `event` lives through the call and the kernel only reads it.
        let done = unsafe { libc::epoll_ctl(reactor.epoll_fd(), libc::EPOLL_CTL_ADD, self.fd(), &mut event) };
        if done < 0 {
            let error = io::Error::last_os_error();
            reactor.remove(source);
            return Err(error);
        }
        Ok(source)
    }

    /// Ends [`Listener::watch`]. Closing alone would not: other processes keep the socket open, and with it the epoll's entry.
    pub fn unwatch(&self, reactor: &mut Reactor, source: SourceId) {
        // SAFETY: both descriptors are open; EPOLL_CTL_DEL ignores the event pointer (null since Linux 2.6.9).
        unsafe { libc::epoll_ctl(reactor.epoll_fd(), libc::EPOLL_CTL_DEL, self.fd(), std::ptr::null_mut()) };
        reactor.remove(source);
    }

    /// Takes a waiting client, non-blocking and close-on-exec in one call, with its address. `None`: nobody waits.
    ///
    /// # Errors
    /// What accept(2) says; out of descriptors (EMFILE, ENFILE) is the one to be ready for.
    pub fn accept(&self) -> io::Result<Option<(Socket, Address)>> {
        loop {
            // SAFETY: accept4 writes at most `length` bytes of an address into the storage and sets both as try_init
            // asks; a negative result leaves through the error.
            let accepted = unsafe {
                SockAddr::try_init(|storage, length| {
                    let fd = libc::accept4(self.fd(), storage.cast(), length, libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
                    if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(fd) }
                })
            };
            match accepted {
                Ok((fd, address)) => {
                    // SAFETY: accept4 just returned this descriptor, so it is open and ours alone.
                    let socket = unsafe { Socket::from_raw_fd(fd) };
                    return Ok(Some((socket, Address::from_sockaddr(&address))));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpStream;
    use std::time::{Duration, Instant};

    use super::super::SocketOptions;
    use super::*;

    fn listener(parameters: &[&str]) -> Listener {
        let address = Address::Inet("127.0.0.1:0".parse().unwrap());
        let mut options = SocketOptions::default();
        for parameter in parameters {
            assert_eq!(options.take_tuning(parameter), Ok(true), "{parameter}");
        }
        Listener::open(&options.listen(address, false, false)).unwrap()
    }

    /// A client, and what the listener makes of it within some time.
    fn accept(listener: &Listener, patience: Duration) -> (TcpStream, Option<Socket>) {
        let client = TcpStream::connect(listener.socket.local_addr().unwrap().as_socket().unwrap()).unwrap();
        let end = Instant::now() + patience;
        loop {
            match listener.accept().unwrap() {
                Some((socket, _)) => return (client, Some(socket)),
                None if Instant::now() > end => return (client, None),
                None => std::thread::yield_now(),
            }
        }
    }

    #[test]
    fn connections_inherit_what_listen_says() {
        let listener = listener(&["rcvbuf=32k", "sndbuf=64k", "so_keepalive=30m:10:5"]);
        let (_client, socket) = accept(&listener, Duration::from_secs(10));
        let socket = socket.expect("a connection");
        // The kernel doubles what it is told, for its own needs (socket(7)).
        assert_eq!((socket.recv_buffer_size().unwrap(), socket.send_buffer_size().unwrap()), (64 << 10, 128 << 10));
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(1800));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(10));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 5);
        let (_client, socket) = accept(&self::listener(&["so_keepalive=off"]), Duration::from_secs(10));
        assert!(!socket.expect("a connection").keepalive().unwrap());
    }

    #[test]
    fn a_deferred_client_comes_with_its_first_bytes() {
        let listener = listener(&["deferred"]);
        let (mut client, socket) = accept(&listener, Duration::from_millis(50));
        assert!(socket.is_none());
        client.write_all(b"x").unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        while listener.accept().unwrap().is_none() {
            assert!(Instant::now() < end, "the client does not come");
            std::thread::yield_now();
        }
    }
}
