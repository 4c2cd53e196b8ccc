//! Ports picked by the kernel and kept for a test until it ends.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// Whether this machine has the address `::1`; says so where it has not.
pub fn has_ipv6() -> bool {
    let has = std::net::TcpListener::bind("[::1]:0").is_ok();
    if !has {
        eprintln!("this machine has no IPv6");
    }
    has
}

/// A port that nobody else gets: a socket bound to it on all addresses of both families that never listens. Linux lets others with
/// `SO_REUSEADDR` (weir, the servers of a test) bind the same port beside it, but hands it out to nobody who asks for any port.
pub struct Port {
    pub number: u16,
    _reservation: Socket,
}

impl Port {
    pub fn reserve() -> Port {
        Port::bind(0).unwrap()
    }

    /// Two ports, one behind the other.
    pub fn reserve_two() -> [Port; 2] {
        loop {
            let first = Port::reserve();
            if let Some(Ok(second)) = first.number.checked_add(1).map(Port::bind) {
                return [first, second];
            }
        }
    }

    fn bind(number: u16) -> io::Result<Port> {
        let (socket, any) = match Socket::new(Domain::IPV6, Type::STREAM, None) {
            Ok(socket) => {
                socket.set_only_v6(false).unwrap();
                (socket, IpAddr::from(Ipv6Addr::UNSPECIFIED))
            }
            // A kernel without IPv6.
            Err(_) => (Socket::new(Domain::IPV4, Type::STREAM, None).unwrap(), Ipv4Addr::UNSPECIFIED.into()),
        };
        // A certain one is not to be had beside somebody else.
        socket.set_reuse_address(number == 0)?;
        socket.bind(&SocketAddr::from((any, number)).into())?;
        socket.set_reuse_address(true)?;
        let number = socket.local_addr()?.as_socket().unwrap().port();
        Ok(Port { number, _reservation: socket })
    }

    /// `127.0.0.1:port`, for a configuration.
    pub fn v4(&self) -> String {
        self.on("127.0.0.1")
    }

    /// `[::1]:port`, for a configuration.
    pub fn v6(&self) -> String {
        self.on("[::1]")
    }

    /// The port on `host`, for a configuration.
    pub fn on(&self, host: &str) -> String {
        format!("{host}:{}", self.number)
    }
}
