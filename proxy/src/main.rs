//! `weft-proxy`: the data plane.

use std::process::ExitCode;

fn main() -> ExitCode {
    weft_proxy::main_with(std::env::args_os())
}
