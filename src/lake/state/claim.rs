//! Whether a lake may be opened: a new lake is claimed for its dataflow and its catalog, another dataflow's is refused.
//!
//! What must hold: no lake is created in another lake's catalog, and nothing is written into a lake that is refused.

use super::identity::{IDENTITY, Identity, compare, known, ours};
use super::lineage::{self, Lineage, newest};
use crate::LakeOptions;
use crate::catalog::{Catalog, CatalogIdentity};
use crate::commit::log::{create_or_get, read_slot};
use crate::error::LakeError;
use crate::store::Store;
use bytes::Bytes;

/// Claims a new lake for the dataflow and the catalog, or checks that it belongs to the dataflow; returns its lineages. A lake
/// without records goes to the next dataflow: a start that failed binds none. Error of kind `Fix`: the lake is another
/// dataflow's, or was moved.
pub(crate) async fn check(
    store: &dyn Store,
    options: &LakeOptions,
    catalog: &dyn Catalog,
) -> Result<Vec<Lineage>, LakeError> {
    let ours = Identity { catalog: catalog.identity().await?, ..ours(options, store.location(""))? };
    let found = match known(store).await? {
        Some(found) => found,
        None => {
            check_location(&ours.location)?;
            // no lake is created in another lake's catalog
            check_tables(store, catalog, None).await?;
            let found = create_or_get(store, IDENTITY, bytes_of(&ours)?).await?;
            Identity::from_bytes(&found)?
        }
    };
    let lineages = lineage::read_all(store).await?;
    let found = newest(found, lineages.last());
    let other = (&found.dataflow, &found.hash) != (&ours.dataflow, &ours.hash);
    if other && lineages.is_empty() && !lineage::is_bound(store).await? {
        // the location and the namespace must be the same, only the dataflow may differ
        compare(&ours, &Identity { dataflow: ours.dataflow.clone(), hash: ours.hash.clone(), ..found })?;
        store.put(IDENTITY, bytes_of(&ours)?).await?;
        return Ok(lineages);
    }
    compare(&ours, &found)?;
    Ok(lineages)
}

/// Refuses a place for a new lake that other readers of its tables look for elsewhere. Error of kind `Fix`.
fn check_location(location: &str) -> Result<(), LakeError> {
    let Some(mark) = location.chars().find(|letter| ['#', '?'].contains(letter)) else { return Ok(()) };
    Err(LakeError::fix(
        format!("a lake at {location} could not be read by others: in the address of a file {mark:?} ends the path"),
        format!("choose a `--warehouse` without {mark:?} in its path"),
    ))
}

fn bytes_of(identity: &Identity) -> Result<Bytes, LakeError> {
    let bytes = serde_json::to_vec_pretty(identity).map_err(|error| LakeError::format(IDENTITY, error))?;
    Ok(Bytes::from(bytes))
}

/// Refuses a catalog that is not the lake's. Error of kind `Fix`.
pub(crate) async fn check_catalog(store: &dyn Store, catalog: &dyn Catalog) -> Result<(), LakeError> {
    let own = known(store).await?.and_then(|identity| identity.catalog);
    if let Some(own) = &own
        && let Some(other) = catalog.identity().await?.filter(|other| other.id != own.id)
    {
        return Err(LakeError::fix(
            format!("the lake at {} belongs to the catalog {}, not to {}", store.location(""), own.name, other.name),
            format!("name the lake's own catalog: `--catalog {}`", own.name),
        ));
    }
    check_tables(store, catalog, own.as_ref()).await
}

/// Refuses a catalog by its tables. One without the lake's tables would get new ones that fit no decided epoch. One with
/// tables at other locations is another lake's; but if it is recorded as the lake's own, they belong to its other users.
async fn check_tables(
    store: &dyn Store,
    catalog: &dyn Catalog,
    own: Option<&CatalogIdentity>,
) -> Result<(), LakeError> {
    let lake = store.location("");
    let tables = catalog.tables().await?;
    let foreign = tables.iter().find(|(_, location)| store.key(location).is_none());
    if let Some((table, elsewhere)) = foreign.filter(|_| own.is_none()) {
        return Err(LakeError::fix(
            format!("the catalog has table {table} at {elsewhere}, outside of the lake at {lake}"),
            "name the lake's own catalog with `--catalog`; a new lake needs a catalog without tables (in Glue: glue://REGION/DATABASE)",
        ));
    }
    if tables.values().all(|location| store.key(location).is_none()) && read_slot(store, 0).await?.is_some() {
        let own = own.map_or("sqlite:PATH", |own| &own.name);
        return Err(LakeError::fix(
            format!("the catalog has no table of the lake at {lake}, although the lake has epochs"),
            format!("name the catalog that the lake was created with: `--catalog {own}`"),
        ));
    }
    Ok(())
}
