//! The binary: the command line of the library, and the allocator that it is measured with.

use std::process::ExitCode;

/// I/O threads free what workers allocate, also for librdkafka: jemalloc does that without a lock between them, and returns
/// pages to the system. On 5 M records into minute bars it saves a fifth of the CPU.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    ticktide::command_line()
}
