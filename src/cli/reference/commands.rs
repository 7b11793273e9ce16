//! The page of commands, as the command line declares them.

use super::{Page, code};
use crate::Cli;
use clap::{Arg, Command, CommandFactory};

pub(super) fn page() -> Page {
    let first = "\
`ticktide COMMAND --help` prints the same text. Data goes to standard output, everything else to standard error. A setting \
comes from the first of these that has it: its flag, its `TICKTIDE_…` variable, the file; otherwise the default holds. Exit \
codes are in [errors](errors.md).";
    let mut page = Page::new("Commands", "the command line", first);
    let mut cli = Cli::command();
    cli.build();
    page.head(2, "Options of every command");
    options(&mut page, cli.get_arguments().filter(|argument| argument.is_global_set()));
    for command in cli.get_subcommands_mut().filter(|command| command.get_name() != "help") {
        of(&mut page, 2, "ticktide", command);
    }
    page
}

/// A command and its subcommands.
fn of(page: &mut Page, level: usize, above: &str, command: &mut Command) {
    let name = format!("{above} {}", command.get_name());
    page.head(level, code(&name));
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim().replace('\n', "\n  ");
    page.text(format_args!("{}.\n\n```text\n{usage}\n```\n", about.trim_end_matches('.')));
    let shown = |argument: &&Arg| !argument.is_hide_set() && !argument.is_global_set() && argument.get_id() != "help";
    options(page, command.get_arguments().filter(shown));
    for below in command.get_subcommands_mut().filter(|below| below.get_name() != "help") {
        of(page, level + 1, &name, below);
    }
}

fn options<'a>(page: &mut Page, arguments: impl Iterator<Item = &'a Arg>) {
    let rows: Vec<Vec<String>> = arguments.map(|argument| vec![written(argument), meaning(argument)]).collect();
    page.table(&["option", "meaning"], rows);
}

/// As it is typed.
fn written(argument: &Arg) -> String {
    let values = argument.get_value_names().filter(|_| argument.get_action().takes_values());
    let values: Vec<String> = values.unwrap_or_default().iter().map(ToString::to_string).collect();
    let more = if argument.get_num_args().is_some_and(|count| count.max_values() > 1) { "…" } else { "" };
    if argument.is_positional() {
        return code(format!("{}{more}", values.join(" ")));
    }
    let short = argument.get_short().map(|letter| format!("-{letter}"));
    let long = argument.get_long().map(|word| format!("--{word}"));
    let names: Vec<String> = short.into_iter().chain(long).collect();
    let value = if values.is_empty() { String::new() } else { format!(" {}", values.join(" ")) };
    code(format!("{}{value}", names.join(", ")))
}

fn meaning(argument: &Arg) -> String {
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let takes = argument.get_action().takes_values();
    let words: Vec<String> = argument
        .get_possible_values()
        .iter()
        .filter(|word| takes && !word.is_hide_set())
        .map(|word| match word.get_help() {
            Some(help) => format!("`{}`: {help}", word.get_name()),
            None => code(word.get_name()),
        })
        .collect();
    let defaults: Vec<String> =
        argument.get_default_values().iter().filter(|_| takes).map(|value| code(value.to_string_lossy())).collect();
    let mut said: Vec<String> = vec![help];
    said.extend((!words.is_empty()).then(|| words.join("; ")));
    said.retain(|part| !part.is_empty());
    let default = if defaults.is_empty() { String::new() } else { format!(" [default: {}]", defaults.join(" ")) };
    format!("{}{default}", said.join(". ")).replace('<', "&lt;")
}
