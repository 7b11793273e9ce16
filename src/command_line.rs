//! The whole command line: reads it, runs the command, says once what went wrong and who acts.
//!
//! Why in the library: a program with a registry of its own is a `ticktide` with more names, and the processes that `run -n N`
//! starts are that program again. What must hold: a process ends with one message, and with the exit code of who acts.

use clap::Parser;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use ticktide_base::environment;
use ticktide_base::error::{Error, Kind};
use ticktide_cli::{Cli, run};

/// Libraries that would print tokens and keys if somebody asked for everything.
const TALKATIVE: &str = "tungstenite=info,tokio_tungstenite=info,rumqttc=info,reqwest=info,hyper=info,hyper_util=info";

/// Says how it ends. The exit code says it, too: where nobody listens it must not become that of a panic.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Runs the command that the process was started with, as the binary `ticktide` does; gives its exit code: 0 done · 1 failed ·
/// 2 fix your input · 3 fenced · 4 peer lost · 130 interrupted.
///
/// It takes the process over: logs go to standard error, a panic ends the process with 1, a wrong command line with 2.
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     // what is yours, e.g. `.indicator(&MINE)`, is then known to every command
///     ticktide::Registry::built_in().install().expect("nothing is there twice");
///     ticktide::command_line()
/// }
/// ```
pub fn command_line() -> ExitCode {
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
            say(&told(&error));
            ExitCode::from(u8::try_from(error.kind.exit_code()).unwrap_or(1))
        }
    }
}

/// An error as a user reads it. What a user mends has its hint; of anything else the code says more.
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
