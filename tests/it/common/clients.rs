//! Clients: plain blocking sockets with a time limit, so that a fault shows as a failed test and not as a hang.

use std::fmt::Debug;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};

use super::dice::Dice;
use super::wait::PATIENCE;

/// A connection whose reads and writes give up after [`PATIENCE`].
#[track_caller]
pub fn connect(to: impl ToSocketAddrs + Debug) -> TcpStream {
    match try_connect(&to) {
        Ok(stream) => stream,
        Err(error) => panic!("connect to {to:?}: {error}"),
    }
}

/// A connection whose kernel holds little for a slow reader, so that what it has not read stays with the sender.
pub fn connect_narrow(to: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::for_address(to), socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(131_072).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// [`connect`] where refusal is an answer.
pub fn try_connect(to: impl ToSocketAddrs) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Everything until the other side closes.
#[track_caller]
pub fn read_all(mut stream: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        panic!("read failed after {} bytes: {error}", bytes.len());
    }
    bytes
}

/// [`read_all`] over a new connection, as text.
#[track_caller]
pub fn fetch(to: impl ToSocketAddrs + Debug) -> String {
    String::from_utf8(read_all(connect(to))).unwrap()
}

/// Sends `bytes` and reads as many back.
#[track_caller]
pub fn ask(mut stream: impl Read + Write, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).unwrap();
    let mut answer = vec![0; bytes.len()];
    if let Err(error) = stream.read_exact(&mut answer) {
        panic!("no answer: {error}");
    }
    answer
}

/// Waits for the other side to close, cleanly or by a reset, without another byte.
#[track_caller]
pub fn is_closed(mut stream: impl Read) -> bool {
    let mut byte = [0];
    // A read that is interrupted (the process was stopped, say) has learnt nothing.
    let read = loop {
        match stream.read(&mut byte) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => break read,
        }
    };
    match read {
        Ok(0) => true,
        Ok(_) => panic!("a byte came instead of the end: {byte:?}"),
        Err(error) => match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => true,
            ErrorKind::WouldBlock | ErrorKind::TimedOut => false,
            _ => panic!("{error}"),
        },
    }
}

/// Whether the connection stands and nothing waits to be read.
pub fn is_quiet(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let answer = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    answer.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// Closes with a reset.
pub fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
}

/// Writes to a stream until it takes no more for a while, or ends, and returns how much it took.
pub fn fill(stream: &mut TcpStream) -> usize {
    let chunk = [b'x'; 65536];
    stream.set_write_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
    let mut total = 0;
    loop {
        match stream.write(&chunk) {
            Ok(count) => total += count,
            Err(_) => return total,
        }
    }
}

/// Bytes without a short period, so that a lost, doubled or exchanged piece shows.
pub fn noise(length: usize) -> Vec<u8> {
    let mut dice = Dice::new(length as u64);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&dice.next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Sends `bytes` from a thread while it reads as many back, then closes.
#[track_caller]
pub fn exchange(stream: TcpStream, bytes: &[u8]) -> Vec<u8> {
    let mut reader = stream.try_clone().unwrap();
    let mut answer = vec![0; bytes.len()];
    std::thread::scope(|scope| {
        scope.spawn(|| (&stream).write_all(bytes).unwrap());
        reader.read_exact(&mut answer).unwrap();
    });
    stream.shutdown(Shutdown::Both).unwrap();
    answer
}
