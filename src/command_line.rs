//! The whole command line: reads it, runs the command, reports once what went wrong and who acts.
//!
//! Why in the library: a program with a registry of its own is a `ticktide` with more names, and the processes that `run -n N`
//! starts are that program again. What must hold: a process ends with one message, and with the exit code for who acts.

use clap::Parser;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use ticktide_base::environment;
use ticktide_base::error::{Error, Kind};
use ticktide_cli::{Cli, run};

/// Libraries that would print tokens and keys at the most verbose level, and the level that they are limited to.
const TALKATIVE: &str = "tungstenite=info,tokio_tungstenite=info,rumqttc=info,reqwest=info,hyper=info,hyper_util=info";

/// Prints how the process ends. The exit code reports it, too: if standard error is closed, it must not become that of a panic.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Runs the command that the process was started with, as the binary `ticktide` does; returns its exit code: 0 done ·
/// 1 failed · 2 fix your input · 3 fenced · 4 peer lost · 130 interrupted.
///
/// It takes over the process: logs go to standard error, a panic ends the process with 1, a wrong command line with 2.
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     // every command then knows the entries that you add, e.g. with `.indicator(&MINE)`
///     ticktide::Registry::built_in().install().expect("no name occurs twice");
///     ticktide::command_line()
/// }
/// ```
pub fn command_line() -> ExitCode {
    let cli = Cli::parse();
    // what the AWS libraries warn about is also returned as an error, in a readable line
    let default = if cli.global.quiet { "error" } else { "warn,ticktide=info,aws=error" };
    let filter = environment::variable(environment::LOG).unwrap_or_else(|| default.to_owned());
    let logs = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(format!("{filter},{TALKATIVE}")))
        .with_writer(std::io::stderr)
        .log_internal_errors(false); // it would panic if standard error is closed
    // on a terminal NO_COLOR decides
    if std::io::stderr().is_terminal() {
        logs.init()
    } else {
        logs.with_ansi(false).init()
    }
    // going on without one worker would be worse than the restart that fencing makes safe
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
            say(&told(&error));
            ExitCode::from(u8::try_from(error.kind.exit_code()).unwrap_or(1))
        }
    }
}

/// An error as a user reads it. An error that a user can fix has its hint; for any other the code leads to more.
fn told(error: &Error) -> String {
    let hint = error.hint.iter().map(|hint| format!("\nhint: {hint}")).collect::<String>();
    let code = match error.kind {
        Kind::Fix => String::new(),
        kind => format!("\ncode: {code} (`ticktide explain {code}`)", code = kind.code()),
    };
    format!("error: {error}{hint}{code}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_its_hint_and_one_that_no_user_mends_its_code() {
        assert_eq!(told(&Error::fix("no", "do")), "error: no\nhint: do");
        let lost = Error { kind: Kind::Lost, message: "gone".into(), hint: None };
        assert_eq!(told(&lost), "error: gone\ncode: TT-LOST (`ticktide explain TT-LOST`)");
    }
}
