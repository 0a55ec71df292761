//! The program: options, run, exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    doorbell::cli::run()
}
