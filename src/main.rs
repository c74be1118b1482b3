//! The `netform` command.

fn main() -> std::process::ExitCode {
    netform::cli::main()
}
