//! The program: parse, run, print the failure, exit. Everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    palisade::cli::main()
}
