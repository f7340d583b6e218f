//! `leeward`: the one binary.

fn main() -> std::process::ExitCode {
    leeward::main()
}
