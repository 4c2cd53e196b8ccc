//! `events {}`.

/// What `events {}` says.
#[derive(Clone, Debug)]
pub struct Events {
    /// Connections of one worker, clients and upstreams and listening sockets together (nginx's default: 512).
    pub worker_connections: usize,
    /// Take all waiting connections at once instead of one a turn.
    pub multi_accept: bool,
    /// How long accepting pauses when descriptors run out (nginx uses the same value, 500 ms).
    pub accept_mutex_delay: std::time::Duration,
    /// Clients whose sessions are logged at `debug`.
    pub debug_connections: Vec<ipnet::IpNet>,
}
