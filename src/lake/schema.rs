//! A [`TableSpec`] in the words of Iceberg and Arrow.
//!
//! Field ids are the column's place plus one, in every schema and file, so a file can be matched to its columns without
//! names. Key columns and columns that are not nullable are required, the rest optional.

use super::error::LakeError;
use super::files::DataFileMeta;
use super::table::{Column, ColumnType, DIFF, TableSpec, Value};
use ::iceberg::TableCreation;
use ::iceberg::arrow::UTC_TIME_ZONE;
use ::iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, FormatVersion, Literal, NestedField, NullOrder,
    PrimitiveType, Schema as IcebergSchema, SortDirection, SortField, SortOrder, Struct, Transform, Type,
    UnboundPartitionSpec,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use std::collections::HashMap;
use std::sync::Arc;

/// The property that says which epoch of the log a table has (swapped together with its snapshot).
pub const APPLIED_EPOCH: &str = "ticktide.applied-epoch";
/// The value of [`APPLIED_EPOCH`] before the first epoch.
pub const APPLIED_NONE: &str = "none";
/// Metadata files that stay beside the current one.
const METADATA_VERSIONS_KEPT: usize = 20;

/// The Iceberg field id of a column.
pub fn field_id(column: usize) -> i32 {
    column as i32 + 1
}

/// Whether Iceberg's field is required. A key may have columns that are null (an anomaly of bars has no offset).
pub fn required(spec: &TableSpec, column: usize) -> bool {
    !spec.columns[column].nullable
}

fn primitive(column_type: ColumnType) -> PrimitiveType {
    match column_type {
        ColumnType::Text => PrimitiveType::String,
        ColumnType::Bool => PrimitiveType::Boolean,
        ColumnType::Int => PrimitiveType::Int,
        ColumnType::Long => PrimitiveType::Long,
        ColumnType::Double => PrimitiveType::Double,
        ColumnType::Date => PrimitiveType::Date,
        ColumnType::Time => PrimitiveType::Timestamptz,
        ColumnType::Binary => PrimitiveType::Binary,
        ColumnType::Decimal { precision, scale } => PrimitiveType::Decimal { precision, scale },
    }
}

fn arrow_type(column_type: ColumnType) -> DataType {
    match column_type {
        ColumnType::Text => DataType::Utf8,
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Int => DataType::Int32,
        ColumnType::Long => DataType::Int64,
        ColumnType::Double => DataType::Float64,
        ColumnType::Date => DataType::Date32,
        ColumnType::Time => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC_TIME_ZONE.into())),
        ColumnType::Binary => DataType::Binary,
        ColumnType::Decimal { precision, scale } => DataType::Decimal128(precision as u8, scale as i8),
    }
}

