//! The engine as a whole: random queries against themselves, our own scripts, which all pass, and Prometheus' shared ones, which pass more and more.

mod agreement;
mod limits;
mod own;
mod seam;
mod shared;
