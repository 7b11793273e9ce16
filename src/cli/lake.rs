//! `lake`: maintains a lake: compacts files, expires epochs, sets a time back, finds faults.
//!
//! `compact`, `expire` and `rewind` write, so they take the lake over and are refused while a run writes it; with `--dry-run`
//! they only read, as `doctor` does. What must hold: `doctor` ends with 0 on a sound lake and with 1 on a lake with a fault.

use super::read::block_on;
use super::rewind::{self, RewindArgs};
use super::writing::WriteOptions;
use super::{Global, aligned, print};
use clap::Subcommand;
use serde_json::json;
use std::collections::BTreeMap;
use ticktide_base::error::{Error, Kind};
use ticktide_lake::Lake;
use ticktide_lake::maintain::Survey;
use ticktide_lake::maintain::compact::Compacted;
use ticktide_lake::maintain::doctor::{self, Diagnosis, Finding};
use ticktide_lake::maintain::expire::Expired;
use ticktide_lake::upkeep::Upkeep;
use ticktide_lake::upkeep::retention::Keep;

#[derive(Debug, Subcommand)]
pub enum LakeCommand {
    /// Merge the small files of each partition into a big one; the rows stay the same
    Compact(WriteOptions),
    /// Expire old epochs by the rules of retention, then delete the objects that nothing needs any more
    Expire {
        #[command(flatten)]
        writing: WriteOptions,
        /// Keep at most this many of the last hour's epochs [default: 360]
        #[arg(long, value_name = "EPOCHS", value_parser = clap::value_parser!(u32).range(1..))]
        keep: Option<u32>,
    },
    /// Set back a partition's time that wild records have moved ahead, so that new records are no longer too late
    ///
    /// More than `confirmations` records with wild times move the running time of their partition ahead, and every record after
    /// them is `too_late`. This command decides an epoch without rows, from which the lake continues with the earlier time: the
    /// partition's running time, the times derived from it, and the horizons, as far back as nothing after them has left
    /// memory. Published rows stay published. Then feed the refused records again: `ticktide quarantine retry`.
    Rewind(RewindArgs),
    /// Report what is wrong with the lake, and how to mend it; exit code 1 if anything is wrong
    Doctor {
        /// Check only names, counts and the log; read no rows
        #[arg(long)]
        quick: bool,
    },
}

/// Runs one of the commands.
pub fn lake(command: &LakeCommand, global: &Global) -> Result<(), Error> {
    match command {
        LakeCommand::Compact(writing) => compact(*writing, global),
        LakeCommand::Expire { writing, keep } => expire(*writing, *keep, global),
        LakeCommand::Rewind(args) => rewind::rewind(args, global),
        LakeCommand::Doctor { quick } => doctor(*quick, global),
    }
}

fn catalog(global: &Global) -> Option<String> {
    global.catalog().map(|found| found.value)
}

fn compact(writing: WriteOptions, global: &Global) -> Result<(), Error> {
    let (warehouse, catalog) = (global.warehouse("./lake")?.value, catalog(global));
    let mut tables: BTreeMap<String, Compacted> = BTreeMap::new();
    block_on(async {
        if writing.dry_run {
            tables = Survey::open(&warehouse, catalog.as_deref()).await?.compactions().await?;
            return Ok(());
        }
        let mut lake = Lake::tend(&warehouse, catalog.as_deref(), Upkeep::default(), writing.take_over).await?;
        let done = lake.compact(|table, round| {
            let sum = tables.entry(table.to_owned()).or_default();
            sum.files_before += round.files_before;
            sum.files_after += round.files_after;
            sum.rows += round.rows;
        });
        let done = done.await;
        lake.leave().await;
        done?;
        Ok(())
    })?;
    if global.json {
        return tables.iter().try_for_each(|(table, done)| {
            let (before, after, rows) = (done.files_before, done.files_after, done.rows);
            let line = json!({
                "table": table, "files_before": before, "files_after": after, "rows": rows, "done": !writing.dry_run,
            });
            print(&format!("{line}\n"))
        });
    }
    if tables.is_empty() {
        return if global.quiet { Ok(()) } else { print("nothing to compact\n") };
    }
    let mut lines = vec![["table", "files", "become", "rows"].map(str::to_owned).to_vec()];
    lines.extend(tables.iter().map(|(table, done)| {
        let figures = [done.files_before as u64, done.files_after as u64, done.rows].map(|figure| figure.to_string());
        [vec![table.clone()], figures.to_vec()].concat()
    }));
    print(&aligned(&lines))
}

