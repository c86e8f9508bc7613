//! `weft-control-plane`: the control plane of a Weft mesh.

use std::process::ExitCode;

fn main() -> ExitCode {
    weft_control_plane::cli::main_with(std::env::args_os())
}
