//! The two-way byte pump between two connections.