fn expire(writing: WriteOptions, keep: Option<u32>, global: &Global) -> Result<(), Error> {
    let (warehouse, catalog) = (global.warehouse("./lake")?.value, catalog(global));
    let standard = Keep::default();
    let keep = Keep { all: keep.map_or(standard.all, |keep| keep as usize), ..standard };
    let upkeep = Upkeep { keep, ..Upkeep::default() };
    let expired = block_on(async {
        if writing.dry_run {
            return Ok(Survey::open(&warehouse, catalog.as_deref()).await?.expiry(&upkeep).await?);
        }
        let mut lake = Lake::tend(&warehouse, catalog.as_deref(), upkeep, writing.take_over).await?;
        let expired = lake.expire().await;
        lake.leave().await;
        Ok(expired?)
    })?;
    show_expired(&expired, writing.dry_run, global)
}

fn show_expired(expired: &Expired, dry_run: bool, global: &Global) -> Result<(), Error> {
    let Expired { retention, epoch_last, epochs_kept, epochs, snapshots, garbage } = expired;
    if global.json {
        let kept: Vec<_> = retention.kept.iter().map(|(epoch, _)| *epoch).collect();
        let deleted: BTreeMap<_, _> = garbage.keys.iter().map(|(place, keys)| (place, keys.len())).collect();
        let line = json!({
            "since": retention.since, "epoch_last": epoch_last, "kept_before": kept, "epochs_kept": epochs_kept,
            "epochs_expired": epochs, "snapshots_expired": snapshots, "objects_deleted": deleted, "done": !dry_run,
        });
        return print(&format!("{line}\n"));
    }
    let since = retention.since;
    let rows = [
        ("epochs kept", format!("{epochs_kept}: all from {since} to {epoch_last}, {} before", retention.kept.len())),
        ("epochs expired", epochs.to_string()),
        ("snapshots expired", snapshots.to_string()),
        ("objects deleted", garbage.len().to_string()),
    ];
    let mut lines: Vec<Vec<String>> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    lines.extend(garbage.keys.iter().map(|(place, keys)| vec![format!("  {place}"), keys.len().to_string()]));
    print(&aligned(&lines))
}

fn doctor(quick: bool, global: &Global) -> Result<(), Error> {
    let (warehouse, catalog) = (global.warehouse("./lake")?.value, catalog(global));
    let found = block_on(async { Ok(doctor::diagnose(&warehouse, catalog.as_deref(), quick).await?) })?;
    show_findings(&found, global)?;
    match found.findings.iter().filter(|finding| finding.wrong).count() {
        0 => Ok(()),
        count => {
            let faults = if count == 1 { "1 fault was".to_owned() } else { format!("{count} faults were") };
            let hint = Some("each fault above says what mends it".to_owned());
            Err(Error { kind: Kind::Corrupt, message: format!("{faults} found in {warehouse}"), hint })
        }
    }
}

fn show_findings(found: &Diagnosis, global: &Global) -> Result<(), Error> {
    if global.json {
        return found.findings.iter().try_for_each(|finding| print(&format!("{}\n", json!(finding))));
    }
    for Finding { wrong, what, table, message, mend } in &found.findings {
        let place = table.as_deref().map_or(String::new(), |table| format!("{table}: "));
        let kind = if *wrong { "wrong" } else { "note" };
        print(&format!("{kind}: {place}{what}: {message}\n  mend: {mend}\n"))?;
    }
    if global.quiet || found.findings.iter().any(|finding| finding.wrong) {
        return Ok(());
    }
    let Diagnosis { epoch_last, tables, files, rows, .. } = found;
    print(&format!("sound: {tables} tables at epoch {epoch_last}, {rows} rows in {files} files read\n"))
}