/// The Arrow schema of the table's rows, with field ids for Parquet.
pub fn arrow_schema(spec: &TableSpec) -> SchemaRef {
    let fields = spec.columns.iter().enumerate().map(|(at, column)| {
        let id = HashMap::from([(parquet::arrow::PARQUET_FIELD_ID_META_KEY.to_owned(), field_id(at).to_string())]);
        Field::new(&column.name, arrow_type(column.column_type), !required(spec, at)).with_metadata(id)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The Iceberg schema of the table.
pub fn iceberg_schema(spec: &TableSpec) -> Result<IcebergSchema, LakeError> {
    let fields = spec.columns.iter().enumerate().map(|(at, column)| {
        let field_type = Type::Primitive(primitive(column.column_type));
        let field = NestedField::new(field_id(at), &column.name, field_type, required(spec, at));
        Arc::new(if column.doc.is_empty() { field } else { field.with_doc(&column.doc) })
    });
    // Iceberg's identifiers are required and no doubles; a part of a key would claim too much
    let fits = |at: &usize| required(spec, *at) && spec.columns[*at].column_type != ColumnType::Double;
    let identifiers = spec.key.iter().filter(|_| spec.key.iter().all(fits));
    Ok(IcebergSchema::builder()
        .with_schema_id(0)
        .with_identifier_field_ids(identifiers.map(|at| field_id(*at)).collect::<Vec<_>>())
        .with_fields(fields)
        .build()?)
}

/// Columns that hold a place, a clock, a cut or a sign: they are in no content hash, whatever the table.
const UNHASHED: [&str; 7] = ["epoch", "received_at", "partition", "offset", "offset_first", "offset_last", DIFF];

/// A table of a lake as far as reading and hashing its rows needs, from its schema alone; without key and sort order.
pub fn spec_of(name: &str, schema: &IcebergSchema) -> Result<TableSpec, LakeError> {
    let column = |field: &Arc<NestedField>| {
        let column_type = match field.field_type.as_primitive_type() {
            Some(PrimitiveType::String) => ColumnType::Text,
            Some(PrimitiveType::Boolean) => ColumnType::Bool,
            Some(PrimitiveType::Int) => ColumnType::Int,
            Some(PrimitiveType::Long) => ColumnType::Long,
            Some(PrimitiveType::Double) => ColumnType::Double,
            Some(PrimitiveType::Date) => ColumnType::Date,
            Some(PrimitiveType::Timestamptz) => ColumnType::Time,
            Some(PrimitiveType::Binary) => ColumnType::Binary,
            Some(PrimitiveType::Decimal { precision, scale }) => {
                ColumnType::Decimal { precision: *precision, scale: *scale }
            }
            _ => {
                return Err(LakeError::format(
                    format!("{name}.{}", field.name),
                    "has a type that no table of a lake has",
                ));
            }
        };
        Ok(Column {
            name: field.name.clone(),
            column_type,
            nullable: !field.required,
            hashed: !UNHASHED.contains(&field.name.as_str()),
            delta: false,
            doc: String::new(),
        })
    };
    Ok(TableSpec {
        name: name.to_owned(),
        columns: schema.as_struct().fields().iter().map(column).collect::<Result<_, _>>()?,
        key: Vec::new(),
        partition: None,
        time: None,
        sort: Vec::new(),
        history: false,
    })
}

/// What a new table is created with: format v2, its location, its properties.
pub fn creation(spec: &TableSpec, location: String) -> Result<TableCreation, LakeError> {
    let mut partition = UnboundPartitionSpec::builder().with_spec_id(0);
    if let Some(at) = spec.partition {
        partition = partition.add_partition_field(field_id(at), spec.columns[at].name.clone(), Transform::Identity)?;
    }
    let sort = spec.sort.iter().map(|at| SortField {
        source_id: field_id(*at),
        transform: Transform::Identity,
        direction: SortDirection::Ascending,
        null_order: NullOrder::First,
    });
    let schema = iceberg_schema(spec)?;
    // order 0 is the unsorted one by definition
    let sort_order = match spec.sort.is_empty() {
        true => SortOrder::unsorted_order(),
        false => SortOrder::builder().with_order_id(1).with_fields(sort.collect::<Vec<_>>()).build(&schema)?,
    };
    let properties = [
        (APPLIED_EPOCH, APPLIED_NONE.to_owned()),
        ("write.metadata.previous-versions-max", METADATA_VERSIONS_KEPT.to_string()),
        ("write.metadata.delete-after-commit.enabled", "true".to_owned()),
        ("write.parquet.compression-codec", "zstd".to_owned()),
    ];
    Ok(TableCreation::builder()
        .name(spec.name.clone())
        .location(location)
        .schema(schema)
        .partition_spec(partition.build())
        .sort_order(sort_order)
        .properties(properties.into_iter().map(|(key, value)| (key.to_owned(), value)))
        .format_version(FormatVersion::V2)
        .build())
}

/// Why an existing table is not the one that the spec describes; `None` if it is.
pub fn difference(spec: &TableSpec, found: &IcebergSchema) -> Result<Option<String>, LakeError> {
    let describe = |schema: &IcebergSchema| -> Vec<String> {
        let fields = schema.as_struct().fields().iter();
        fields.map(|field| format!("{} {}", field.name, field.field_type)).collect()
    };
    let (ours, theirs) = (describe(&iceberg_schema(spec)?), describe(found));
    if ours == theirs {
        return Ok(None);
    }
    let lacks = |side: &[String], other: &[String]| {
        other.iter().filter(|field| !side.contains(field)).cloned().collect::<Vec<_>>().join(", ")
    };
    let (missing, extra) = (lacks(&theirs, &ours), lacks(&ours, &theirs));
    Ok(Some(format!("the lake's lacks [{missing}], has besides [{extra}]")))
}

/// Whether an existing table only lacks optional columns behind those it has.
pub fn lacks(spec: &TableSpec, found: &IcebergSchema) -> Result<bool, LakeError> {
    let ours = iceberg_schema(spec)?;
    let (ours, theirs) = (ours.as_struct().fields(), found.as_struct().fields());
    let same = |(ours, theirs): (&Arc<NestedField>, &Arc<NestedField>)| {
        (ours.id, &ours.name, &ours.field_type) == (theirs.id, &theirs.name, &theirs.field_type)
    };
    let more = ours.get(theirs.len()..).unwrap_or_default();
    Ok(!more.is_empty() && ours.iter().zip(theirs).all(same) && more.iter().all(|field| !field.required))
}

/// A value as Iceberg's bound of a column; `None` for null.
pub fn datum(column_type: ColumnType, value: &Value) -> Result<Option<Datum>, LakeError> {
    Ok(Some(match (column_type, value) {
        (_, Value::Null) => return Ok(None),
        (_, Value::Text(text)) => Datum::string(text),
        (_, Value::Bool(value)) => Datum::bool(*value),
        (_, Value::Int(value)) => Datum::int(*value),
        (_, Value::Long(value)) => Datum::long(*value),
        (_, Value::Double(bits)) => Datum::double(f64::from_bits(*bits)),
        (_, Value::Date(days)) => Datum::date(*days),
        (_, Value::Time(micros)) => Datum::timestamptz_micros(*micros),
        (_, Value::Binary(bytes)) => Datum::binary(bytes.iter().copied()),
        (ColumnType::Decimal { precision, scale }, Value::Decimal(value)) => {
            Datum::try_from_bytes(&value.to_be_bytes(), PrimitiveType::Decimal { precision, scale })?
        }
        (other, Value::Decimal(value)) => return Err(LakeError::Bug(format!("decimal {value} in a column {other:?}"))),
    }))
}

/// Iceberg's bound as a value; `None` for a kind that no column of ours has.
pub fn value(datum: &Datum) -> Option<Value> {
    use ::iceberg::spec::PrimitiveLiteral as P;
    Some(match (datum.data_type(), datum.literal()) {
        (PrimitiveType::Boolean, P::Boolean(value)) => Value::Bool(*value),
        (PrimitiveType::Int, P::Int(value)) => Value::Int(*value),
        (PrimitiveType::Date, P::Int(value)) => Value::Date(*value),
        (PrimitiveType::Long, P::Long(value)) => Value::Long(*value),
        (PrimitiveType::Timestamptz, P::Long(value)) => Value::Time(*value),
        (PrimitiveType::String, P::String(value)) => Value::Text(value.clone()),
        (PrimitiveType::Binary, P::Binary(value)) => Value::Binary(value.clone()),
        (PrimitiveType::Decimal { .. }, P::Int128(value)) => Value::Decimal(*value),
        (PrimitiveType::Double, P::Double(value)) => Value::Double(value.0.to_bits()),
        _ => return None,
    })
}

/// The manifest entry's content for a file of ours.
pub fn data_file(spec: &TableSpec, location: String, file: &DataFileMeta) -> Result<DataFile, LakeError> {
    let mut builder = DataFileBuilder::default();
    let partition = spec.partition.map(|_| file.partition.map(Literal::date));
    let (mut sizes, mut counts, mut nulls, mut nans) = (HashMap::new(), HashMap::new(), HashMap::new(), HashMap::new());
    let (mut lower, mut upper) = (HashMap::new(), HashMap::new());
    for (at, (column, meta)) in spec.columns.iter().zip(&file.columns).enumerate() {
        let id = field_id(at);
        sizes.insert(id, meta.bytes);
        counts.insert(id, file.rows);
        nulls.insert(id, meta.nulls);
        if column.column_type == ColumnType::Double {
            nans.insert(id, meta.nans);
        }
        if let Some((least, greatest)) = &meta.bounds {
            lower.extend(datum(column.column_type, least)?.map(|bound| (id, bound)));
            upper.extend(datum(column.column_type, greatest)?.map(|bound| (id, bound)));
        }
    }
    builder
        .content(DataContentType::Data)
        .file_path(location)
        .file_format(DataFileFormat::Parquet)
        .partition(partition.map_or_else(Struct::empty, |value| Struct::from_iter([value])))
        .partition_spec_id(0)
        .record_count(file.rows)
        .file_size_in_bytes(file.bytes)
        .column_sizes(sizes)
        .value_counts(counts)
        .null_value_counts(nulls)
        .nan_value_counts(nans)
        .lower_bounds(lower)
        .upper_bounds(upper)
        .split_offsets(Some(file.split_offsets.clone()));
    if !spec.sort.is_empty() {
        builder.sort_order_id(1);
    }
    builder.build().map_err(|error| LakeError::Bug(format!("a data file of {}: {error}", spec.name)))
}
