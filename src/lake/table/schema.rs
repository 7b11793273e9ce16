//! A [`TableSpec`] in the terms of Iceberg and Arrow.
//!
//! A field id is the column's index plus one, in every schema and file, so a file can be matched to its columns without
//! names. Key columns and columns that are not nullable are required, the rest optional.

use super::meta::DataFileMeta;
use crate::error::LakeError;
use crate::table::spec::{Column, ColumnType, TableSpec, Value};
use ::iceberg::TableCreation;
use ::iceberg::arrow::UTC_TIME_ZONE;
use ::iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, FormatVersion, Literal, NestedField, NullOrder,
    PrimitiveType, Schema as IcebergSchema, SortDirection, SortField, SortOrder, Struct, TableMetadata, Transform,
    Type, UnboundPartitionSpec,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use std::collections::HashMap;
use std::sync::Arc;

/// The property that says which epoch of the log a table has (swapped together with its snapshot).
pub const APPLIED_EPOCH: &str = "ticktide.applied-epoch";
/// The value of [`APPLIED_EPOCH`] before the first epoch.
pub const APPLIED_NONE: &str = "none";
/// The properties of a table that Iceberg's metadata does not have: lists of column names.
const KEY: &str = "ticktide.key";
const UNHASHED: &str = "ticktide.unhashed";
const DELTA: &str = "ticktide.delta";
/// Older metadata files that are kept.
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
    // Iceberg's identifiers are required and not doubles; a part of a key would claim too much
    let fits = |at: &usize| required(spec, *at) && spec.columns[*at].column_type != ColumnType::Double;
    let identifiers = spec.key.iter().filter(|_| spec.key.iter().all(fits));
    Ok(IcebergSchema::builder()
        .with_schema_id(0)
        .with_identifier_field_ids(identifiers.map(|at| field_id(*at)).collect::<Vec<_>>())
        .with_fields(fields)
        .build()?)
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
    let names = |columns: &mut dyn Iterator<Item = &Column>| {
        columns.map(|column| column.name.as_str()).collect::<Vec<_>>().join(",")
    };
    let properties = [
        (APPLIED_EPOCH, APPLIED_NONE.to_owned()),
        (KEY, names(&mut spec.key.iter().map(|at| &spec.columns[*at]))),
        (UNHASHED, names(&mut spec.columns.iter().filter(|column| !column.hashed))),
        (DELTA, names(&mut spec.columns.iter().filter(|column| column.delta))),
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

/// Whether ticktide made a table.
pub fn is_made_here(metadata: &TableMetadata) -> bool {
    metadata.properties().contains_key(KEY)
}

/// A table's definition from its own metadata, for commands that have no dataflow. Error: ticktide did not make the table.
pub fn spec_of(name: &str, metadata: &TableMetadata) -> Result<TableSpec, LakeError> {
    let strange = |what: String| LakeError::format(format!("table {name}"), what);
    let listed = |property: &str| -> Result<Vec<&str>, LakeError> {
        let text = metadata.properties().get(property);
        let text = text.ok_or_else(|| strange(format!("has no property {property}: ticktide did not make it")))?;
        Ok(text.split(',').filter(|name| !name.is_empty()).collect())
    };
    let (key, unhashed, delta) = (listed(KEY)?, listed(UNHASHED)?, listed(DELTA)?);
    let schema = metadata.current_schema();
    let columns = schema.as_struct().fields().iter().map(|field| {
        let primitive = field.field_type.as_primitive_type().and_then(column_type);
        let column = field.name.as_str();
        Ok(Column {
            name: column.to_owned(),
            column_type: primitive.ok_or_else(|| strange(format!("column {column} is {}", field.field_type)))?,
            nullable: !field.required,
            hashed: !unhashed.contains(&column),
            delta: delta.contains(&column),
            doc: field.doc.clone().unwrap_or_default(),
        })
    });
    let columns = columns.collect::<Result<Vec<_>, LakeError>>()?;
    let at = |column: &str| {
        let found = columns.iter().position(|other| other.name == column);
        found.ok_or_else(|| strange(format!("has no column {column}")))
    };
    let of_field = |id: i32| schema.name_by_field_id(id).ok_or_else(|| strange(format!("has no field {id}")));
    let partition = metadata.default_partition_spec().fields().first();
    let sort = metadata.default_sort_order().fields.iter();
    let key = key.into_iter().map(at).collect::<Result<Vec<_>, _>>()?;
    Ok(TableSpec {
        name: name.to_owned(),
        partition: partition.map(|field| of_field(field.source_id).and_then(at)).transpose()?,
        time: key.iter().copied().find(|column| columns[*column].column_type == ColumnType::Time),
        sort: sort.map(|field| of_field(field.source_id).and_then(at)).collect::<Result<_, _>>()?,
        history: false,
        key,
        columns,
    })
}

fn column_type(primitive: &PrimitiveType) -> Option<ColumnType> {
    Some(match primitive {
        PrimitiveType::String => ColumnType::Text,
        PrimitiveType::Boolean => ColumnType::Bool,
        PrimitiveType::Int => ColumnType::Int,
        PrimitiveType::Long => ColumnType::Long,
        PrimitiveType::Double => ColumnType::Double,
        PrimitiveType::Date => ColumnType::Date,
        PrimitiveType::Timestamptz => ColumnType::Time,
        PrimitiveType::Binary => ColumnType::Binary,
        PrimitiveType::Decimal { precision, scale } => ColumnType::Decimal { precision: *precision, scale: *scale },
        _ => return None,
    })
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
    Ok(Some(format!("the lake's table lacks [{missing}] and has [{extra}] in addition")))
}

/// Whether an existing table only lacks optional columns after those it has.
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

/// Iceberg's bound as a value; `None` for a kind that no column of ticktide has.
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

/// The partition of a file in Iceberg's terms, by its days since 1970.
pub fn partition_of(spec: &TableSpec, days: Option<i32>) -> Struct {
    match spec.partition {
        Some(_) => Struct::from_iter([days.map(Literal::date)]),
        None => Struct::empty(),
    }
}

/// The manifest entry's content for a data file that ticktide wrote.
pub fn data_file(spec: &TableSpec, location: String, file: &DataFileMeta) -> Result<DataFile, LakeError> {
    let mut builder = DataFileBuilder::default();
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
        .partition(partition_of(spec, file.partition))
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
