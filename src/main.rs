//! The binary: the command line of the library, and the allocator that it is measured with.

use std::process::ExitCode;

/// What a worker allocates an I/O thread frees, for librdkafka, too: jemalloc does that without a lock between them, and gives
/// pages back. On 5 M records into minute bars it saves a fifth of the CPU.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    ticktide::command_line()
}
