//! The flags of commands that write a lake which nobody runs.
//!
//! Why apart: each of them takes the lake over, and is refused while a run is there. What must hold: with `--dry-run` nothing is
//! written.

use clap::Args;

/// Options of the commands that write.
#[derive(Clone, Copy, Debug, Args)]
pub struct Writing {
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Go on although a run is there: it is fenced and ends with exit code 3
    #[arg(long)]
    pub take_over: bool,
}
