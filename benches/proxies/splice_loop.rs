//! The floor for bulk transfers: a program that does nothing but `splice(2)` between two sockets. It is this same program, started anew.

use std::env;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::unistd::pipe2;

use crate::Result;

/// The first argument that makes this program the loop.
pub const ARGUMENT: &str = "--as-splice-loop";

/// What a pipe holds at most where nobody has raised it (`/proc/sys/fs/pipe-max-size`).
const PIPE_SIZE: usize = 1 << 20;

/// Where to listen and whereto to connect, if this process was started as the loop.
pub fn asked_for() -> Option<(SocketAddr, SocketAddr)> {
    let mut arguments = env::args().skip(1);
    if arguments.next()? != ARGUMENT {
        return None;
    }
    Some((arguments.next()?.parse().ok()?, arguments.next()?.parse().ok()?))
}

/// Serves clients, one thread a direction, until it is killed.
pub fn run(listen: SocketAddr, backend: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(listen)?;
    loop {
        let (client, _) = listener.accept()?;
        let server = TcpStream::connect(backend)?;
        let (client_too, server_too) = (client.try_clone()?, server.try_clone()?);
        thread::spawn(move || pump(&client, &server));
        thread::spawn(move || pump(&server_too, &client_too));
    }
}

fn pump(from: &TcpStream, to: &TcpStream) -> Result<()> {
    let (out, into) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&into, FcntlArg::F_SETPIPE_SZ(PIPE_SIZE as i32))?;
    loop {
        let mut filled = splice(from, None, &into, None, PIPE_SIZE, SpliceFFlags::SPLICE_F_MOVE)?;
        if filled == 0 {
            return Ok(to.shutdown(Shutdown::Write)?);
        }
        while filled > 0 {
            filled -= splice(&out, None, to, None, filled, SpliceFFlags::SPLICE_F_MOVE)?;
        }
    }
}
