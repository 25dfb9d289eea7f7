//! Bytes that are no requests get an error or a closed connection, never a panic.
