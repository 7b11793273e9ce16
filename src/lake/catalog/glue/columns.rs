//! The columns of an Iceberg table in Glue's form: Hive's types, Iceberg's ids as parameters.
//!
//! The order is that of Iceberg's own Glue catalogs: the current schema's columns, then the columns that only older schemas
//! have, so that time-travel queries find them.

use super::super::super::error::LakeError;
use ::iceberg::spec::{NestedField, PrimitiveType, TableMetadata, Type};
use aws_sdk_glue::types::Column;
use std::collections::BTreeSet;

/// Glue's limit for the characters of a comment.
const COMMENT_MAX: usize = 255;

/// The columns of a table, from its metadata.
pub fn columns(metadata: &TableMetadata) -> Result<Vec<Column>, LakeError> {
    let current = metadata.current_schema();
    let mut older: Vec<_> =
        metadata.schemas_iter().filter(|schema| schema.schema_id() != current.schema_id()).collect();
    older.sort_by_key(|schema| std::cmp::Reverse(schema.schema_id()));
    let mut names = BTreeSet::new();
    let mut columns = Vec::new();
    for (schema, is_current) in std::iter::once((current, true)).chain(older.into_iter().map(|schema| (schema, false)))
    {
        for field in schema.as_struct().fields() {
            if names.insert(field.name.clone()) {
                columns.push(column(field, is_current)?);
            }
        }
    }
    Ok(columns)
}

fn column(field: &NestedField, current: bool) -> Result<Column, LakeError> {
    let comment = field.doc.as_ref().map(|doc| doc.chars().take(COMMENT_MAX).collect::<String>());
    let column = Column::builder()
        .name(&field.name)
        .r#type(hive(&field.field_type))
        .set_comment(comment)
        .parameters("iceberg.field.id", field.id.to_string())
        .parameters("iceberg.field.optional", (!field.required).to_string())
        .parameters("iceberg.field.current", current.to_string());
    column.build().map_err(|error| LakeError::Bug(format!("column {}: {error}", field.name)))
}

/// Hive's name of a type. Hive has no time of day, no UUID and only one timestamp type.
fn hive(field_type: &Type) -> String {
    let name = match field_type {
        Type::Primitive(primitive) => match primitive {
            PrimitiveType::Boolean => "boolean",
            PrimitiveType::Int => "int",
            PrimitiveType::Long => "bigint",
            PrimitiveType::Float => "float",
            PrimitiveType::Double => "double",
            PrimitiveType::Decimal { precision, scale } => return format!("decimal({precision},{scale})"),
            PrimitiveType::Date => "date",
            PrimitiveType::Timestamp
            | PrimitiveType::Timestamptz
            | PrimitiveType::TimestampNs
            | PrimitiveType::TimestamptzNs => "timestamp",
            PrimitiveType::String | PrimitiveType::Uuid | PrimitiveType::Time => "string",
            PrimitiveType::Fixed(_) | PrimitiveType::Binary => "binary",
        },
        Type::Struct(inner) => {
            let fields = inner.fields().iter().map(|field| format!("{}:{}", field.name, hive(&field.field_type)));
            return format!("struct<{}>", fields.collect::<Vec<_>>().join(","));
        }
        Type::List(list) => return format!("array<{}>", hive(&list.element_field.field_type)),
        Type::Map(map) => {
            return format!("map<{},{}>", hive(&map.key_field.field_type), hive(&map.value_field.field_type));
        }
    };
    name.to_owned()
}
