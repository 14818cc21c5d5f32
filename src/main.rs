fn main() -> std::process::ExitCode {
    wiregate::run(wiregate::filters::all())
}
