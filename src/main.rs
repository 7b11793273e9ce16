//! The binary: reads the command line, runs the command, says once what went wrong and who acts.

use clap::Parser;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use ticktide_base::environment;
use ticktide_cli::{Cli, run};

/// What a worker allocates an I/O thread frees, for librdkafka, too: jemalloc does that without a lock between them, and gives
/// pages back. On 5 M records into minute bars it saves a fifth of the CPU.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Libraries that would print tokens and keys if somebody asked for everything.
const TALKATIVE: &str = "tungstenite=info,tokio_tungstenite=info,rumqttc=info,reqwest=info,hyper=info,hyper_util=info";

/// Says how it ends. The exit code says it, too: where nobody listens it must not become that of a panic.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // what the AWS libraries warn of comes back as an error of ours, in a line that can be read
    let default = if cli.global.quiet { "error" } else { "warn,ticktide=info,aws=error" };
    let filter = environment::variable(environment::LOG).unwrap_or_else(|| default.to_owned());
    let logs = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(format!("{filter},{TALKATIVE}")))
        .with_writer(std::io::stderr)
        .log_internal_errors(false); // it would say, with a panic, that nobody listens
    // on a terminal NO_COLOR decides
    if std::io::stderr().is_terminal() {
        logs.init()
    } else {
        logs.with_ansi(false).init()
    }
    // limping on without one worker would be worse than the restart that fencing makes safe
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        say(
            "error: ticktide met a bug and ends\nhint: start it again, it goes on from its last epoch; report the lines above",
        );
        std::process::exit(1);
    }));
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let hint = error.hint.iter().map(|hint| format!("\nhint: {hint}")).collect::<String>();
            say(&format!("error: {error}{hint}"));
            ExitCode::from(u8::try_from(error.kind.exit_code()).unwrap_or(1))
        }
    }
}
