//! Servers behind weir, each a few threads that follow a script.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::ports::Port;
use super::wait::PATIENCE;

/// A server that runs its script on a thread for each connection, and stops listening when dropped.
pub struct Backend {
    pub address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Backend {
    /// A server on a port of its own.
    pub fn start(script: impl Fn(TcpStream) + Send + Sync + 'static) -> Backend {
        Backend::serve(TcpListener::bind("127.0.0.1:0").unwrap(), script)
    }

    /// A server on a reserved port, which was refused before and is refused again afterwards.
    pub fn on(port: &Port, script: impl Fn(TcpStream) + Send + Sync + 'static) -> Backend {
        Backend::serve(TcpListener::bind(port.v4()).unwrap(), script)
    }

    /// A server on `listener`.
    pub fn serve(listener: TcpListener, script: impl Fn(TcpStream) + Send + Sync + 'static) -> Backend {
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let accepted = Arc::new(AtomicUsize::new(0));
        let thread = thread::spawn({
            let (stop, accepted, script) = (stop.clone(), accepted.clone(), Arc::new(script));
            move || {
                for stream in listener.incoming().flatten() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    accepted.fetch_add(1, Ordering::SeqCst);
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    stream.set_nodelay(true).unwrap();
                    let script = script.clone();
                    thread::spawn(move || script(stream));
                }
            }
        });
        Backend { address, accepted, stop, thread: Some(thread) }
    }

    /// Connections taken so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // The accepting thread may have taken its last look already; a connection wakes it.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sends back what comes, and closes when the other side does.
pub fn echo(mut stream: TcpStream) {
    copy_back(&mut stream);
}

fn copy_back<S: Read + Write>(stream: &mut S) {
    let mut buffer = vec![0; 65536];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

/// Speaks first, then echoes.
pub fn greeting(text: &'static str) -> impl Fn(TcpStream) + Send + Sync {
    move |mut stream| {
        if stream.write_all(text.as_bytes()).is_ok() {
            copy_back(&mut stream);
        }
    }
}

/// Says its name and closes.
pub fn named(name: impl Into<String>) -> impl Fn(TcpStream) + Send + Sync {
    let name = name.into();
    move |mut stream| {
        let _ = stream.write_all(name.as_bytes());
    }
}

/// Sends `bytes` as fast as they go, then closes.
pub fn source(bytes: Vec<u8>) -> impl Fn(TcpStream) + Send + Sync {
    move |mut stream| {
        let _ = stream.write_all(&bytes);
    }
}

/// Counts what comes into `total`, and adds one to `ended` at the end of file.
pub fn sink(total: Arc<AtomicUsize>, ended: Arc<AtomicUsize>) -> impl Fn(TcpStream) + Send + Sync {
    move |mut stream| {
        let mut buffer = vec![0; 65536];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            total.fetch_add(count, Ordering::SeqCst);
        }
        ended.fetch_add(1, Ordering::SeqCst);
    }
}

/// Keeps what comes, whole, for the test to look at when the connection ends.
pub fn recorder(into: std::sync::mpsc::Sender<Vec<u8>>) -> impl Fn(TcpStream) + Send + Sync {
    let into = std::sync::Mutex::new(into);
    move |mut stream| {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let _ = into.lock().unwrap().send(bytes);
    }
}

/// Accepts and resets at once.
pub fn reset(stream: TcpStream) {
    super::clients::reset(stream);
}

/// Accepts and closes at once.
pub fn close(stream: TcpStream) {
    let _ = stream.shutdown(Shutdown::Both);
}

/// Reads and never answers.
pub fn silent(mut stream: TcpStream) {
    let mut buffer = vec![0; 65536];
    while let Ok(1..) = stream.read(&mut buffer) {}
}

/// Neither reads nor writes until `release` is set.
pub fn stalled(release: Arc<AtomicBool>) -> impl Fn(TcpStream) + Send + Sync {
    move |stream| {
        while !release.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(10));
        }
        drop(stream);
    }
}

/// Sends a byte every `pause`, `count` times, and hears nothing; then closes.
pub fn drip(count: usize, pause: Duration) -> impl Fn(TcpStream) + Send + Sync {
    move |mut stream| {
        for _ in 0..count {
            if stream.write_all(b".").is_err() {
                return;
            }
            thread::sleep(pause);
        }
    }
}

/// A server on a Unix socket that says `name` and then echoes. It runs until the test's process ends.
pub fn unix(path: &Path, name: &'static str) {
    use std::os::unix::fs::PermissionsExt;
    let listener = UnixListener::bind(path).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                if stream.write_all(name.as_bytes()).is_ok() {
                    copy_back(&mut stream);
                }
            });
        }
    });
}

/// An address that neither answers nor refuses: a listener whose queue is full and that nobody accepts from.
pub struct Unreachable {
    pub address: SocketAddr,
    _listener: Socket,
    _queue: Vec<Socket>,
}

impl Unreachable {
    pub fn new() -> Unreachable {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queue = Vec::new();
        // A queue of length n takes n + 1; a connect that does not come through within a while has met the full queue.
        loop {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let outcome = socket.connect_timeout(&address, Duration::from_millis(200));
            queue.push(socket);
            match outcome {
                Ok(()) => assert!(queue.len() < 10, "the queue takes everything"),
                Err(error) if error.kind() == ErrorKind::TimedOut => break,
                Err(error) => panic!("{error}"),
            }
        }
        Unreachable { address: address.as_socket().unwrap(), _listener: listener, _queue: queue }
    }
}
