//! DataFusion's filters as Iceberg predicates, where they are simple enough.
//!
//! What must always hold: a predicate keeps every row that its filter keeps (it may keep more). So only comparisons of a
//! bare column with a literal of the column's own type are translated, and a conjunction may lose a side.

use arrow::datatypes::{DataType, Schema, TimeUnit};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::scalar::ScalarValue;
use iceberg::expr::{Predicate, Reference};
use iceberg::spec::Datum;

/// The predicate of a filter, or `None` if no predicate would leave out a row.
pub fn predicate(filter: &Expr, schema: &Schema) -> Option<Predicate> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            match (predicate(left, schema), predicate(right, schema)) {
                (Some(left), Some(right)) => Some(left.and(right)),
                (left, right) => left.or(right),
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            Some(predicate(left, schema)?.or(predicate(right, schema)?))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (column(left), column(right)) {
            (Some(name), None) => comparison(name, *op, datum(right, type_of(name, schema)?)?),
            (None, Some(name)) => comparison(name, op.swap()?, datum(left, type_of(name, schema)?)?),
            _ => None,
        },
        Expr::InList(InList { expr, list, negated: false }) => {
            let name = column(expr)?;
            let column_type = type_of(name, schema)?;
            let values: Option<Vec<Datum>> = list.iter().map(|item| datum(item, column_type)).collect();
            values.filter(|values| !values.is_empty()).map(|values| Reference::new(name).is_in(values))
        }
        Expr::IsNull(inner) => Some(Reference::new(known(inner, schema)?).is_null()),
        Expr::IsNotNull(inner) => Some(Reference::new(known(inner, schema)?).is_not_null()),
        _ => None,
    }
}

fn column(expression: &Expr) -> Option<&str> {
    if let Expr::Column(column) = expression { Some(&column.name) } else { None }
}

fn known<'e>(expression: &'e Expr, schema: &Schema) -> Option<&'e str> {
    column(expression).filter(|name| type_of(name, schema).is_some())
}

fn type_of<'s>(name: &str, schema: &'s Schema) -> Option<&'s DataType> {
    schema.field_with_name(name).ok().map(|field| field.data_type())
}

fn comparison(name: &str, op: Operator, datum: Datum) -> Option<Predicate> {
    let column = Reference::new(name);
    Some(match op {
        Operator::Eq => column.equal_to(datum),
        Operator::Lt => column.less_than(datum),
        Operator::LtEq => column.less_than_or_equal_to(datum),
        Operator::Gt => column.greater_than(datum),
        Operator::GtEq => column.greater_than_or_equal_to(datum),
        _ => return None,
    })
}

/// A literal as the column's Iceberg value; `None` for nulls and for literals of another type.
fn datum(expression: &Expr, column_type: &DataType) -> Option<Datum> {
    let Expr::Literal(value, _) = expression else { return None };
    Some(match (column_type, value) {
        (
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View,
            ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)),
        ) => Datum::string(text),
        (DataType::Int32, ScalarValue::Int32(Some(number))) => Datum::int(*number),
        (DataType::Int64, ScalarValue::Int64(Some(number))) => Datum::long(*number),
        (DataType::Date32, ScalarValue::Date32(Some(day))) => Datum::date(*day),
        (DataType::Timestamp(TimeUnit::Microsecond, zone), ScalarValue::TimestampMicrosecond(Some(micros), _)) => {
            if zone.is_some() {
                Datum::timestamptz_micros(*micros)
            } else {
                Datum::timestamp_micros(*micros)
            }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Field;
    use datafusion::prelude::{col, lit};

    fn schema() -> Schema {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
        let fields =
            [("symbol", DataType::Utf8), ("epoch", DataType::Int64), ("open_at", time), ("close", DataType::Float64)];
        Schema::new(fields.map(|(name, kind)| Field::new(name, kind, true)).to_vec())
    }

    fn said(filter: &Expr) -> Option<String> {
        predicate(filter, &schema()).map(|predicate| predicate.to_string())
    }

    #[test]
    fn comparisons_of_a_column_with_a_literal_of_its_type_are_sieves() {
        assert_eq!(said(&col("symbol").eq(lit("GC"))).as_deref(), Some("symbol = \"GC\""));
        assert_eq!(said(&lit(5i64).lt(col("epoch"))).as_deref(), Some("epoch > 5"));
        assert_eq!(said(&col("epoch").in_list(vec![lit(1i64)], false)).as_deref(), Some("epoch IN (1)"));
        let at = lit(ScalarValue::TimestampMicrosecond(Some(0), Some("+00:00".into())));
        assert!(said(&col("open_at").gt_eq(at)).is_some_and(|text| text.starts_with("open_at >= 1970-01-01")));
    }

    #[test]
    fn a_conjunction_keeps_the_side_it_can_and_a_disjunction_needs_both() {
        let (can, cannot) = (col("symbol").eq(lit("GC")), col("close").gt(lit(1.0)));
        assert_eq!(said(&can.clone().and(cannot.clone())).as_deref(), Some("symbol = \"GC\""));
        assert_eq!(said(&can.clone().or(cannot.clone())), None);
        assert!(said(&can.clone().or(can)).is_some());
        assert_eq!(said(&cannot), None);
    }

    #[test]
    fn nulls_other_types_unknown_columns_and_negations_are_left_to_datafusion() {
        for filter in [
            col("epoch").eq(lit(5i32)),
            col("epoch").eq(lit(ScalarValue::Int64(None))),
            col("nothing").eq(lit("x")),
            col("nothing").is_null(),
            col("epoch").in_list(vec![lit(1i64)], true),
            col("epoch").in_list(vec![], false),
            col("symbol").not_eq(lit("GC")),
            col("symbol").eq(col("epoch")),
        ] {
            assert_eq!(said(&filter), None, "{filter}");
        }
    }
}
