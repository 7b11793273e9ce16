//! One pinned Iceberg table for DataFusion: projection, filters and limit go into Iceberg's scan.
//!
//! What must always hold: the batches have exactly the projected schema (Iceberg may return a partition column as runs,
//! which are unpacked here), and a filter that is pushed down is only a first sieve: DataFusion applies it again.

use super::{At, Pin};
use crate::predicate::predicate;
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::{StreamExt, TryStreamExt};
use iceberg::expr::Predicate;
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// A table at one snapshot.
pub struct PinnedTable {
    pin: Pin,
    schema: SchemaRef,
}

impl PinnedTable {
    /// Errors: a schema that Arrow has no types for.
    pub fn new(pin: &Pin) -> iceberg::Result<PinnedTable> {
        let metadata = pin.table.metadata();
        let snapshot = match pin.at {
            At::Snapshot(id) => metadata.snapshot_by_id(id),
            At::Head | At::Empty => None,
        };
        let schema = match snapshot {
            Some(snapshot) => snapshot.schema(metadata)?,
            None => metadata.current_schema().clone(),
        };
        let arrow = iceberg::arrow::schema_to_arrow_schema(&schema)?;
        // a reader of the answer has no use for field ids
        let fields: Vec<Field> =
            arrow.fields().iter().map(|field| field.as_ref().clone().with_metadata(Default::default())).collect();
        Ok(PinnedTable { pin: pin.clone(), schema: Arc::new(Schema::new(fields)) })
    }
}

impl fmt::Debug for PinnedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:?}", self.pin.name, self.pin.at)
    }
}

#[async_trait]
impl TableProvider for PinnedTable {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let pushed = |filter: &&Expr| match predicate(filter, &self.schema) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(pushed).collect())
    }

    async fn scan(
        &self,
        _session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(indices) => Arc::new(self.schema.project(indices)?),
            None => self.schema.clone(),
        };
        let pushed = filters.iter().filter_map(|filter| predicate(filter, &self.schema)).reduce(Predicate::and);
        // Iceberg's scan of no column at all would lose the number of rows
        let columns = match schema.fields().first() {
            Some(_) => schema.fields().iter().map(|field| field.name().clone()).collect(),
            None => vec![self.schema.field(0).name().clone()],
        };
        let partition = Scan { pin: self.pin.clone(), columns, pushed, schema: schema.clone() };
        let plan = StreamingTableExec::try_new(schema, vec![Arc::new(partition)], None, [], false, limit)?;
        Ok(Arc::new(plan))
    }
}

/// What a scan reads from a table.
struct Scan {
    pin: Pin,
    columns: Vec<String>,
    pushed: Option<Predicate>,
    schema: SchemaRef,
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:?}: {}", self.pin.name, self.pin.at, self.columns.join(", "))?;
        match &self.pushed {
            Some(predicate) => write!(f, " where {predicate}"),
            None => Ok(()),
        }
    }
}

impl PartitionStream for Scan {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = self.schema.clone();
        if self.pin.at == At::Empty {
            return Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::empty()));
        }
        let mut scan = self.pin.table.scan().select(&self.columns);
        if let At::Snapshot(id) = self.pin.at {
            scan = scan.snapshot_id(id);
        }
        if let Some(pushed) = &self.pushed {
            scan = scan.with_filter(pushed.clone());
        }
        let scan = scan.with_batch_size(Some(context.session_config().batch_size())).build();
        let opened = async move { scan.map_err(outside)?.to_arrow().await.map_err(outside) };
        let shape = schema.clone();
        let batches = futures::stream::once(opened)
            .map_ok(|batches| batches.map_err(outside))
            .try_flatten()
            .map(move |batch| shaped(&batch?, &shape));
        Box::pin(RecordBatchStreamAdapter::new(schema, batches))
    }
}

/// The batch with exactly these columns and types.
fn shaped(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let missing = || DataFusionError::Internal(format!("the scan gave no column {}", field.name()));
        let column = batch.column_by_name(field.name()).ok_or_else(missing)?;
        columns.push(match column.data_type() == field.data_type() {
            true => column.clone(),
            false => cast(column, field.data_type())?,
        });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

fn outside(error: iceberg::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
