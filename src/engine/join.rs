//! How a process joins its cluster: it finds the others, takes the lake over or follows the one that did, and reports ready.
//!
//! Why in this order: an incomplete cluster, or one whose processes differ, must take nothing over. What must hold:
//! exactly one process opens the lake for writing; all go on from the same epoch, with the same partitions in the same order.

use crate::options::{Evolve, RunOptions};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use ticktide_base::error::Error;
use ticktide_base::failure::Failure;
use ticktide_base::version::code_version;
use ticktide_cluster::mesh::{Cluster, Hello, Mesh, Ready, Start};
use ticktide_dataflow::evolution;
use ticktide_feed::Source;
use ticktide_lake::{Chain, Lake, LakeOptions, LakeWriter, Resume};
use ticktide_tables::set::Tables;

/// Waits for the other processes of the same run.
pub fn gather(cluster: Cluster, options: &RunOptions, failure: Arc<Failure>, stop: &AtomicBool) -> Result<Mesh, Error> {
    let hash = options.dataflow.hash();
    let hello = Hello {
        code_version: code_version(),
        processes: cluster.hosts.len(),
        workers: options.workers,
        dataflow: format!("{} {}", options.dataflow.name, &hash[..hash.len().min(16)]),
        lake: options.warehouse.address(),
        until_end: options.dataflow.source.until_end,
        process: cluster.process,
        to: cluster.process,
    };
    Ok(Mesh::gather(cluster, hello, failure, stop)?)
}

/// The settings of all dataflows that the lake has had, the oldest first; none: there is no lake yet. Unless `evolve` is `No`,
/// this run's dataflow is the next one, if it only adds to the newest. Error of kind `Fix`: it changes more.
pub async fn lineages(options: &LakeOptions, evolve: Evolve, mesh: Option<&Mesh>) -> Result<Vec<Json>, Error> {
    let Some(chain) = Chain::read(&options.warehouse).await? else { return Ok(Vec::new()) };
    let mut settings: Vec<Json> = chain.settings().cloned().collect();
    let rebuild = evolve == Evolve::Rebuild;
    if let Some(next) = chain.next(options, rebuild, 0)?.filter(|_| evolve != Evolve::No) {
        if rebuild && let Some(before) = chain.lineages.iter().find(|lineage| !lineage.rebuilt) {
            let message = format!(
                "lineage {} of the lake was added without `--rebuild`: what it adds is null in the rows before it",
                before.number
            );
            return Err(Error::fix(
                message,
                "leave `--rebuild` out, or write into a new lake with another `--warehouse`",
            ));
        }
        let seen_until = Chain::seen_until(&options.warehouse).await?;
        evolution::only_adds(chain.newest().1, &next.settings, seen_until, rebuild)
            .map_err(|refused| evolution::refused(&options.dataflow, &refused))?;
        if mesh.is_none_or(Mesh::leads) {
            chain.declare(options, rebuild).await?;
            tracing::info!(lineage = next.number, "the lake goes on with what this dataflow adds");
        }
        settings.push(next.settings);
    }
    Ok(settings)
}

/// Process 0 takes the lake over and notifies the others, which load the same state to go on from.
pub async fn open_lake(
    options: LakeOptions,
    tables: &Tables,
    mesh: Option<&Mesh>,
) -> Result<(Option<Lake>, LakeWriter, Resume), Error> {
    if let Some(mesh) = mesh.filter(|mesh| !mesh.leads()) {
        let start = mesh.await_start()?;
        let (writer, resume) = Lake::follow(&options, start.epoch_next - 1, &start.token).await?;
        return Ok((None, writer, resume));
    }
    let (lake, resume) = Lake::open(options, tables.specs()).await?;
    let writer = lake.writer();
    if let Some(mesh) = mesh {
        let (generation, epoch_next, token) = (resume.generation, resume.epoch_next, lake.token().to_owned());
        mesh.start(&Start { generation, epoch_next, token })?;
    }
    Ok((Some(lake), writer, resume))
}

/// What must be equal in all processes before the first record.
pub fn readiness(generation: u64, source: &dyn Source) -> Ready {
    let partitions = source.partitions();
    let mut hash = Sha256::new();
    partitions.iter().for_each(|partition| hash.update(format!("{}\n", partition.name())));
    let partitions_hash = ticktide_market::calendar::hex(&hash.finalize());
    Ready { generation, partitions: partitions.len(), partitions_hash }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_behind_its_mark_is_the_packages() {
        assert_eq!(code_version(), env!("CARGO_PKG_VERSION"));
    }
}
