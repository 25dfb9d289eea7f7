//! Scripts against the engine: our own, which all pass, and Prometheus' shared ones, which pass more and more.

mod own;
mod shared;
