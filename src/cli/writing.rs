//! The flags of commands that write to a lake while no run does.
//!
//! Why apart: each of these commands takes the lake over, and is refused while a run writes it. What must hold: nothing is
//! written with `--dry-run`.

use clap::Args;

/// Options of the commands that write.
#[derive(Clone, Copy, Debug, Args)]
pub struct WriteOptions {
    /// Print what would be done, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Take the lake from a run that writes it: that run is fenced and ends with exit code 3
    #[arg(long)]
    pub take_over: bool,
}
