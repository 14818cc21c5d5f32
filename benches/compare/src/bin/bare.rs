//! The bare proxy on the system's allocator; `make bench` builds it with Cargo's own defaults.

fn main() -> std::process::ExitCode {
    wiregate_bench::bare::run()
}
