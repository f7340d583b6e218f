//! Real NATS and Kubernetes servers on loopback for tests, demo and benches

pub mod audit;
pub mod bench;
mod certificates;
pub mod demo;
pub mod folder;
pub mod hostile;
pub mod kube;
pub mod leeward;
pub mod load;
mod lock;
pub mod nack;
pub mod nats;
pub mod ports;
pub mod process;
#[cfg(test)]
mod rights;
pub mod soak;
pub mod tools;

/// Prints a line for the person who started a program of the lab.
#[expect(clippy::print_stdout, reason = "this is what those programs are for")]
pub fn print_line(line: impl std::fmt::Display) {
    println!("{line}");
}
