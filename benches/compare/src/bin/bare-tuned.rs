//! The bare proxy with Wiregate's allocator; `make bench` builds it with Wiregate's profile.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    wiregate_bench::bare::run()
}
